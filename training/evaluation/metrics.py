"""Image-level metrics, and whether the calibrated false-alarm rate was achieved."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_curve

from training.evaluation.bootstrap import CONFIDENCE, estimate_areas
from training.evaluation.results import (
    CalibrationCheck,
    Estimate,
    ImageMetrics,
    OperatingPoint,
)
from wscxr.errors import NotEnoughImages
from wscxr.model.calibration import Calibration

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""At which levels p-values are checked."""


def check_classes(abnormal: NDArray[np.bool_]) -> None:
    """Refuse images of one class alone.

    Raises
    ------
    NotEnoughImages
        One of the classes is missing.
    """
    n_abnormal = int(abnormal.sum())
    n_normal = len(abnormal) - n_abnormal
    if not n_normal or not n_abnormal:
        raise NotEnoughImages(
            f"evaluation needs both classes; there are {n_normal} normal and "
            f"{n_abnormal} abnormal images"
        )


def image_metrics(
    abnormal: NDArray[np.bool_],
    scores: NDArray[np.floating],
    threshold: float,
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> ImageMetrics:
    """Compute image-level metrics.

    Parameters
    ----------
    abnormal
        True where the image is abnormal, of shape (n,).
    scores
        Image-level scores of shape (n,), finite.
    threshold
        The bundle's; scores above it count as called abnormal.
    groups
        The patient of each image; every image its own when not given. Intervals allow for the
        images of one patient being alike.

    Raises
    ------
    NotEnoughImages
        One of the classes is missing.
    """
    check_classes(abnormal)
    auroc, average_precision = estimate_areas(abnormal, scores, groups=groups, seed=seed)
    return ImageMetrics(
        n_normal=int((~abnormal).sum()),
        n_abnormal=int(abnormal.sum()),
        auroc=auroc,
        average_precision=average_precision,
        at_bundle_threshold=operating_point(abnormal, scores, threshold),
        at_youden_point=operating_point(abnormal, scores, youden_threshold(abnormal, scores)),
    )


def operating_point(
    abnormal: NDArray[np.bool_], scores: NDArray[np.floating], threshold: float
) -> OperatingPoint:
    """Metrics where scores above a threshold count as called abnormal; both classes occur."""
    called = scores > threshold
    (true_normal, false_alarms), (missed, hits) = confusion_matrix(abnormal, called)
    return OperatingPoint(
        threshold=threshold,
        accuracy=float(accuracy_score(abnormal, called)),
        f1=float(f1_score(abnormal, called, zero_division=0.0)),
        sensitivity=float(hits / (hits + missed)),
        specificity=float(true_normal / (true_normal + false_alarms)),
    )


def youden_threshold(abnormal: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """The score above which calling images abnormal makes sensitivity + specificity largest.

    Of several the highest (Youden, *Index for rating diagnostic tests*, 1950).
    """
    false_alarms, sensitivity, thresholds = roc_curve(abnormal, scores, drop_intermediate=False)
    # scikit-learn calls scores at its threshold abnormal, too: ours is the next lower score.
    return float(thresholds[np.argmax(sensitivity - false_alarms) + 1])


def calibration_check(
    calibration: Calibration, normal_scores: NDArray[np.floating]
) -> CalibrationCheck:
    """Compare the calibrated false-alarm rate and p-values with those of test images.

    Parameters
    ----------
    calibration
        The bundle's.
    normal_scores
        Image-level scores of normal images that neither training nor calibration saw, of shape
        (n,), n >= 1.
    """
    alarms = int((normal_scores > calibration.threshold).sum())
    p_values = np.array([calibration.p_value(score) for score in normal_scores])
    # The margin is for rounding: a p-value of 1 / 20 must not miss the level 0.05.
    achieved = (p_values[:, None] <= np.array(LEVELS) + 1e-9).mean(axis=0)
    return CalibrationCheck(
        promised_false_alarm_rate=calibration.expected_false_alarm_rate,
        false_alarm_rate=exact_rate(alarms, len(normal_scores)),
        levels=LEVELS,
        n=len(calibration.scores),
        achieved=tuple(achieved.tolist()),
        error=float(np.abs(achieved - LEVELS).mean()),
    )


def exact_rate(count: int, total: int) -> Estimate:
    """A share of images, with the exact binomial interval of Clopper and Pearson (1934)."""
    interval = binomtest(count, total).proportion_ci(CONFIDENCE, method="exact")
    return Estimate(value=count / total, low=float(interval.low), high=float(interval.high))


@dataclass(frozen=True)
class FalseAlarmRange:
    """The false-alarm rates that chance allows, and whether the one found is among them.

    Attributes
    ----------
    low, high
        Where at least 95 % of achieved rates lie for normal images exchangeable with those of
        calibration.
    above, below
        Whether there were more, or fewer, false alarms than that.
    """

    low: float
    high: float
    above: bool
    below: bool


def false_alarm_range(check: CalibrationCheck, n_normal: int) -> FalseAlarmRange:
    """Compare the achieved false-alarm rate with the range that chance allows.

    Its binomial interval is too narrow for that: it leaves out the draw of the calibration images.

    Parameters
    ----------
    check
        Of the normal images at hand.
    n_normal
        How many these are.
    """
    rank = round(check.promised_false_alarm_rate * (check.n + 1))
    ends = chance_range(np.array([rank]), check.n, n_normal)
    low, high = (float(end[0]) for end in ends)
    found = check.false_alarm_rate.value
    return FalseAlarmRange(low=low, high=high, above=found > high, below=found < low)


def chance_range(
    ranks: NDArray[np.int_], n_calibration: int, n_normal: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where 95 % of achieved rates lie for normal images exchangeable with calibration's.

    The p-value level k / (n + 1) is reached by a Beta(k, n + 1 - k) share of all normal images
    (Vovk, *Conditional validity of inductive conformal predictors*, 2012), hence by a
    beta-binomial number of those at hand.

    Parameters
    ----------
    ranks
        Each k, from 0 to n + 1, of shape (m,).
    n_calibration
        Number n of calibration images.
    n_normal
        Number of normal images at hand.

    Returns
    -------
    tuple
        Low and high ends, each of shape (m,).
    """
    inner = ranks.clip(1, n_calibration)  # No p-value is 0, and none is above 1.
    counts = betabinom.ppf([[0.025], [0.975]], n_normal, inner, n_calibration + 1 - inner)
    low, high = np.select([ranks < 1, ranks > n_calibration], [0.0, 1.0], counts / n_normal)
    return low, high
