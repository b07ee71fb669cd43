from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.helpers import CPU, RecordingTrack, gaussian
from training.methods.fitting import Fit
from training.methods.patchcore import farthest_first
from training.methods.settings import PatchCore
from wscxr.model.heads import Head
from wscxr.model.heads.memory_bank import MemoryBank

NO_ANOMALY = torch.zeros(0, 0)


def skewed(rows: int, seed: int = 0) -> Tensor:
    """Most points close together, some far off, as patch features are."""
    points = gaussian(rows, 12, seed=seed)
    points = points * torch.exp(gaussian(rows, 1, seed=seed + 1))
    return points - points.mean(dim=0)


def centres(points: Tensor, count: int, first: int = 0) -> list[int]:
    return list(islice(farthest_first(points, first), count))


def plain_search(points: Tensor, count: int, first: int = 0) -> list[int]:
    """The textbook's loop, in double precision."""
    points = points.double()
    chosen = [first]
    nearest = torch.cdist(points, points[[first]])[:, 0]
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = nearest.minimum(torch.cdist(points, points[chosen[-1:]])[:, 0])
    return chosen


def radius(points: Tensor, chosen: list[int]) -> float:
    return float(torch.cdist(points, points[chosen]).amin(dim=1).max())


def fit(normal: Tensor, seed: int = 0, **settings: Any) -> Fit:
    return PatchCore(**settings).fit(normal, NO_ANOMALY, seed=seed, device=CPU)


def bank_of(found: Fit) -> MemoryBank:
    assert isinstance(found.head, MemoryBank)
    return found.head


# --- the coreset --------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "count"), [(50, 50), (3000, 700), (20000, 150)])
def test_each_next_centre_is_the_farthest(rows: int, count: int) -> None:
    """More than one round, more points than a pool, more than a block."""
    points = skewed(rows)
    assert centres(points, count, first=3) == plain_search(points, count, first=3)


def test_a_crowd_of_far_points_is_left_for_farther_ones() -> None:
    """One centre among them makes all of them near, and others the farthest."""
    crowd = 0.01 * gaussian(5000, 8) + 50
    others = 5 * gaussian(100, 8, seed=1)
    points = torch.cat([crowd, others])
    points -= points.mean(dim=0)
    assert centres(points, 90, first=5050) == plain_search(points, 90, first=5050)


def test_the_coreset_covers_better_than_chance() -> None:
    points = skewed(3000)
    chosen = centres(points, 60)
    for seed in range(20):
        random = np.random.default_rng(seed).choice(len(points), 60, replace=False)
        assert radius(points, chosen) < 0.8 * radius(points, random.tolist())


@pytest.mark.parametrize("points", [torch.zeros(300, 4), gaussian(3, 4).repeat(100, 1)])
def test_copies_are_taken_once_each(points: Tensor) -> None:
    assert sorted(centres(points, 300)) == list(range(300))


# --- the fit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [5, 200])
def test_the_bank_holds_the_share_asked_for_of_the_normal_set(channels: int) -> None:
    """With and without projection to fewer dimensions."""
    normal = gaussian(1000, channels)
    bank = bank_of(fit(normal, coreset_ratio=0.05)).bank
    assert bank.shape == (50, channels)
    kept = (normal[:, None] == bank).all(dim=2)
    assert kept.any(dim=0).all()
    assert kept.sum() == 50
    assert len(bank_of(fit(normal[:20], coreset_ratio=0.01)).bank) == 1


def test_the_coreset_of_projected_features_still_covers() -> None:
    """Rare features are kept, which chance would leave out."""
    normal = 0.1 * gaussian(2000, 200)
    normal[:20] += 5 * gaussian(20, 200, seed=1)
    bank = bank_of(fit(normal, coreset_ratio=0.02)).bank
    assert (normal[:20, None] == bank).all(dim=2).any(dim=1).all()


def test_one_seed_gives_one_bank_whatever_the_global_state() -> None:
    normal = gaussian(500, 200)
    torch.manual_seed(1)
    one = fit(normal, coreset_ratio=0.1)
    state = torch.random.get_rng_state()
    two = fit(normal, coreset_ratio=0.1)
    other = fit(normal, seed=1, coreset_ratio=0.1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(bank_of(one).bank, bank_of(two).bank)
    assert one.metrics == two.metrics
    assert not torch.equal(bank_of(one).bank, bank_of(other).bank)


def test_a_set_on_disk_gives_the_same_bank(tmp_path: Path) -> None:
    normal = gaussian(500, 200)
    np.save(tmp_path / "normal.npy", normal.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "normal.npy", mmap_mode="r+"))
    assert torch.equal(bank_of(fit(mapped)).bank, bank_of(fit(normal)).bank)


@pytest.mark.parametrize("ratio", [0.01, 0.3, 0.6, 0.999, 1.0])
def test_unseen_normal_features_score_about_zero(ratio: float) -> None:
    found = fit(gaussian(1000, 10), coreset_ratio=ratio)
    assert found.metrics == {"unit": float(bank_of(found).unit)}
    scores = found.head(gaussian(1000, 10, seed=1))
    assert abs(scores.median()) < 0.4
    assert found.head(gaussian(100, 10, seed=2) + 20).min() > 3


@pytest.mark.parametrize("ratio", [0.1, 1.0])
@pytest.mark.parametrize(
    "normal",
    [torch.zeros(40, 3), torch.ones(40, 3), gaussian(4, 3).repeat(10, 1)],
    ids=["zeros", "ones", "copies"],
)
def test_copies_of_one_image_leave_scores_finite(normal: Tensor, ratio: float) -> None:
    # As two runs of a backbone differ.
    rounding = 1e-7 * gaussian(40, 3, seed=1)
    found = fit(normal + rounding * normal.abs(), coreset_ratio=ratio)
    assert found.metrics["unit"] > 0.1
    scores = found.head(torch.cat([normal, normal + 5]))
    assert torch.isfinite(scores).all()
    assert scores[40:].min() > scores[:40].min()


def test_the_one_checkpoint_is_the_final_head() -> None:
    told: list[Head] = []
    found = PatchCore().fit(
        gaussian(300, 4), NO_ANOMALY, seed=0, device=CPU, on_checkpoint=told.append
    )
    assert told == [found.head]
    assert not found.head.training


def test_progress_is_told_of_each_centre() -> None:
    track = RecordingTrack()
    PatchCore(coreset_ratio=0.1).fit(gaussian(300, 4), NO_ANOMALY, seed=0, device=CPU, track=track)
    assert track.seen == track.totals == {"choosing the coreset": 30}


@pytest.mark.parametrize("ratio", [0, -0.1, 1.1])
def test_a_ratio_that_makes_no_sense(ratio: float) -> None:
    with pytest.raises(ValidationError):
        PatchCore(coreset_ratio=ratio)
