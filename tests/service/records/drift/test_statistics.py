"""Distances and limits, held to SciPy's and to what samples of one distribution give."""

import numpy as np
import pytest
from scipy import stats

from service.records.drift import statistics


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_ks_distance_is_scipys(rng: np.random.Generator) -> None:
    for n, m in ((1, 1), (5, 80), (200, 111)):
        a, b = rng.normal(size=n), rng.normal(0.3, size=m).round(1)
        assert statistics.ks(a, b) == pytest.approx(stats.ks_2samp(a, b).statistic)


def test_the_ks_limit_is_kolmogorovs_quantile() -> None:
    for n, m, chance in ((50, 200, 0.001), (1000, 1000, 0.01)):
        expected = stats.kstwobign.isf(chance) * (1 / n + 1 / m) ** 0.5
        assert statistics.ks_limit(n, m, chance) == pytest.approx(expected, rel=1e-3)


def test_the_psi_limit_is_a_quantile_of_chi_squared() -> None:
    for n, m, chance in ((50, 200, 0.001), (1000, 300, 1e-5)):
        expected = stats.chi2.isf(chance, statistics.BINS - 1) * (1 / n + 1 / m)
        assert statistics.psi_limit(n, m, chance) == pytest.approx(expected, rel=1e-6)


def test_the_psi_by_hand() -> None:
    reference = np.arange(90.0)
    assert statistics.psi(reference, reference) == 0
    # All in the first bin: 45.5 of 49.5 against 10.5 of 94.5, and 0.5 of 49.5 in each of eight.
    found = statistics.psi(np.zeros(45), reference)
    a, e = np.array([45.5, *[0.5] * 8]) / 49.5, np.full(9, 1 / 9)
    assert found == pytest.approx(((a - e) * np.log(a / e)).sum())


@pytest.mark.parametrize(("n", "m"), [(50, 100), (200, 200), (500, 111)])
def test_samples_of_one_distribution_seldom_pass_the_limits(
    rng: np.random.Generator, n: int, m: int
) -> None:
    chance, draws = 0.01, 2000
    far, unstable = 0, 0
    for _ in range(draws):
        a, b = rng.gamma(2, size=n), rng.gamma(2, size=m)
        far += statistics.ks(a, b) > statistics.ks_limit(n, m, chance)
        unstable += statistics.psi(a, b) > statistics.psi_limit(n, m, chance)
    # 20 are expected; more than 36 come once in a thousand times.
    assert far <= 36
    assert 2 <= unstable <= 36


def test_limits_shrink_with_the_images() -> None:
    for limit in (statistics.ks_limit, statistics.psi_limit):
        assert limit(50, 200, 0.001) > limit(500, 200, 0.001) > limit(500, 2000, 0.001)
        assert limit(50, 200, 0.0001) > limit(50, 200, 0.001)


def test_equal_values_share_a_bin() -> None:
    assert statistics.psi(np.ones(50), np.ones(50)) == pytest.approx(0)
    assert statistics.psi(np.full(50, 2.0), np.ones(50)) > 1


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 30), (3, 40), (40, 40), (7, 5000)])
def test_the_interval_is_clopper_and_pearsons(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert statistics.exact_interval(hits, n) == pytest.approx(expected, abs=1e-9)


def test_the_tail_of_the_binomial() -> None:
    for hits, n, rate in ((0, 5, 0.3), (3, 40, 0.05), (400, 5000, 0.07)):
        assert statistics.chance_of_at_least(hits, n, rate) == pytest.approx(
            stats.binom.sf(hits - 1, n, rate)
        )
    assert statistics.chance_of_at_least(1, 5, 0) == 0
    assert statistics.chance_of_at_least(5, 5, 1) == 1
