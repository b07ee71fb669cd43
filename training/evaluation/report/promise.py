"""Whether the promised false-alarm rate was kept, as far as chance lets anybody tell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom

from training.evaluation.results import Evaluation


@dataclass(frozen=True)
class Promise:
    """What chance alone does to the false-alarm rate, and whether it explains the one found.

    Attributes
    ----------
    low, high
        Where at least 95 % of achieved rates lie for normal images exchangeable with those of
        calibration.
    broken, outdone
        Whether there were more, or fewer, false alarms than that.
    """

    low: float
    high: float
    broken: bool
    outdone: bool


def judge_promise(evaluation: Evaluation) -> Promise:
    """Compare the achieved false-alarm rate with what chance does to the promised one.

    Its own binomial interval would not do: it leaves out the luck of the calibration images' draw.
    """
    n_calibration = evaluation.bundle.training.n_calibration
    check = evaluation.calibration
    rank = round(check.promised_false_alarm_rate * (n_calibration + 1))
    ends = chance_range(np.array([rank]), n_calibration, evaluation.image_level.n_normal)
    low, high = (float(end[0]) for end in ends)
    found = check.false_alarm_rate.value
    return Promise(low=low, high=high, broken=found > high, outdone=found < low)


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
