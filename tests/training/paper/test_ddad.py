from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.helpers import CPU, RecordingTrack
from training.methods.fitting import CHECKPOINTS
from training.paper import ddad
from training.paper.ddad import AutoencoderU, Ddad, DualEnsemble, reconstruction_loss
from training.paper.network import Budget, ImageScorer
from wscxr.errors import ConfigError

SIZE = 16


def normal_images(count: int, seed: int) -> Tensor:
    """Dark above, bright below, of varying contrast."""
    generator = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(0, 1, SIZE)[:, None].expand(SIZE, SIZE)
    contrast = 0.4 + 0.4 * torch.rand(count, 1, 1, 1, generator=generator)
    noise = 0.02 * torch.rand(count, 1, SIZE, SIZE, generator=generator)
    return (ramp * contrast + noise).clamp(0, 1)


def anomaly_images(count: int, seed: int) -> Tensor:
    """Normal ones with a bright square somewhere."""
    images = normal_images(count, seed)
    corners = torch.randint(0, SIZE - 7, (count, 2), generator=torch.Generator().manual_seed(seed))
    for image, (row, column) in zip(images, corners.tolist(), strict=True):
        image[:, row : row + 7, column : column + 7] = 1.0
    return images


def network(**changes: Any) -> Ddad:
    settings: dict[str, Any] = {"size": SIZE, "steps": 3, "batch_size": 16, "members": 2}
    return Ddad(**(settings | changes))


def fit(changes: dict[str, Any] | None = None, seed: int = 0, **more: Any) -> ImageScorer:
    images = normal_images(40, 1), anomaly_images(4, 2)
    return network(**(changes or {})).fit(*images, seed=seed, device=CPU, **more)


# --- the autoencoder ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_reconstruction_and_its_variance_have_the_images_shape(size: int) -> None:
    images = torch.rand(2, 1, size, size)
    reconstruction, log_variance = AutoencoderU(size)(images)
    assert reconstruction.shape == log_variance.shape == images.shape


def test_the_published_network_has_so_many_weights() -> None:
    """At 64 px, counted by hand from layers of 16, 32, 64, 64 channels, 2048 and 16."""
    encoder = 16 * (1 * 16 + 16 * 32 + 32 * 64 + 64 * 64) + 2 * (16 + 32 + 64 + 64)
    decoder = 16 * (64 * 64 + 64 * 32 + 32 * 16 + 16 * 2) + 2 * (64 + 32 + 16)
    linear = (1024 * 2048 + 2048) + 2 * 2048 + (2048 * 16 + 16)
    linear += (16 * 2048 + 2048) + 2 * 2048 + (2048 * 1024 + 1024)
    assert sum(p.numel() for p in AutoencoderU(64).parameters()) == encoder + decoder + linear


def test_the_loss_is_the_likelihood_of_a_gaussian() -> None:
    images, reconstruction, log_variance = torch.randn(3, 2, 1, 4, 4).unbind()
    # PyTorch's own is half of it, and bounds the variance from below by eps.
    variance = log_variance.exp()
    expected = 2 * torch.nn.functional.gaussian_nll_loss(reconstruction, images, variance)
    torch.testing.assert_close(reconstruction_loss(images, reconstruction, log_variance), expected)


# --- the discrepancy ----------------------------------------------------------------------------


class Fixed(torch.nn.Module):
    """Reconstructs every image as one value, with one variance."""

    def __init__(self, value: float, variance: float) -> None:
        super().__init__()
        self.value, self.variance = value, torch.tensor(variance)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones_like(images)
        return self.value * ones, self.variance.log() * ones


def test_the_discrepancy_against_a_hand_computed_one() -> None:
    ensemble = DualEnsemble(2, SIZE)
    ensemble.module_a = torch.nn.ModuleList([Fixed(5.0, 9.0), Fixed(9.0, 7.0)])
    ensemble.module_b = torch.nn.ModuleList([Fixed(1.0, 3.0), Fixed(3.0, 5.0)])
    images = torch.zeros(3, 1, SIZE, SIZE)
    # Means 7 and 2, variance of B on average 4.
    torch.testing.assert_close(ensemble.discrepancy(images), images + 5 / 2)


def test_the_score_is_the_mean_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    # A map to recognise: twice the image itself, which comes in from -1 to 1.
    monkeypatch.setattr(DualEnsemble, "discrepancy", lambda _, images: images + 1)
    images = normal_images(5, 3)
    torch.testing.assert_close(fit()(images), 2 * images.mean(dim=(1, 2, 3)))


# --- the scorer ---------------------------------------------------------------------------------


def test_what_module_a_alone_has_seen_scores_higher() -> None:
    """The modules disagree on unseen anomalies of the kind of the K images."""
    scorer = fit({"steps": 60, "learning_rate": 5e-3})
    normal, anomaly = scorer(normal_images(60, 8)), scorer(anomaly_images(60, 9))
    assert normal.shape == (60,)
    assert normal.dtype == torch.float32
    assert (anomaly[:, None] > normal).float().mean() > 0.9
    assert anomaly.mean() > 1.5 * normal.mean()


