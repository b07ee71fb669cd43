from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers import CPU, RecordingTrack, gaussian
from training.methods.fitting import CHECKPOINTS, Fit
from training.methods.settings import SimpleNet
from training.methods.simplenet import MARGIN, SimpleNetwork
from wscxr.errors import ConfigError
from wscxr.model.heads import Head
from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig

NO_ANOMALY = torch.zeros(0, 0)
CHANNELS = 12


def normal_set(rows: int = 2000, seed: int = 0) -> Tensor:
    """Features on a plane, off the origin and of unequal scale, as rectified maps are."""
    plane = gaussian(3, CHANNELS, seed=99) * torch.logspace(-1, 1, CHANNELS)
    return gaussian(rows, 3, seed=seed) @ plane + 4


def off_plane(rows: int = 200) -> Tensor:
    normal = normal_set(rows, seed=5)
    return normal + 2 * normal_set().std(dim=0) * gaussian(rows, CHANNELS, seed=6)


def fit(seed: int = 0, normal: Tensor | None = None, **changes: Any) -> Fit:
    settings = {"hidden": 32, "steps": 200, "batch_size": 128, "learning_rate": 2e-3}
    return SimpleNet(**(settings | changes)).fit(
        normal_set() if normal is None else normal, NO_ANOMALY, seed=seed, device=CPU
    )


def state(found: Fit) -> dict[str, Tensor]:
    return found.head.state_dict()


def same(one: Fit, two: Fit) -> bool:
    first, second = state(one), state(two)
    return all(torch.equal(first[key], second[key]) for key in first)


@torch.no_grad()
def score(found: Fit, features: Tensor) -> Tensor:
    scores: Tensor = found.head(features)
    return scores


# --- the head -----------------------------------------------------------------------------------


def test_the_folded_head_is_the_network() -> None:
    features = normal_set(500)
    torch.manual_seed(0)
    network = SimpleNetwork(CHANNELS, 7)
    # Nothing may be at its neutral start, where a forgotten part would not show.
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    head = DiscriminatorConfig(in_features=CHANNELS, hidden=(7,)).build()
    head.standardise_by(features.mean(dim=0), features.std(dim=0))
    standardised = (features - features.mean(dim=0)) / features.std(dim=0)
    network.train()
    for _ in range(5):
        network(standardised + torch.randn(CHANNELS))
    network.fold_into(head)
    assert network.training
    with torch.no_grad():
        expected = MARGIN - network.eval()(standardised)
        torch.testing.assert_close(head(features), expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.1


def test_normal_features_score_below_zero_and_others_above_one() -> None:
    found = fit()
    assert isinstance(found.head, Discriminator)
    assert found.head.config == DiscriminatorConfig(in_features=CHANNELS, hidden=(32,))
    assert not found.head.training
    assert score(found, normal_set(200, seed=7)).median() < 0.05
    assert score(found, off_plane()).median() > 1
    assert 0 <= found.metrics["loss"] < 0.5


def test_the_loss_is_that_of_the_paper() -> None:
    """The first step, by hand: max(0, th - D(q)) + max(0, th + D(q + noise)), th = 0.5."""
    normal = normal_set(100)
    torch.manual_seed(3)
    network = SimpleNetwork(CHANNELS, 32)
    generator = torch.Generator().manual_seed(3)
    drawn = normal[torch.randint(100, (128,), generator=generator)]
    noise = 0.7 * torch.randn(128, CHANNELS, generator=generator)
    adapted = network.adaptor((drawn - normal.mean(dim=0)) / normal.std(dim=0, correction=0))
    scores = network.discriminator(torch.cat([adapted, adapted + noise]))[:, 0].tolist()
    real = sum(max(0.0, 0.5 - d) for d in scores[:128]) / 128
    noisy = sum(max(0.0, 0.5 + d) for d in scores[128:]) / 128
    found = fit(seed=3, normal=normal, steps=1, noise_std=0.7)
    assert found.metrics["loss"] == pytest.approx(real + noisy, rel=1e-4)


def test_more_noise_leaves_more_room_around_normal() -> None:
    near = normal_set(300, seed=7) + 0.3 * normal_set().std(dim=0) * gaussian(300, CHANNELS)
    assert score(fit(noise_std=0.2), near).mean() > score(fit(noise_std=1.5), near).mean() + 0.1


# --- training -----------------------------------------------------------------------------------


def test_one_seed_gives_one_head_whatever_the_global_state() -> None:
    torch.manual_seed(1)
    one = fit(steps=20)
    before = torch.random.get_rng_state()
    two = fit(steps=20)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(one, two)
    assert one.metrics == two.metrics
    assert not same(one, fit(steps=20, seed=1))


@pytest.mark.parametrize(
    "change",
    [
        {"noise_std": 0.5},
        {"steps": 21},
        {"batch_size": 127},
        {"adaptor_learning_rate": 1e-2},
        {"learning_rate": 1e-3},
        {"weight_decay": 0.1},
    ],
    ids=str,
)
def test_every_setting_is_used(change: dict[str, Any]) -> None:
    assert not same(fit(steps=20), fit(**({"steps": 20} | change)))


def test_checkpoints_tell_of_the_head_and_leave_training_as_it_was() -> None:
    seen: list[Tensor] = []
    probe = off_plane(50)

    @torch.no_grad()
    def look(head: Head) -> None:
        seen.append(head(probe))

    method = SimpleNet(hidden=8, steps=45, batch_size=64)
    looked = method.fit(normal_set(), NO_ANOMALY, seed=0, device=CPU, on_checkpoint=look)
    unlooked = method.fit(normal_set(), NO_ANOMALY, seed=0, device=CPU)
    assert same(looked, unlooked)
    assert len(seen) == CHECKPOINTS
    assert torch.equal(seen[-1], score(looked, probe))
    assert not torch.equal(seen[0], seen[-1])


def test_progress_is_told_of_each_step() -> None:
    track = RecordingTrack()
    SimpleNet(hidden=4, steps=5, batch_size=8).fit(
        normal_set(), NO_ANOMALY, seed=0, device=CPU, track=track
    )
    assert track.seen == track.totals == {"training the discriminator": 5}


def test_copies_of_one_image_leave_scores_finite() -> None:
    found = fit(normal=torch.ones(50, CHANNELS), steps=20)
    assert torch.isfinite(score(found, off_plane())).all()


def test_training_that_diverges_is_an_error() -> None:
    with pytest.raises(ConfigError, match="diverged"):
        fit(normal=torch.full((50, CHANNELS), torch.inf), steps=3)
