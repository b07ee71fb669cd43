from pathlib import Path

import numpy as np
import pytest

from training.evaluation.results import OperatingPoint
from training.paper.protocols import Measured, Record, RecordStore, Snapshot, judge
from wscxr.errors import DataError


def measured(auroc: float = 0.9, checkpoint: int = 10) -> Measured:
    point = OperatingPoint(threshold=0.5, accuracy=0.8, f1=0.7, sensitivity=0.6, specificity=0.95)
    return Measured(auroc=auroc, point=point, checkpoint=checkpoint)


def record(row: str = "wscxr", k: int = 2, draw: int = 0, auroc: float = 0.9) -> Record:
    return Record(
        row=row,
        k=k,
        draw=draw,
        fingerprint="f",
        honest=measured(auroc),
        paper=measured(auroc + 0.05, 3),
        scores=(0.25, 0.125),
        seconds=1.5,
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "new")
    assert store.read("wscxr", 2, 0, "f") is None
    store.write(record())
    store.write(record(k=16, draw=3))
    assert store.read("wscxr", 2, 0, "f") == record()
    assert store.read("wscxr", 16, 3, "f") == record(k=16, draw=3)
    assert store.read("wscxr", 2, 1, "f") is None


def test_a_run_with_other_settings_is_never_taken_for_this_one(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    store.write(record())
    with pytest.raises(DataError, match="other data, settings or version"):
        store.read("wscxr", 2, 0, "another")


@pytest.mark.parametrize("text", ["", "{}", "\0", '{"row": "wscxr"}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    store = RecordStore(tmp_path)
    store.write(record())
    [file] = (tmp_path / "runs").iterdir()
    file.write_text(text)
    with pytest.raises(DataError, match=file.name):
        store.read("wscxr", 2, 0, "f")


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
