"""The default method: what it makes of maps whose truth is known."""

import pytest
import torch
from torch import Tensor

from tests.helpers import CPU, RecordingTrack
from training.methods.fitting import CHECKPOINTS, Fit, fit_maps
from training.methods.settings import PositionalWscxr
from wscxr.choices import ScoreRule
from wscxr.errors import ConfigError
from wscxr.model.detector import image_score
from wscxr.model.heads import Head
from wscxr.model.heads.positional import PositionalDiscriminator

SIDE, CHANNELS = 4, 6


def maps(count: int, seed: int, shift: float = 0.0) -> Tensor:
    """Features whose mean depends on the place; `shift` moves the channel 0 of half the places."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.arange(SIDE * SIDE).float().reshape(SIDE, SIDE, 1)
    found = torch.randn(count, SIDE, SIDE, CHANNELS, generator=generator) + place
    found[:, : SIDE // 2, :, 0] += shift
    return found


def fit(seed: int = 0, **changes: object) -> Fit:
    settings: dict[str, object] = {"steps": 120, "batch_size": 256, **changes}
    method = PositionalWscxr.model_validate(settings)
    return fit_maps(method, maps(200, 0), maps(4, 1, shift=5.0), seed=seed, device=CPU)


def positional(found: Fit) -> PositionalDiscriminator:
    assert isinstance(found.head, PositionalDiscriminator)
    return found.head.requires_grad_(requires_grad=False)


def test_anomalies_score_above_normals_of_the_same_place() -> None:
    head = positional(fit())
    normal, anomaly = head(maps(50, 2)), head(maps(50, 3, shift=5.0))
    top = slice(0, SIDE // 2)
    assert anomaly[:, top].mean() > normal[:, top].mean() + 0.5
    assert normal.mean() < 0.3


def test_normals_are_white() -> None:
    head = positional(fit(rank=CHANNELS))
    x = head.whiten(maps(200, 0)).flatten(0, 2)
    torch.testing.assert_close(x.mean(dim=0), torch.zeros(CHANNELS), atol=1e-3, rtol=0)
    torch.testing.assert_close(x.T @ x / len(x), torch.eye(CHANNELS), atol=0.02, rtol=0)


def test_what_is_usual_is_that_of_the_normals() -> None:
    unusual = positional(fit()).unusualness(maps(200, 0))
    zero = torch.zeros(SIDE, SIDE)
    torch.testing.assert_close(unusual.mean(dim=0), zero, atol=1e-4, rtol=0)
    torch.testing.assert_close(unusual.std(dim=0, correction=0), zero + 1, atol=1e-3, rtol=0)


def test_the_fewer_anomaly_images_the_more_weighs_what_is_merely_unusual() -> None:
    def prior(k: int) -> Tensor:
        """Against the spread of what was learned, as scales differ."""
        head = positional(
            fit_maps(
                PositionalWscxr(steps=60, batch_size=256),
                maps(200, 0),
                maps(k, 1, shift=5.0),
                seed=0,
                device=CPU,
            )
        )
        learned = head.linear(head.whiten(maps(200, 0)))
        ratio: Tensor = head.prior / learned.std()
        return ratio

    assert prior(2) > 5 * prior(16) > 0


def test_one_mean_for_all_places_is_the_mean_of_their_means() -> None:
    by_place, one = positional(fit()).mean, positional(fit(by_place=False)).mean
    assert by_place.std(dim=(0, 1)).min() > 1
    torch.testing.assert_close(one, by_place.mean(dim=(0, 1)).expand_as(one))


def test_the_rank_is_at_most_the_number_of_channels() -> None:
    assert positional(fit(rank=1000)).config.rank == CHANNELS
    assert positional(fit(rank=2)).config.rank == 2


def test_mining_keeps_what_is_far_from_the_normals_of_its_place() -> None:
    """Without mining the half of the places that is normal pulls D down on anomalies."""
    with_mining = fit(mining=True, r=0.5).metrics["loss"]
    assert with_mining < fit(mining=False).metrics["loss"]


def test_mixing_makes_it_harder() -> None:
    assert fit(mixing=False).metrics["loss"] < fit(mixing=True).metrics["loss"]


def test_one_seed_gives_one_head() -> None:
    def weights(found: Fit) -> list[bytes]:
        return [value.numpy().tobytes() for value in found.head.state_dict().values()]

    assert weights(fit(seed=3)) == weights(fit(seed=3))
    assert weights(fit(seed=3)) != weights(fit(seed=4))


def test_checkpoints_and_progress_are_told() -> None:
    seen: list[Head] = []
    track = RecordingTrack()
    method = PositionalWscxr(steps=40, batch_size=16)
    found = fit_maps(
        method,
        maps(20, 0),
        maps(2, 1),
        seed=0,
        device=CPU,
        track=track,
        on_checkpoint=seen.append,
    )
    assert len(seen) == CHECKPOINTS
    for key, value in found.head.state_dict().items():
        assert torch.equal(seen[-1].state_dict()[key], value)
    assert not torch.equal(*(head.state_dict()["linear.weight"] for head in seen[:2]))
    assert track.seen == {"training the discriminator": 40}


def test_training_that_diverges_is_an_error() -> None:
    with pytest.raises(ConfigError, match="diverged"):
        fit_maps(
            PositionalWscxr(steps=2),
            maps(20, 0),
            maps(2, 1) * torch.inf,
            seed=0,
            device=CPU,
        )


def test_scores_are_told_between_typical_normal_and_typical_anomaly_images() -> None:
    head = positional(fit())
    normal, anomaly = (
        image_score(head(images), ScoreRule.TOP_TENTH).mean()
        for images in (maps(200, 0), maps(4, 1, shift=5.0))
    )
    torch.testing.assert_close(normal, torch.tensor(0.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(anomaly, torch.tensor(1.0), atol=1e-4, rtol=0)


def test_one_normal_image_is_enough() -> None:
    found = fit_maps(
        PositionalWscxr(steps=5, batch_size=16), maps(1, 0), maps(2, 1), seed=0, device=CPU
    )
    head = positional(found)
    assert torch.isfinite(head.anomaly_maps(maps(3, 2), torch.empty(0), torch.zeros(3))).all()
    assert torch.isfinite(head(maps(3, 2))).all()
