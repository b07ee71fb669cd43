import numpy as np
import pytest
from numpy.typing import NDArray

from training.calibrate.mixture import estimate_normal_part


def normal_scores(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Skewed, as real ones are."""
    return rng.gamma(3.0, 0.1, n)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("n", [200, 1000])
def test_the_threshold_stays_where_abnormal_images_are_mixed_in(share: float, n: int) -> None:
    rates, shares = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        reference = normal_scores(150, rng)
        # Another device: other place, other spread.
        abnormal = 0.5 + 2 * rng.normal(1.5, 0.6, round(share * n))
        site = np.r_[0.5 + 2 * normal_scores(n - len(abnormal), rng), abnormal]
        part = estimate_normal_part(site, reference)
        threshold = np.quantile(part.scores, 0.95)
        rates.append(float((0.5 + 2 * normal_scores(5000, rng) > threshold).mean()))
        shares.append(part.abnormal_share)
    assert np.mean(rates) == pytest.approx(0.055, abs=0.02)
    assert np.mean(shares) == pytest.approx(share, abs=0.04)


def test_a_plain_quantile_breaks_down_there() -> None:
    """What the estimator is for: with 10 % abnormal images the plain quantile misses many."""
    rng = np.random.default_rng(0)
    normal, abnormal = normal_scores(900, rng), rng.normal(1.5, 0.6, 100)
    plain = np.quantile(np.r_[normal, abnormal], 0.95)
    part = estimate_normal_part(np.r_[normal, abnormal], normal_scores(150, rng))
    robust = np.quantile(part.scores, 0.95)
    assert (abnormal > plain).mean() < 0.6
    assert (abnormal > robust).mean() > 0.8


def test_an_archive_of_the_same_place_changes_little() -> None:
    rng = np.random.default_rng(1)
    reference = normal_scores(300, rng)
    part = estimate_normal_part(reference, reference)
    assert part.abnormal_share == pytest.approx(0, abs=0.01)
    assert part.scores == pytest.approx(np.sort(reference), abs=0.02)


def test_it_ends_where_it_can_know_nothing() -> None:
    """All scores equal, on either side."""
    same = np.zeros(40)
    assert np.isfinite(estimate_normal_part(same, np.linspace(0, 1, 40)).scores).all()
    assert np.isfinite(estimate_normal_part(np.linspace(0, 1, 40), same).scores).all()


def test_more_than_half_is_never_called_abnormal() -> None:
    rng = np.random.default_rng(2)
    site = np.r_[normal_scores(100, rng), rng.normal(3, 0.3, 300)]
    assert estimate_normal_part(site, normal_scores(100, rng)).abnormal_share <= 0.5
