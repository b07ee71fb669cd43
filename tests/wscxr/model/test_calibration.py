import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wscxr.model.calibration import Calibration, Decision

# Few distinct values, so that ties are common.
GRID = st.integers(-4, 4).map(float)
SCORES = st.lists(GRID | st.floats(-5, 5), min_size=1, max_size=60)
RATES = st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.5, 0.9]) | st.floats(0.001, 0.999)


def calibrate(scores: list[float], rate: float = 0.05) -> Calibration:
    return Calibration.from_scores(np.array(scores), rate)


def test_p_values_by_hand() -> None:
    calibration = calibrate([3.0, 1.0, 2.0, 2.0])
    for score, p in [(0.0, 5), (1.0, 5), (1.5, 4), (2.0, 4), (2.5, 2), (3.0, 2), (3.5, 1)]:
        assert calibration.p_value(score) == p / 5


@given(scores=SCORES, new=GRID | st.floats(-6, 6))
def test_p_value_is_the_share_of_at_least_as_large_scores(scores: list[float], new: float) -> None:
    expected = (1 + sum(score >= new for score in scores)) / (len(scores) + 1)
    assert calibrate(scores).p_value(new) == expected


@given(scores=SCORES, rate=RATES, new=GRID | st.floats(-6, 6))
def test_a_decision_is_a_p_value_within_the_promised_rate(
    scores: list[float], rate: float, new: float
) -> None:
    calibration = calibrate(scores, rate)
    for score in [new, *scores, *np.nextafter(scores, np.inf).tolist()]:
        abnormal = calibration.p_value(score) <= calibration.expected_false_alarm_rate
        assert (calibration.decide(score) is Decision.ABNORMAL) == abnormal
        assert abnormal == (score > calibration.threshold)


@given(scores=SCORES, rate=RATES)
def test_the_promised_rate_is_the_one_asked_for_unless_there_are_too_few(
    scores: list[float], rate: float
) -> None:
    n = len(scores)
    promised = calibrate(scores, rate).expected_false_alarm_rate
    if rate * (n + 1) >= 1:
        assert promised <= rate + 1e-9
        # No coarser than the number of images makes it.
        assert promised > rate - 1 / (n + 1) - 1e-9 or promised == n / (n + 1)
    else:
        assert promised == 1 / (n + 1)


@pytest.mark.parametrize(
    ("n", "rate", "threshold_rank", "promised"),
    [
        (19, 0.05, 19, 1 / 20),  # the largest of 19
        (20, 0.05, 20, 1 / 21),
        (39, 0.05, 38, 2 / 40),  # the second largest of 39
        (99, 0.29, 71, 29 / 100),  # 0.29 * 100 = 28.999... in floating point
        (1, 0.05, 1, 1 / 2),
        (3, 0.99, 1, 3 / 4),
    ],
)
def test_thresholds_by_hand(n: int, rate: float, threshold_rank: int, promised: float) -> None:
    calibration = calibrate([float(i) for i in range(1, n + 1)], rate)
    assert calibration.threshold == threshold_rank
    assert calibration.expected_false_alarm_rate == pytest.approx(promised)
    assert calibration.decide(threshold_rank) is Decision.NORMAL
    assert calibration.decide(threshold_rank + 1e-9) is Decision.ABNORMAL


@pytest.mark.parametrize(("n", "rate"), [(19, 0.05), (50, 0.1), (7, 0.25)])
def test_false_alarms_stay_within_the_promise_on_exchangeable_normals(n: int, rate: float) -> None:
    rng = np.random.default_rng(0)
    runs = 4000
    alarms, small = 0, np.zeros(3)
    levels = np.array([0.05, 0.2, 0.5])
    for _ in range(runs):
        # Rounded, so that ties occur.
        scores = rng.gamma(2.0, size=n + 1).round(1)
        calibration = Calibration.from_scores(scores[:-1], rate)
        new = float(scores[-1])
        alarms += calibration.decide(new) is Decision.ABNORMAL
        small += calibration.p_value(new) <= levels
        promised = calibration.expected_false_alarm_rate

    def bound(level: float) -> float:
        return level + 4 * math.sqrt(level * (1 - level) / runs)

    assert alarms / runs <= bound(promised)
    assert (small / runs <= [bound(level) for level in levels]).all()
    # And it is not merely silent.
    assert alarms / runs > promised / 2


def test_the_order_of_the_scores_does_not_matter() -> None:
    assert calibrate([2.0, 1.0, 3.0]) == calibrate([3.0, 2.0, 1.0])
    assert calibrate([2.0, 1.0, 3.0]).scores == (1.0, 2.0, 3.0)


def test_float32_scores_are_kept_as_they_are() -> None:
    scores = np.random.default_rng(0).normal(size=9).astype(np.float32)
    calibration = Calibration.from_scores(scores, 0.1)
    again = Calibration.model_validate_json(calibration.model_dump_json())
    assert again == calibration
    assert all(calibration.p_value(float(score)) == again.p_value(float(score)) for score in scores)
    assert set(again.scores) == {float(score) for score in scores}


@pytest.mark.parametrize(
    "bad",
    [
        {"scores": ()},
        {"scores": (2.0, 1.0)},
        {"scores": (math.nan,)},
        {"scores": (0.0, math.inf)},
        {"false_alarm_rate": 0.0},
        {"false_alarm_rate": 1.0},
        {"false_alarm_rate": math.nan},
        {"extra": 1},
    ],
)
def test_what_no_calibration_can_be_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Calibration.model_validate({"false_alarm_rate": 0.05, "scores": (1.0,)} | bad)


def test_the_median_is_0_and_the_threshold_1() -> None:
    calibration = Calibration.from_scores(np.linspace(0, 10, 101), 0.05)
    assert calibration.relative(5.0) == 0
    assert calibration.relative(calibration.threshold) == 1
    assert calibration.relative(2 * calibration.threshold - 5) == pytest.approx(2)
    assert Calibration.from_scores(np.ones(3), 0.05).relative(1.5) == 0.5
