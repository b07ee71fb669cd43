from pathlib import Path

import pytest

from training.evaluation.results import OperatingPoint
from training.paper.protocols import Measured, Record, RecordStore
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
