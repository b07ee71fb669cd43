"""Which false-alarm rates a threshold from n normal images can have."""

from typing import NamedTuple

from scipy.stats import beta

from training.evaluation.bootstrap import CONFIDENCE
from wscxr.model.calibration import Calibration


class RateInterval(NamedTuple):
    """An interval of rates, each a fraction."""

    low: float
    high: float


def false_alarm_interval(calibration: Calibration) -> RateInterval:
    """Interval that holds the false-alarm rate at a threshold in 95 % of all calibrations.

    The threshold is an order statistic: with n calibration images, k of the n + 1 gaps between
    their scores lie above it. Whatever the distribution of the scores, the share of all normal
    images above it follows Beta(k, n + 1 - k), with mean k / (n + 1) (Wilks, *Determination of
    sample sizes for setting tolerance limits*, 1941; Vovk, *Conditional validity of inductive
    conformal predictors*, 2012). So the interval is exact, for independent images of one
    distribution without equal scores; several images of one patient are worth less than they
    count.

    Parameters
    ----------
    calibration
        Scores of n normal images, and the rate asked for.
    """
    n, above = len(calibration.scores), calibration.allowed
    tail = (1 - CONFIDENCE) / 2
    low, high = beta.ppf([tail, 1 - tail], above, n + 1 - above)
    return RateInterval(float(low), float(high))
