from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wscxr.model import mining
from wscxr.model.mining import mine, nearest_normal_distance


def brute_force(anomaly: Tensor, normal: Tensor, neighbours: int = 1) -> Tensor:
    """Eq. 4, or its mean over several neighbours, written down, in double precision."""
    return torch.stack(
        [
            (normal.double() - row).square().sum(dim=1).sqrt().sort()[0][:neighbours].mean()
            for row in anomaly.double()
        ]
    )


def gaussian(rows: int, columns: int, seed: int, *, shift: float = 0.0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) + shift


# --- nearest_normal_distance (Eq. 4) ------------------------------------------------------------


def test_distance_by_hand() -> None:
    normal = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    anomaly = torch.tensor([[3.0, 4.0], [10.0, 1.0], [6.0, 0.0]])
    torch.testing.assert_close(
        nearest_normal_distance(anomaly, normal), torch.tensor([5.0, 1.0, 4.0])
    )


@given(
    sizes=st.tuples(st.integers(1, 12), st.integers(1, 40), st.integers(1, 9)),
    shift=st.sampled_from([0.0, -3.0, 1000.0]),
    neighbours=st.integers(1, 7),
    seed=st.integers(0, 2**16),
)
def test_distance_is_that_of_brute_force(
    sizes: tuple[int, int, int], shift: float, neighbours: int, seed: int
) -> None:
    """Also where more neighbours are asked for than there are."""
    rows, normals, columns = sizes
    anomaly = gaussian(rows, columns, seed, shift=shift)
    normal = gaussian(normals, columns, seed + 1, shift=shift)
    found = nearest_normal_distance(anomaly, normal, neighbours=neighbours)
    assert found.dtype == torch.float32
    expected = brute_force(anomaly, normal, neighbours)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("neighbours", "tolerance"), [(1, 0.0), (5, 1e-6)])
@pytest.mark.parametrize("elements", [1, 7, 64, 1000])
def test_blocks_change_nothing(
    elements: int, neighbours: int, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where a block holds fewer than the neighbours asked for."""
    anomaly, normal = gaussian(11, 5, 0), gaussian(53, 5, 1)
    whole = nearest_normal_distance(anomaly, normal, neighbours=neighbours)
    monkeypatch.setattr(mining, "_BLOCK_ELEMENTS", elements)
    blocks = nearest_normal_distance(anomaly, normal, neighbours=neighbours)
    torch.testing.assert_close(blocks, whole, rtol=0, atol=tolerance)


def test_blocks_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mining, "_BLOCK_ELEMENTS", 100)
    largest = 0
    addmm = torch.addmm

    def spy(*args: Any, **kwargs: Any) -> Any:
        nonlocal largest
        result = addmm(*args, **kwargs)
        largest = max(largest, result.numel())
        return result

    monkeypatch.setattr(torch, "addmm", spy)
    nearest_normal_distance(gaussian(10, 5, 0), gaussian(200, 5, 1))
    assert 0 < largest <= 100


@given(seed=st.integers(0, 2**16), shift=st.sampled_from([0.0, 50.0]))
def test_members_of_the_normal_set_have_distance_zero(seed: int, shift: float) -> None:
    normal = gaussian(30, 6, seed, shift=shift)
    picked = normal[torch.randperm(30, generator=torch.Generator().manual_seed(seed))[:7]]
    assert nearest_normal_distance(picked, normal).tolist() == [0.0] * 7


def test_distances_below_the_rounding_of_the_square_are_exact() -> None:
    # ||a||^2 - 2ab + ||b||^2 alone would give 0 or noise here: 1e-3 beside a norm of 1e3.
    normal = gaussian(20, 8, 0) + 1000
    anomaly = normal[:4].clone()
    anomaly[:, 0] += 1e-3
    torch.testing.assert_close(
        nearest_normal_distance(anomaly, normal).double(),
        brute_force(anomaly, normal),
        rtol=1e-6,
        atol=0,
    )


def test_the_normal_set_may_be_memory_mapped(tmp_path: Path) -> None:
    normal = gaussian(40, 6, 1)
    mapped = np.memmap(tmp_path / "normal", dtype=np.float32, mode="w+", shape=(40, 6))
    mapped[:] = normal.numpy()
    anomaly = gaussian(5, 6, 0)
    torch.testing.assert_close(
        nearest_normal_distance(anomaly, torch.from_numpy(mapped)),
        nearest_normal_distance(anomaly, normal),
        rtol=0,
        atol=0,
    )


def test_one_far_outlier_does_not_spoil_the_others() -> None:
    anomaly = torch.cat([gaussian(9, 4, 0), torch.full((1, 4), 300.0)])
    normal = gaussian(60, 4, 1)
    torch.testing.assert_close(
        nearest_normal_distance(anomaly, normal).double(),
        brute_force(anomaly, normal),
        rtol=1e-3,
        atol=1e-3,
    )


# --- mine (Eq. 5) -------------------------------------------------------------------------------


def test_the_largest_distances_are_kept_in_ascending_order_of_index() -> None:
    scores = torch.tensor([0.5, 3.0, 0.1, 2.0, 1.0])
    assert mine(scores, 0.4).tolist() == [1, 3]
    assert mine(scores, 0.6).tolist() == [1, 3, 4]


def test_of_equal_scores_the_earlier_is_kept() -> None:
    assert mine(torch.tensor([1.0, 2.0, 1.0, 2.0, 1.0]), 0.6).tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("r", "count", "kept"),
    [
        (0.29, 100, 29),  # 0.29 * 100 = 28.999... in floating point
        (0.57, 100, 57),  # 56.999...
        (0.2, 1024, 204),
        (0.2, 9, 1),
        (0.1, 5, 1),  # floor is 0: at least one
        (1e-6, 3, 1),
        (1.0, 7, 7),
    ],
)
def test_how_many_are_kept(r: float, count: int, kept: int) -> None:
    assert len(mine(torch.rand(count), r)) == kept


@given(percent=st.integers(1, 100), count=st.integers(1, 20_000))
def test_floor_is_exact_for_any_percentage(percent: int, count: int) -> None:
    exact = max(1, int(Fraction(percent, 100) * count))
    assert len(mine(torch.zeros(count), percent / 100)) == exact


@given(
    scores=st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=1, max_size=30),
    r=st.floats(0.01, 1.0),
)
def test_mining_is_a_stable_sort(scores: list[float], r: float) -> None:
    kept = mine(torch.tensor(scores), r).tolist()
    ranked = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    assert kept == sorted(ranked[: len(kept)])
