"""The two protocols that a run is measured under, and the record it leaves on disk.

``honest``: the last checkpoint, at the threshold calibrated on normal images kept aside; the run
sees no test image. ``paper``: as the authors' code does, the checkpoint with the best mean of
AUROC, accuracy and F1 *on the test images* is kept, at a threshold chosen with *their labels*. It
flatters, and is here only to be compared with the paper's numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from sklearn.metrics import roc_auc_score

from training.evaluation.metrics import operating_point, youden_threshold
from training.evaluation.results import OperatingPoint
from wscxr.errors import DataError
from wscxr.files import write_file
from wscxr.model.calibration import Calibration


class Measured(BaseModel):
    """Image-level metrics of one run under one protocol.

    Attributes
    ----------
    auroc
        On the test images.
    point
        Accuracy and so on; at which threshold, the protocol says.
    checkpoint
        Which checkpoint was measured, counted from 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    auroc: float
    point: OperatingPoint
    checkpoint: int


class Record(BaseModel):
    """One run: one method, one draw of K anomaly images and of the seed.

    Attributes
    ----------
    row, k, draw
        Its place in the table; K is 0 where the method uses no anomaly image, and the draw is the
        seed.
    fingerprint
        Hash of the data and of all settings; a record with another one is refused.
    honest
        The last checkpoint, at the threshold calibrated on normals kept aside.
    paper
        The checkpoint that is best *on the test images*, at the Youden point *of the test labels*.
    scores
        Test scores of the last checkpoint, in the order of the test images.
    seconds
        Wall-clock time of the run, without the features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: str
    k: int
    draw: int
    fingerprint: str
    honest: Measured
    paper: Measured
    scores: tuple[float, ...]
    seconds: float


class RecordStore:
    """The records of all runs in one folder, each a JSON file of its own.

    Parameters
    ----------
    folder
        Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, row: str, k: int, draw: int, fingerprint: str) -> Record | None:
        """The record of a run; None where the run is still to do.

        Raises
        ------
        DataError
            The file is damaged, or of a run with other data or settings.
        """
        file = self._file(row, k, draw)
        try:
            record = Record.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise DataError(f"{file} is not a record of a run; remove it") from error
        if record.fingerprint != fingerprint:
            raise DataError(
                f"{file} is of a run with other data, settings or version: give another folder"
            )
        return record

    def write(self, record: Record) -> None:
        """Write the record of a run."""
        file = self._file(record.row, record.k, record.draw)
        write_file(file, record.model_dump_json(indent=1).encode())

    def _file(self, row: str, k: int, draw: int) -> Path:
        return self._folder / "runs" / f"{row}-k{k:02d}-draw{draw:02d}.json"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Scores at one checkpoint.

    Attributes
    ----------
    calibration
        Of the normal images kept aside, floats of shape (n,).
    test
        Of the test images, floats of shape (m,).
    """

    calibration: NDArray[np.floating]
    test: NDArray[np.floating]


def judge(
    snapshots: Sequence[Snapshot], abnormal: NDArray[np.bool_], false_alarm_rate: float
) -> tuple[Measured, Measured]:
    """Measure one run under both protocols.

    Parameters
    ----------
    snapshots
        One for each checkpoint, at least one; the last is the finished method.
    abnormal
        True where a test image is abnormal, of shape (m,).
    false_alarm_rate
        Rate that the honest threshold is calibrated for.

    Returns
    -------
    tuple
        Under ``honest``, and under ``paper``.
    """
    last = snapshots[-1]
    threshold = Calibration.from_scores(last.calibration, false_alarm_rate).threshold
    honest = _measure(last, abnormal, threshold, len(snapshots))
    candidates = [
        _measure(snapshot, abnormal, youden_threshold(abnormal, snapshot.test), number)
        for number, snapshot in enumerate(snapshots, start=1)
    ]
    return honest, max(candidates, key=_as_the_authors_choose)


def _measure(
    snapshot: Snapshot, abnormal: NDArray[np.bool_], threshold: float, checkpoint: int
) -> Measured:
    return Measured(
        auroc=float(roc_auc_score(abnormal, snapshot.test)),
        point=operating_point(abnormal, snapshot.test, threshold),
        checkpoint=checkpoint,
    )


def _as_the_authors_choose(measured: Measured) -> float:
    return measured.auroc + measured.point.accuracy + measured.point.f1
