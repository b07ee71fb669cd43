"""Intervals of AUROC, average precision and differences of AUROC: a bootstrap over patients."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import rankdata

from training.evaluation.results import Estimate

RESAMPLES = 1000
CONFIDENCE = 0.95

_BLOCK = 100
"""Resamples computed together, which bounds memory."""


def estimate_areas(
    abnormal: NDArray[np.bool_],
    scores: NDArray[np.floating],
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> tuple[Estimate, Estimate]:
    """AUROC and average precision with bootstrap 95 % intervals.

    Patients, with all their images, are drawn with replacement (Field and Welsh, *Bootstrapping
    clustered data*, 2007), separately those with normal images only, with abnormal ones only, and
    with both, so that no resample lacks a class. The interval is normal on the logit scale with
    the bootstrap's standard error: it stays inside [0, 1], and near 1 it covers better than the
    bootstrap's percentiles do. In simulations AUROC's covers 91 to 97 %, and that of average
    precision, which few images give with a bias, 90 to 94 %.

    Two cases need no bootstrap. A perfect separation looks perfect in every resample: its bound is
    that of m disjoint pairs, all in order by chance (Clopper and Pearson), exact for AUROC. A class
    of a single patient says nothing about the next one: [0, 1].

    Parameters
    ----------
    abnormal
        True where the image is abnormal, of shape (n,); both classes occur.
    scores
        Image-level scores of shape (n,).
    groups
        The patient of each image; every image its own when not given.
    seed
        Of the resamples; the order of the images has no influence.

    Returns
    -------
    tuple
        AUROC, average precision.
    """
    # From the highest score down; patients are numbered as they first appear.
    order = np.lexsort((abnormal, -scores))
    abnormal, scores = abnormal[order], scores[order]
    patients = _Patients.of(abnormal, None if groups is None else np.asarray(groups)[order])
    resampled = np.concatenate(
        [weighted_areas(abnormal, scores, weights) for weights in patients.resamples(seed)]
    )
    values = weighted_areas(abnormal, scores, np.ones((1, len(scores)), dtype=np.int64))[0]
    errors = np.std(resampled, axis=0, ddof=1)
    auroc, average_precision = (
        _interval(float(value), float(error), patients.pairs)
        for value, error in zip(values, errors, strict=True)
    )
    return auroc, average_precision


@dataclass(frozen=True)
class PairedDifference:
    """The difference of two values that were measured on the same images.

    Attributes
    ----------
    difference
        New less old, with its 95 % interval.
    p_value
        Two-sided, of no difference.
    """

    difference: Estimate
    p_value: float


def estimate_difference(
    abnormal: NDArray[np.bool_],
    old: NDArray[np.floating],
    new: NDArray[np.floating],
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> PairedDifference:
    """AUROC of new scores less that of old ones on the same images, from paired resamples.

    Each resample draws the same patients for both, as in `estimate_areas`; interval and p-value are
    normal with the standard deviation of the difference over the resamples. For images of as many
    patients it agrees with the test of DeLong, DeLong and Clarke-Pearson (1988).

    Where no resample shows a difference, although the scores order the images differently, the
    bound is that of `estimate_areas` for a perfect separation, which holds for two perfect ones and
    is wide for others. A class of a single patient says nothing: [-1, 1].

    Parameters
    ----------
    abnormal
        True where the image is abnormal, of shape (n,); both classes occur.
    old, new
        Image-level scores of shape (n,).
    groups
        The patient of each image; every image its own when not given.
    seed
        Of the resamples.
    """
    # Sorted, so that the order of the images has no influence.
    first = np.lexsort((abnormal, -new, -old))
    abnormal, old, new = abnormal[first], old[first], new[first]
    patients = _Patients.of(abnormal, None if groups is None else np.asarray(groups)[first])
    orders = [np.lexsort((abnormal, -scores)) for scores in (old, new)]

    def difference(weights: NDArray[np.int64]) -> NDArray[np.float64]:
        before, after = (
            weighted_areas(abnormal[order], scores[order], weights[:, order])[:, 0]
            for order, scores in zip(orders, (old, new), strict=True)
        )
        return np.asarray(after - before)

    value = float(difference(np.ones((1, len(old)), dtype=np.int64))[0])
    if patients.pairs == 1:
        return PairedDifference(Estimate(value=value, low=-1.0, high=1.0), 1.0)
    error = float(np.std(np.concatenate(list(map(difference, patients.resamples(seed)))), ddof=1))
    if error == 0:
        tail = (1 - CONFIDENCE) / 2
        same = np.array_equal(rankdata(old), rankdata(new))
        reach = 0.0 if same else 1 - tail ** (1 / patients.pairs)
        return PairedDifference(Estimate(value=value, low=0.0 - reach, high=reach), 1.0)
    reach = float(ndtri((1 + CONFIDENCE) / 2)) * error
    estimate = Estimate(value=value, low=max(-1.0, value - reach), high=min(1.0, value + reach))
    return PairedDifference(estimate, float(2 * ndtr(-abs(value) / error)))


@dataclass(frozen=True)
class _Patients:
    """The patients of images, to be drawn with replacement.

    Attributes
    ----------
    codes
        The patient of each image, numbered as they first appear, of shape (n,).
    strata
        Patients with abnormal images only, with normal ones only, and with both.
    pairs
        How many disjoint pairs of an abnormal and a normal patient there are, at least.
    """

    codes: NDArray[np.intp]
    strata: list[NDArray[np.intp]]
    pairs: int

    @classmethod
    def of(cls, abnormal: NDArray[np.bool_], names: NDArray[Any] | None) -> Self:
        """Number the patients; without names every image is of its own."""
        names = np.arange(len(abnormal)) if names is None else names
        _, first, codes = np.unique(names, return_index=True, return_inverse=True)
        codes = np.argsort(np.argsort(first))[codes]
        has_abnormal = np.bincount(codes, abnormal) > 0
        has_normal = np.bincount(codes, ~abnormal) > 0
        kinds = has_abnormal + 2 * has_normal
        return cls(
            codes,
            [np.flatnonzero(kinds == kind) for kind in (1, 2, 3)],
            int(min(has_abnormal.sum(), has_normal.sum(), max(1, len(has_normal) // 2))),
        )

    def resamples(self, seed: int) -> Iterator[NDArray[np.int64]]:
        """Yield how often each image counts in each resample, a block of them at a time."""
        rng = np.random.default_rng(seed)
        for _ in range(RESAMPLES // _BLOCK):
            yield _draw(self.strata, _BLOCK, rng)[:, self.codes]


def weighted_areas(
    abnormal: NDArray[np.bool_], scores: NDArray[np.floating], weights: NDArray[np.integer]
) -> NDArray[np.float64]:
    """AUROC and average precision for many weightings of the same images at once.

    Parameters
    ----------
    abnormal, scores
        Of shape (n,), in the order of falling scores.
    weights
        How often each image counts, of shape (B, n); in each row both classes do.

    Returns
    -------
    numpy.ndarray
        Of shape (B, 2): AUROC and average precision, as scikit-learn defines them with weights.
    """
    level = np.flatnonzero(np.r_[True, np.diff(scores) != 0])
    hits = np.add.reduceat(weights * abnormal, level, axis=1)
    alarms = np.add.reduceat(weights * ~abnormal, level, axis=1)
    all_hits, all_alarms = hits.cumsum(axis=1), alarms.cumsum(axis=1)
    above = all_hits - hits / 2  # of equal scores half count as in order
    auroc = (alarms * above).sum(axis=1) / (all_hits[:, -1] * all_alarms[:, -1])
    # Where nothing has been drawn yet, nothing is hit either.
    precision = all_hits / np.maximum(all_hits + all_alarms, 1)
    return np.stack([auroc, (hits * precision).sum(axis=1) / all_hits[:, -1]], axis=1)


def _draw(
    strata: Sequence[NDArray[np.intp]], resamples: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """How often each patient is drawn, of shape (resamples, patients)."""
    drawn = np.zeros((resamples, sum(map(len, strata))), dtype=np.int64)
    rows = np.arange(resamples)[:, None]
    for members in strata:
        if size := len(members):
            choices = rng.integers(size, size=(resamples, size)) + rows * size
            counts = np.bincount(choices.ravel(), minlength=resamples * size)
            drawn[:, members] = counts.reshape(resamples, size)
    return drawn


def _interval(value: float, standard_error: float, pairs: int) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    if pairs == 1:
        return Estimate(value=value, low=0.0, high=1.0)
    if value >= 1:
        return Estimate(value=1.0, low=tail ** (1 / pairs), high=1.0)
    if value <= 0:
        return Estimate(value=0.0, low=0.0, high=1 - tail ** (1 / pairs))
    reach = ndtri(1 - tail) * standard_error / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-reach, reach]))
    return Estimate(value=value, low=float(low), high=float(high))
