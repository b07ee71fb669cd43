"""What one run of a table left behind, on disk so that a table can be gone on with."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from training.evaluation.results import OperatingPoint
from wscxr.errors import DataError
from wscxr.files import write_file


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
        Hash of the data and of all settings; a run is only taken up again where it is the same.
    honest
        The last checkpoint, at the threshold calibrated on normals kept aside.
    paper
        The checkpoint that is best *on the test images*, at the Youden point *of the test labels*.
    scores
        Test scores of the last checkpoint, in the order of the test images.
    seconds
        What the run took, features not counted.
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
        """What a run left behind; None where it was not done yet.

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
        """Keep what a run left behind."""
        file = self._file(record.row, record.k, record.draw)
        write_file(file, record.model_dump_json(indent=1).encode())

    def _file(self, row: str, k: int, draw: int) -> Path:
        return self._folder / "runs" / f"{row}-k{k:02d}-draw{draw:02d}.json"
