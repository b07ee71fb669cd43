from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.metrics import average_precision_score, roc_auc_score

from training.evaluation.metrics import LEVELS, calibration_check, image_metrics, youden_threshold
from training.evaluation.results import ImageMetrics
from wscxr.errors import NotEnoughImages
from wscxr.model.calibration import Calibration


def metrics(
    normal: list[float], abnormal: list[float], threshold: float, **options: Any
) -> ImageMetrics:
    labels = np.array([False] * len(normal) + [True] * len(abnormal))
    return image_metrics(labels, np.array(normal + abnormal), threshold, **options)


# --- image level --------------------------------------------------------------------------------


def test_metrics_by_hand() -> None:
    found = metrics([0.1, 0.2, 0.6, 0.9], [0.3, 0.7, 0.8], 0.5)
    assert (found.n_normal, found.n_abnormal) == (4, 3)
    # Pairs won by the abnormal image: 2 + 3 + 3 of 12.
    assert found.auroc.value == pytest.approx(8 / 12)
    # Precision at each abnormal image, from the top: 1/2, 2/3, 3/5.
    assert found.average_precision.value == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 3)
    # Called abnormal: 0.6, 0.9 (wrongly), 0.7, 0.8.
    point = found.at_bundle_threshold
    assert point.threshold == 0.5
    assert point.sensitivity == pytest.approx(2 / 3)
    assert point.specificity == pytest.approx(2 / 4)
    assert point.accuracy == pytest.approx(4 / 7)
    assert point.f1 == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    # Above 0.2: all abnormal ones and 0.6, 0.9. Above 0.6: 0.7, 0.8 and 0.9.
    point = found.at_youden_point
    assert point.threshold == 0.2
    assert point.sensitivity == 1
    assert point.specificity == pytest.approx(2 / 4)
    assert point.accuracy == pytest.approx(5 / 7)
    assert point.f1 == pytest.approx(2 * 3 / (2 * 3 + 2))


def test_a_score_at_the_threshold_is_normal() -> None:
    found = metrics([0.5], [0.5], 0.5)
    point = found.at_bundle_threshold
    assert (point.sensitivity, point.specificity) == (0.0, 1.0)
    assert found.auroc.value == 0.5


@pytest.mark.parametrize(
    ("threshold", "sensitivity", "specificity", "f1"), [(9.0, 0, 1, 0), (-9.0, 1, 0, 0.8)]
)
def test_thresholds_off_the_scale(
    threshold: float, sensitivity: float, specificity: float, f1: float
) -> None:
    found = metrics([0.0], [1.0, 2.0], threshold)
    assert found.at_bundle_threshold.sensitivity == sensitivity
    assert found.at_bundle_threshold.specificity == specificity
    assert found.at_bundle_threshold.f1 == pytest.approx(f1)
    assert found.at_youden_point.accuracy == 1


VALUES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=15)


@settings(deadline=None, max_examples=30)
@given(normal=VALUES, abnormal=VALUES, threshold=st.integers(-4, 4).map(float))
def test_metrics_agree_with_counting(
    normal: list[float], abnormal: list[float], threshold: float
) -> None:
    found = metrics(normal, abnormal, threshold)
    labels, scores = [0] * len(normal) + [1] * len(abnormal), normal + abnormal
    assert found.auroc.value == pytest.approx(roc_auc_score(labels, scores))
    expected = average_precision_score(labels, scores)
    assert found.average_precision.value == pytest.approx(expected)

    def rates(at: float) -> tuple[float, float]:
        return float(np.mean(np.array(abnormal) > at)), float(np.mean(np.array(normal) <= at))

    point = found.at_bundle_threshold
    assert (point.sensitivity, point.specificity) == pytest.approx(rates(threshold))
    hits, false = (np.array(values) > threshold for values in (abnormal, normal))
    correct = hits.sum() + (~false).sum()
    assert point.accuracy == pytest.approx(correct / len(scores))
    f1 = 2 * hits.sum() / (hits.sum() + false.sum() + len(abnormal)) if hits.any() else 0.0
    assert point.f1 == pytest.approx(f1)

    best = found.at_youden_point
    assert best.threshold in scores
    assert (best.sensitivity, best.specificity) == pytest.approx(rates(best.threshold))
    reachable = [sum(rates(at)) for at in [-9.0, *scores]]
    assert best.sensitivity + best.specificity == pytest.approx(max(reachable))