@pytest.fixture(scope="module")
def plain() -> ImageScorer:
    """Trained with seed 0 and nothing changed."""
    return fit()


def test_a_score_depends_on_its_own_image_only(plain: ImageScorer) -> None:
    images = torch.cat([normal_images(20, 5), anomaly_images(3, 6)])
    one_by_one = torch.cat([plain(image[None]) for image in images])
    torch.testing.assert_close(plain(images), one_by_one)
    assert torch.equal(plain(images), plain(images))


def test_the_same_seed_gives_the_same_scores(plain: ImageScorer) -> None:
    images = anomaly_images(4, 3)
    scores = plain(images)
    assert torch.equal(scores, fit()(images))
    assert not torch.equal(scores, fit(seed=1)(images))


def test_the_global_random_stream_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    fit()
    assert torch.equal(torch.rand(1), expected)


# --- training -----------------------------------------------------------------------------------


def batches_of(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[tuple[Tensor, ...]]:
    """What each network was given, told apart by grey values: normal -1, anomaly +1."""
    seen: dict[int, list[Tensor]] = {}
    original = AutoencoderU.forward

    def spy(self: AutoencoderU, images: Tensor) -> tuple[Tensor, Tensor]:
        seen.setdefault(id(self), []).append(images.mean(dim=(1, 2, 3)))
        return original(self, images)

    monkeypatch.setattr(AutoencoderU, "forward", spy)
    noise = 0.01 * torch.rand(40, 1, SIZE, SIZE)
    network(**changes).fit(noise, 1 - noise[:3], seed=0, device=CPU)
    return [tuple(batches) for batches in seen.values()]


def test_only_module_a_is_given_anomalies_and_their_part_is_fixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = batches_of(monkeypatch, anomaly_fraction=0.25)
    assert [len(given) for given in batches] == [3, 3, 3, 3]
    counts = [[int((batch > 0).sum()) for batch in given] for given in batches]
    assert counts == [[4, 4, 4], [4, 4, 4], [0, 0, 0], [0, 0, 0]]


def test_each_network_has_batches_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    first = [given[0] for given in batches_of(monkeypatch)]
    for i, one in enumerate(first):
        assert all(not torch.equal(one, other) for other in first[:i])


def test_every_network_learns_to_reconstruct(monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []

    def spy(*given: Tensor) -> Tensor:
        loss = reconstruction_loss(*given)
        losses.append(loss.item())
        return loss

    monkeypatch.setattr(ddad, "reconstruction_loss", spy)
    fit({"steps": 20, "learning_rate": 5e-3})
    of_network = torch.tensor(losses).reshape(20, 4).T
    assert (of_network[:, -1] < of_network[:, 0] - 0.3).all()


def test_each_step_is_told() -> None:
    track = RecordingTrack()
    fit({"steps": 4}, track=track)
    assert track.seen == track.totals == {"training DDAD": 4}


def test_training_can_be_interrupted() -> None:
    steps: list[int] = []

    def interrupt(items: Iterable[Any], description: str, total: int) -> Iterator[Any]:
        assert (description, total) == ("training DDAD", 1000)
        for item in items:
            if item == 2:
                raise KeyboardInterrupt
            steps.append(item)
            yield item

    with pytest.raises(KeyboardInterrupt):
        fit({"steps": 1000}, track=interrupt)
    assert steps == [0, 1]


def test_a_checkpoint_sees_the_scorer_on_its_way_and_changes_nothing() -> None:
    images, seen = anomaly_images(4, 3), []
    steps = {"steps": CHECKPOINTS + 2}
    scores = fit(steps, on_checkpoint=lambda scorer: seen.append(scorer(images)))(images)
    assert len(seen) == CHECKPOINTS
    assert not torch.equal(seen[0], seen[-1])
    assert torch.equal(seen[-1], scores)
    assert torch.equal(fit(steps)(images), scores)


def test_training_that_diverges_says_so() -> None:
    images = normal_images(8, 0)
    with pytest.raises(ConfigError, match="diverged"):
        network().fit(images * torch.inf, images, seed=0, device=CPU)


# --- settings -----------------------------------------------------------------------------------


def test_the_full_budget_is_the_papers_setting() -> None:
    full = Ddad.within(Budget.FULL)
    assert (full.size, full.members, full.batch_size, full.learning_rate) == (64, 3, 64, 5e-4)
    cpu = Ddad.within(Budget.CPU)
    assert cpu.size < full.size
    assert cpu.steps < full.steps


@pytest.mark.parametrize("change", [{"size": 40}, {"members": 1}, {"anomaly_fraction": 1.5}])
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        network(**change)
