import numpy as np
import pytest

from training.paper.protocols import Snapshot, judge

ABNORMAL = np.array([False, False, False, False, True, True, True, True])
CALIBRATION = np.linspace(0.0, 1.0, 19)


def snapshot(*test: float, calibration: np.ndarray = CALIBRATION) -> Snapshot:
    return Snapshot(calibration=calibration, test=np.array(test))


# One abnormal image below two normals: 14 of 16 pairs in order.
FAIR = snapshot(0.1, 0.2, 0.3, 0.4, 0.25, 1.5, 1.6, 1.7)
PERFECT = snapshot(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def test_the_honest_protocol_takes_the_last_checkpoint_whatever_the_test_says() -> None:
    honest, _ = judge([PERFECT, FAIR], ABNORMAL, 0.05)
    assert honest.checkpoint == 2
    assert honest.auroc == pytest.approx(14 / 16)


def test_the_honest_threshold_is_that_of_the_calibration_images() -> None:
    honest, _ = judge([FAIR], ABNORMAL, 0.05)
    # 1 of 20 may be called abnormal: the largest of the 19.
    assert honest.point.threshold == 1.0
    assert honest.point.sensitivity == 3 / 4
    assert honest.point.specificity == 1.0
    assert honest.point.accuracy == 7 / 8
    higher, _ = judge([snapshot(*FAIR.test, calibration=CALIBRATION + 1)], ABNORMAL, 0.05)
    assert higher.point.sensitivity == 0.0


def test_the_papers_protocol_takes_what_is_best_on_the_test_images() -> None:
    _, paper = judge([FAIR, PERFECT, FAIR], ABNORMAL, 0.05)
    assert paper.checkpoint == 2
    assert paper.auroc == 1.0
    # At a threshold that calibration would never have given.
    assert paper.point.accuracy == paper.point.f1 == 1.0
    assert 0.4 <= paper.point.threshold < 0.5