def test_of_several_youden_points_the_highest_is_taken() -> None:
    labels, scores = np.array([False, True, False, True]), np.array([1.0, 2.0, 3.0, 4.0])
    # Above 1: 1 + 1/2. Above 3: 1/2 + 1.
    assert youden_threshold(labels, scores) == 3


def test_where_scores_tell_nothing_the_youden_point_calls_nothing_abnormal() -> None:
    found = metrics([2.0, 3.0], [1.0, 1.5], 0.0)
    assert (found.auroc.value, found.at_youden_point.sensitivity) == (0, 0)
    assert found.at_youden_point.specificity == 1


def test_intervals_go_by_patient_and_seed() -> None:
    rng = np.random.default_rng(0)
    normal, abnormal = rng.normal(size=30).tolist(), rng.normal(1, 1, 30).tolist()
    alone = metrics(normal, abnormal, 0.5)
    assert metrics(normal, abnormal, 0.5, seed=1).auroc != alone.auroc
    in_pairs = metrics(normal, abnormal, 0.5, groups=[i // 2 for i in range(60)])
    assert in_pairs.auroc.value == alone.auroc.value
    assert in_pairs.auroc != alone.auroc
    assert in_pairs.at_bundle_threshold == alone.at_bundle_threshold


@pytest.mark.parametrize(("normal", "abnormal"), [([], [1.0]), ([1.0], []), ([], [])])
def test_both_classes_are_needed(normal: list[float], abnormal: list[float]) -> None:
    with pytest.raises(NotEnoughImages, match=f"{len(normal)} normal and {len(abnormal)} abnormal"):
        metrics(normal, abnormal, 0.5)


# --- calibration --------------------------------------------------------------------------------

CALIBRATION = Calibration.from_scores(np.arange(1.0, 20.0), 0.1)  # 19 of them; threshold 18


def test_false_alarms_with_their_exact_interval() -> None:
    found = calibration_check(CALIBRATION, np.array([0.0, 18.0, 18.5, 30.0]))
    assert found.promised_false_alarm_rate == pytest.approx(0.1)
    assert found.false_alarm_rate.value == 2 / 4
    # Clopper and Pearson (1934) in terms of the beta distribution.
    assert found.false_alarm_rate.low == pytest.approx(beta.ppf(0.025, 2, 3))
    assert found.false_alarm_rate.high == pytest.approx(beta.ppf(0.975, 3, 2))


def test_no_false_alarm_is_no_proof() -> None:
    found = calibration_check(CALIBRATION, np.zeros(10))
    assert (found.false_alarm_rate.value, found.false_alarm_rate.low) == (0, 0)
    assert found.false_alarm_rate.high == pytest.approx(1 - 0.025 ** (1 / 10))


def test_p_values_by_hand() -> None:
    # p = (1 + number of calibration scores at or above) / 20: 1/20, 2/20, 1.
    found = calibration_check(CALIBRATION, np.array([20.0, 19.0, -1.0]))
    assert found.levels == LEVELS == tuple(i / 20 for i in range(1, 21))
    assert found.achieved == pytest.approx([1 / 3, *[2 / 3] * 18, 1])
    by_hand = [abs(a - i / 20) for i, a in enumerate([1 / 3, *[2 / 3] * 18, 1], 1)]
    assert found.error == pytest.approx(np.mean(by_hand))


def test_exchangeable_normals_get_what_was_promised_and_others_do_not() -> None:
    rng = np.random.default_rng(0)
    calibration = Calibration.from_scores(rng.normal(size=999), 0.05)
    kept = calibration_check(calibration, rng.normal(size=2000))
    assert kept.false_alarm_rate.value == pytest.approx(0.05, abs=0.02)
    assert kept.error < 0.03
    shifted = calibration_check(calibration, rng.normal(1, 1, size=2000))
    assert shifted.false_alarm_rate.low > 0.1
    assert shifted.error > 0.2
