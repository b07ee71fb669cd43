from collections.abc import Hashable, Sequence

import pytest
import torch
from torch import Tensor

from training.ood import LEVEL, MARGIN, RANK, SHRINKAGE, fit_ood
from wscxr.model.ood import OodScorer, describe

WIDTH = 5


def maps(count: int, seed: int, shift: float = 0.0) -> Tensor:
    """Patch features of images: correlated channels about a level that differs by image."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(99))
    level = torch.randn(count, 1, 1, WIDTH, generator=generator) @ mixing
    return level + torch.randn(count, 4, 4, WIDTH, generator=generator) + shift


NORMAL, CALIBRATION, NONE = maps(300, 1), maps(100, 2), maps(0, 3)


def fit(
    anomaly: Tensor = NONE,
    groups: Sequence[Hashable] | None = None,
    *,
    normal: Tensor = NORMAL,
    calibration: Tensor = CALIBRATION,
    rank: int = RANK,
) -> OodScorer:
    groups = range(len(anomaly)) if groups is None else groups
    return fit_ood(normal, calibration, anomaly, groups, rank=rank)


def distances(scorer: OodScorer, features: Tensor) -> Tensor:
    return scorer.distance(describe(features))


# --- the Gaussian ---------------------------------------------------------------------------------


def test_of_full_rank_it_is_the_shrunk_covariance() -> None:
    scorer = fit()
    assert scorer.config.rank == 2 * WIDTH
    seen = describe(NORMAL).double()
    mean, scale = seen.mean(dim=0), seen.std(dim=0, correction=0)
    torch.testing.assert_close(scorer.mean.double(), mean, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(scorer.scale.double(), scale, atol=1e-6, rtol=1e-5)
    x = (seen - mean) / scale
    covariance = (1 - SHRINKAGE) * (x.T @ x / len(x)) + SHRINKAGE * torch.eye(2 * WIDTH)
    new = (describe(CALIBRATION).double() - mean) / scale
    expected = (new @ torch.linalg.inv(covariance) * new).sum(dim=1).sqrt()
    found = distances(scorer, CALIBRATION).double()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rank", [1, 4, 9])
def test_of_lower_rank_it_keeps_the_largest_variances_and_the_mean_of_the_rest(rank: int) -> None:
    full, low = fit(), fit(rank=rank)
    assert low.directions.shape == (rank, 2 * WIDTH)
    assert (full.eigenvalues.diff() <= 0).all()
    torch.testing.assert_close(low.eigenvalues, full.eigenvalues[:rank])
    torch.testing.assert_close(low.rest, full.eigenvalues[rank:].mean())
    torch.testing.assert_close(
        low.directions @ low.directions.T, torch.eye(rank), atol=1e-5, rtol=0
    )


def test_one_direction_less_than_all_loses_nothing() -> None:
    """The rest is a single direction then, and its mean variance is its own."""
    torch.testing.assert_close(
        distances(fit(rank=2 * WIDTH - 1), CALIBRATION), distances(fit(), CALIBRATION)
    )


def test_fewer_images_than_components_are_fitted_the_same_way() -> None:
    """From the small matrix of images in place of the large one of components."""
    few = NORMAL[:7]
    scorer = fit(normal=few)
    assert scorer.config.rank == 6
    x = ((describe(few) - scorer.mean) / scorer.scale).double()
    covariance = (1 - SHRINKAGE) * (x.T @ x / 7) + SHRINKAGE * torch.eye(2 * WIDTH)
    torch.testing.assert_close(
        scorer.eigenvalues.double(),
        torch.linalg.eigvalsh(covariance).flip(0)[:6],
        atol=1e-5,
        rtol=1e-5,
    )
    # Of seven images nothing varies along the other four directions but what shrinkage adds.
    assert float(scorer.rest) == pytest.approx(SHRINKAGE, rel=1e-4)
    new = ((describe(CALIBRATION) - scorer.mean) / scorer.scale).double()
    expected = (new @ torch.linalg.inv(covariance) * new).sum(dim=1).sqrt()
    found = distances(scorer, CALIBRATION).double()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_anomaly_images_are_part_of_the_fit() -> None:
    anomaly = maps(40, 4, shift=6.0)
    unseen = maps(20, 5, shift=6.0)
    assert distances(fit(anomaly), unseen).mean() < 0.5 * distances(fit(), unseen).mean()


def test_strange_images_are_told_and_others_are_not() -> None:
    scorer = fit(maps(16, 6, shift=1.0))
    assert (scorer(maps(200, 7)) > 1).float().mean() < 0.02
    assert (scorer(maps(200, 8, shift=30.0)) > 1).all()
    assert (scorer(torch.zeros(1, 4, 4, WIDTH)) > 1).all()  # no texture at all


# --- the threshold --------------------------------------------------------------------------------


def test_without_anomaly_images_it_comes_from_calibration_alone() -> None:
    scorer = fit()
    expected = MARGIN * torch.quantile(distances(scorer, CALIBRATION), LEVEL)
    assert float(scorer.threshold) == pytest.approx(float(expected))


def test_far_anomaly_images_raise_it_and_near_ones_do_not_lower_it() -> None:
    near, far = fit(maps(10, 9)), fit(maps(10, 10, shift=8.0))
    for scorer in (near, far):
        own = MARGIN * float(torch.quantile(distances(scorer, CALIBRATION), LEVEL))
        assert (float(scorer.threshold) > 1.5 * own) is (scorer is far)
        assert float(scorer.threshold) >= own - 1e-5


def test_anomaly_images_are_measured_by_a_fit_that_did_not_see_their_patient() -> None:
    """Two copies of every image: in one group each pair is held out together."""
    twice = (8 * maps(10, 11)).repeat_interleave(2, dim=0)
    by_patient = fit(twice, [number // 2 for number in range(20)])
    by_image = fit(twice, range(20))
    assert float(by_patient.threshold) > 1.02 * float(by_image.threshold)


@pytest.mark.parametrize("groups", [["a"], ["a", "a", "a"]])
def test_a_single_patient_is_measured_by_the_normals_alone(groups: list[str]) -> None:
    anomaly = maps(len(groups), 12, shift=8.0)
    expected = torch.quantile(distances(fit(), anomaly), LEVEL)
    assert float(fit(anomaly, groups).threshold) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("k", [2, 4, 7])
def test_few_anomaly_images_are_enough(k: int) -> None:
    assert float(fit(maps(k, 13)).threshold) > 0


# --- what could go wrong --------------------------------------------------------------------------


def test_the_same_features_give_the_same_scorer() -> None:
    anomaly = maps(6, 14)
    one, two = fit(anomaly).state_dict(), fit(anomaly).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_patients_may_have_any_names_but_only_who_is_who_matters() -> None:
    anomaly = maps(6, 15)
    one = fit(anomaly, ["b", "a", "b", "c", "d", "d"]).state_dict()
    two = fit(anomaly, ["1", "2", "1", "0", "9", "9"]).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_channel_that_is_always_zero_does_not_decide() -> None:
    """A unit that first fires on a new radiograph is no proof that it is none."""
    dead, alive = NORMAL.clone(), CALIBRATION.clone()
    dead[..., 0] = 0
    scorer = fit(normal=dead, calibration=alive * torch.tensor([1e-4, 1, 1, 1, 1]))
    assert scorer.scale.min() > 0
    assert torch.isfinite(scorer(maps(5, 16))).all()
    assert float(scorer.threshold) < 100


@pytest.mark.parametrize("count", [1, 2, 5])
def test_images_that_are_all_the_same_are_no_error(count: int) -> None:
    same = torch.full((count, 4, 4, WIDTH), 2.0)
    scorer = fit(normal=same, calibration=same)
    assert scorer(same).tolist() == [0.0] * count
    assert torch.isfinite(scorer(CALIBRATION)).all()
    assert (scorer(CALIBRATION) > 1).all()


def test_features_on_disk_are_read_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit().state_dict()
    monkeypatch.setattr("training.ood._BLOCK", 7)
    blocks = fit().state_dict()
    for name in whole:
        torch.testing.assert_close(blocks[name].abs(), whole[name].abs(), atol=1e-4, rtol=1e-4)
