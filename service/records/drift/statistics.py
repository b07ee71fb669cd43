"""Two samples compared, and a rate with its exact interval.

SciPy has all of this, but at 100 MB it would be the second largest package of a service that needs
two tails: that of a binomial and that of a chi-squared distribution. Of both there are short sums,
and the tests hold these functions to SciPy's.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

BINS = 9
"""Bins of the PSI, each with a ninth of the reference. Odd, so that the chi-squared distribution of
its bound has an even number of degrees of freedom, whose tail is a short sum."""

LEAST_KS = 0.1
"""A smaller distance is no drift worth a warning, however many images show it ..."""

LEAST_PSI = 0.1
"""... nor is a smaller PSI, which credit scoring, where it comes from, calls no change."""

_EMPTY = 0.5
"""Counted in every bin beforehand, as the logarithm of an empty one would be infinite."""


def ks(sample: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Kolmogorov-Smirnov distance: the largest difference of two distribution functions.

    Parameters
    ----------
    sample, reference
        Finite floats of shape (n,) and (m,), n and m at least 1, in any order.

    Returns
    -------
    float
        From 0 to 1.
    """
    both = np.concatenate([sample, reference])
    shares = [
        np.searchsorted(np.sort(each), both, side="right") / len(each)
        for each in (sample, reference)
    ]
    return float(np.abs(shares[0] - shares[1]).max())


def ks_limit(n: int, m: int, chance: float) -> float:
    """The distance that two samples of one distribution exceed with a chance, or a smaller one.

    The first term of Smirnov's distribution (1939): ``P(D > d) <= 2 exp(-2 d^2 n m / (n + m))``.
    Equal values make it more cautious.

    Parameters
    ----------
    n, m
        How many values there are in either sample.
    chance
        In (0, 1).
    """
    return math.sqrt(-math.log(chance / 2) / 2 * (1 / n + 1 / m))


def psi(sample: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Population stability index over `BINS` bins, which are quantiles of the reference.

    ``sum over bins of (a - e) ln(a / e)``, with the shares a of the sample and e of the reference.

    Parameters
    ----------
    sample, reference
        As for `ks`.
    """
    # Equal values fall into one bin, so that there may be fewer.
    edges = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS))
    found, expected = (_shares(each, edges) for each in (sample, reference))
    return float(((found - expected) * np.log(found / expected)).sum())


def psi_limit(n: int, m: int, chance: float) -> float:
    """The PSI that two samples of one distribution exceed with about a chance.

    ``(1/n + 1/m)`` times a quantile of the chi-squared distribution with one degree of freedom less
    than there are bins (Yurdakul and Naranjo, *Statistical properties of the population stability
    index*, 2020); arguments as for `ks_limit`.
    """
    half = _solve(lambda x: chance - _poisson_below((BINS - 1) // 2, x), high=500)
    return (1 / n + 1 / m) * 2 * half


def exact_interval(hits: int, n: int, chance: float = 0.05) -> tuple[float, float]:
    """Interval of Clopper and Pearson (1934) for a rate; it holds the rate but for the chance.

    Parameters
    ----------
    hits, n
        So many of so many, 0 <= hits <= n, n at least 1.
    chance
        Of the rate lying outside, half of it at either end.
    """
    tail = chance / 2
    low = _solve(lambda rate: chance_of_at_least(hits, n, rate) - tail) if hits else 0.0
    high = _solve(lambda rate: tail - 1 + chance_of_at_least(hits + 1, n, rate))
    return low, high if hits < n else 1.0


def chance_of_at_least(hits: int, n: int, rate: float) -> float:
    """Chance of so many hits, or more, in n tries at a rate: the upper tail of the binomial."""
    if hits <= 0:
        return 1.0
    if not 0 < rate < 1:
        return float(rate >= 1 and hits <= n)
    logarithms = (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(rate)
        + (n - k) * math.log1p(-rate)
        for k in range(hits, n + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logarithms)))


def _poisson_below(count: int, mean: float) -> float:
    """P(fewer than `count`) of a Poisson; that of a chi-squared of 2 count exceeding 2 mean."""
    return math.exp(-mean) * math.fsum(mean**k / math.factorial(k) for k in range(count))


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    bins = np.searchsorted(edges, values, side="left")
    counts = np.bincount(bins, minlength=len(edges) + 1) + _EMPTY
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _solve(rising: Callable[[float], float], high: float = 1.0) -> float:
    """Where a rising function of [0, high] crosses 0, by halving."""
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
