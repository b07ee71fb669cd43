from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers import CPU, RecordingTrack
from training.methods import fitting
from training.methods import wscxr as wscxr_method
from training.methods.fitting import CHECKPOINTS, Fit, checkpoint_steps
from training.methods.settings import Wscxr
from wscxr.errors import ConfigError
from wscxr.model.heads import Head
from wscxr.model.heads.discriminator import Discriminator, discriminator_loss
from wscxr.model.mining import mine, nearest_normal_distance

CHANNELS = 6


def gaussian(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, CHANNELS, generator=torch.Generator().manual_seed(seed))


def toy(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Normals around 0; of the anomaly set's features one in five lies far off."""
    normal = gaussian(500, seed)
    anomaly = gaussian(100, seed + 1)
    anomaly[::5] += 8.0
    return normal, anomaly


def method(**changes: Any) -> Wscxr:
    settings = {"hidden": (8,), "steps": 150, "batch_size": 128, "learning_rate": 0.01}
    return Wscxr(**(settings | changes))


def fit(changes: dict[str, Any] | None = None, seed: int = 0) -> Fit:
    return method(**(changes or {})).fit(*toy(), seed=seed, device=CPU)


def discriminator(found: Fit) -> Discriminator:
    assert isinstance(found.head, Discriminator)
    return found.head


@torch.no_grad()
def score(found: Fit, features: Tensor) -> Tensor:
    scores: Tensor = found.head(features)
    return scores


def same(one: Fit, two: Fit) -> bool:
    first, second = one.head.state_dict(), two.head.state_dict()
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("hidden", [(), (8,), (16, 8)])
def test_what_can_be_told_apart_is_learnt(hidden: tuple[int, ...]) -> None:
    found = fit({"hidden": hidden})
    unseen_normal, unseen_anomaly = gaussian(300, 50), gaussian(300, 51) + 8.0
    assert (score(found, unseen_normal) < 0.5).float().mean() > 0.9
    assert (score(found, unseen_anomaly) > 0.5).float().mean() > 0.9
    assert not found.head.training
    assert 0 <= found.metrics["loss"] < 0.6


def test_the_loss_says_how_well_it_can_be_told_apart() -> None:
    easy = fit({"mixing": False})
    impossible = method(mining=False).fit(gaussian(300, 0), gaussian(300, 1), seed=0, device=CPU)
    assert easy.metrics["loss"] < 0.1 < impossible.metrics["loss"]


def test_training_is_deterministic() -> None:
    one, two = fit(), fit()
    assert same(one, two)
    assert one.metrics == two.metrics
    assert not same(one, fit(seed=1))


def test_the_global_random_stream_and_threads_are_left_alone() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    fit({"steps": 2})
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == threads


# --- the switches -------------------------------------------------------------------------------


def drawn_anomalies(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Tensor:
    """What the loss was given as anomaly features: recorded at the discriminator's input."""
    seen: list[Tensor] = []
    original = wscxr_method._draw_pairs

    def spy(*args: Any, **kwargs: Any) -> Any:
        m_n, m_a = original(*args, **kwargs)
        seen.append(m_a.clone())
        return m_n, m_a

    monkeypatch.setattr(wscxr_method, "_draw_pairs", spy)
    fit({"steps": 20} | changes)
    return torch.cat(seen)


def rows_of(features: Tensor, pool: Tensor) -> Tensor:
    """Which rows occur, to the bit, in a pool."""
    return (features[:, None] == pool[None]).all(dim=2).any(dim=1)


def test_mining_keeps_only_the_far_features(monkeypatch: pytest.MonkeyPatch) -> None:
    normal, anomaly = toy()
    kept = anomaly[mine(nearest_normal_distance(anomaly, normal), 0.2)]
    assert torch.equal(kept, anomaly[::5])
    seen = drawn_anomalies(monkeypatch, mixing=False, r=0.2)
    assert rows_of(seen, kept).all()


def test_without_mining_all_features_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    _, anomaly = toy()
    seen = drawn_anomalies(monkeypatch, mixing=False, mining=False)
    assert rows_of(seen, anomaly).all()
    assert 0.1 < rows_of(seen, anomaly[::5]).float().mean() < 0.3


def test_r_decides_how_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = drawn_anomalies(monkeypatch, mixing=False, r=0.05)
    assert len(torch.unique(seen, dim=0)) == 5


def test_mixing_moves_anomalies_towards_normals(monkeypatch: pytest.MonkeyPatch) -> None:
    _, anomaly = toy()
    seen = drawn_anomalies(monkeypatch, mixing=True)
    assert not rows_of(seen, anomaly).any()
    # alpha ~ U[0.1, 1.0] takes the mean of 8 to 0.55 times 8.
    assert seen.mean().item() == pytest.approx(0.55 * 8, abs=0.3)


def test_each_switch_changes_the_result() -> None:
    everything = fit()
    for changes in ({"mining": False}, {"mixing": False}, {"r": 0.05}, {"steps": 151}):
        assert not same(everything, fit(changes))


def test_mining_helps_where_most_anomaly_patches_are_normal() -> None:
    features = torch.cat([gaussian(200, 50), gaussian(200, 51) + 8.0])

    def gap(found: Fit) -> float:
        scores = score(found, features)
        return float(scores[200:].min() - scores[:200].max())

    assert gap(fit()) > 0
    assert fit().metrics["loss"] < fit({"mining": False}).metrics["loss"]


# --- details ------------------------------------------------------------------------------------


def test_each_step_is_told() -> None:
    track = RecordingTrack()
    method(steps=7).fit(*toy(), seed=0, device=CPU, track=track)
    assert track.seen == track.totals == {"mining": 1, "training the discriminator": 7}


def test_features_are_standardised_by_the_normal_set(monkeypatch: pytest.MonkeyPatch) -> None:
    # Far from 0, where float32 sums lose digits; several blocks.
    monkeypatch.setattr(fitting, "_BLOCK", 64)
    normal = gaussian(500, 0) * torch.tensor([1.0, 5.0, 0.5, 1.0, 1.0, 0.0]) + 1000.0
    found = discriminator(method(steps=1).fit(normal, normal[:50] + 5, seed=0, device=CPU))
    exact = normal.double()
    mean, std = exact.mean(dim=0), exact.std(dim=0, correction=0)
    torch.testing.assert_close(found.mean.double(), mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.scale[:5].double(), 1 / std[:5], rtol=1e-4, atol=0)
    assert found.scale[5] == 0.0


def test_the_learning_rate_falls_to_zero() -> None:
    """The last steps move the weights less than the first ones: there is nothing to stop early."""
    first, last = fit({"steps": 1}), fit({"steps": 2})
    one, two = (f.head.state_dict()["layers.0.weight"] for f in (first, last))
    start = fit({"steps": 1, "learning_rate": 1e-12})
    origin = start.head.state_dict()["layers.0.weight"]
    assert 0 < (two - one).abs().max() < (one - origin).abs().max()


def test_the_reported_loss_is_the_mean_of_the_last_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []

    def spy(normal: Tensor, anomaly: Tensor) -> Tensor:
        loss = discriminator_loss(normal, anomaly)
        losses.append(loss.item())
        return loss

    monkeypatch.setattr(wscxr_method, "discriminator_loss", spy)
    found = fit({"steps": 30})
    assert found.metrics["loss"] == pytest.approx(sum(losses[-3:]) / 3)


def test_one_anomaly_feature_is_enough() -> None:
    found = method().fit(gaussian(100, 0), torch.full((1, CHANNELS), 6.0), seed=0, device=CPU)
    assert score(found, torch.full((1, CHANNELS), 6.0)).item() > 0.5


def test_training_that_diverges_says_so() -> None:
    normal, anomaly = toy()
    with pytest.raises(ConfigError, match="diverged"):
        method(steps=2, mining=False).fit(normal * torch.inf, anomaly, seed=0, device=CPU)


# --- checkpoints --------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 7, CHECKPOINTS, 500])
def test_checkpoints_are_evenly_spread_and_end_with_the_last_step(steps: int) -> None:
    told = sorted(checkpoint_steps(steps))
    assert len(told) == min(CHECKPOINTS, steps)
    assert told[-1] == steps - 1
    gaps = [b - a for a, b in pairwise([-1, *told])]
    assert max(gaps) - min(gaps) <= 1


def test_a_checkpoint_sees_the_head_on_its_way_and_changes_nothing() -> None:
    seen: list[Tensor] = []
    probe = gaussian(5, 9)

    def look(head: Head) -> None:
        with torch.no_grad():
            seen.append(head(probe))

    found = method().fit(*toy(), seed=0, device=CPU, on_checkpoint=look)
    assert len(seen) == CHECKPOINTS
    assert not torch.equal(seen[0], seen[-1])
    assert torch.equal(seen[-1], score(found, probe))
    assert same(found, fit())
