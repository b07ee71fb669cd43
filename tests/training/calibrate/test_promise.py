import numpy as np
import pytest
from scipy.stats import binom

from training.calibrate.promise import false_alarm_interval
from wscxr.model.calibration import Calibration


def calibration(n: int, rate: float = 0.05) -> Calibration:
    return Calibration.from_scores(np.arange(n, dtype=float), rate)


def test_fifty_images_promise_this_much() -> None:
    low, high = false_alarm_interval(calibration(50))
    # Rank 2 of 50: at most 1 of 50 uniform numbers lies in the last `high` with probability 2.5 %.
    assert binom.cdf(1, 50, high) == pytest.approx(0.025, abs=1e-9)
    assert binom.sf(1, 50, low) == pytest.approx(0.025, abs=1e-9)
    assert low == pytest.approx(0.0049, abs=1e-4)
    assert high == pytest.approx(0.1065, abs=1e-4)


@pytest.mark.parametrize("n", [19, 50, 200])
def test_the_interval_holds_the_true_rate_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        # Exponential scores: the true rate at a threshold is known.
        found = Calibration.from_scores(rng.exponential(size=n), 0.05)
        low, high = false_alarm_interval(found)
        inside += low <= np.exp(-found.threshold) <= high
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)


def test_more_images_promise_more() -> None:
    widths = [high - low for low, high in (false_alarm_interval(calibration(n)) for n in (50, 500))]
    assert widths[1] < widths[0] / 2
