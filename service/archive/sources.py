"""What there is to score: in folders, in a manifest CSV, on a DICOMweb server."""

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wscxr.errors import DataError, SampleListError
from wscxr.imaging import is_image


@dataclass(frozen=True)
class Found:
    """One instance that there is.

    Attributes
    ----------
    name
        What names it for good: its absolute path, or its three UIDs.
    place
        Where its bytes are; see `service.archive.rows.ITEMS`.
    """

    name: str
    place: bytes

    @classmethod
    def file(cls, path: str | Path) -> "Found":
        """A file, whatever bytes its name has."""
        place = os.fsencode(Path(path).absolute())
        return cls(place.decode("utf-8", "backslashreplace"), place)


def in_folders(folders: Iterable[Path]) -> Iterator[Found]:
    """Find all PNG, JPEG and DICOM files below folders, one after the other.

    A folder that cannot be listed counts as a file: its row then says that it is unreadable.

    Raises
    ------
    DataError
        One of the folders is not there.
    """
    folders = list(folders)
    if not all(folder.is_dir() for folder in folders):
        raise DataError("one of the folders is not there")
    unlisted: list[str] = []
    for folder in folders:
        for place, subfolders, names in os.walk(
            folder, onerror=lambda error: unlisted.append(str(error.filename))
        ):
            subfolders.sort()
            for name in sorted(names):
                if _may_be_image(path := Path(place, name)):
                    yield Found.file(path)
    yield from map(Found.file, unlisted)


def in_manifest(manifest: Path) -> Iterator[Found]:
    """List the files that a CSV names in its column ``path``.

    Relative paths start at the manifest's own folder; other columns are passed over.

    Raises
    ------
    SampleListError
        The CSV cannot be read, or a row has no path.
    """
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            for row in rows:
                if not row.get("path"):
                    raise SampleListError(f"line {rows.line_num} of the manifest has no path")
                yield Found.file(manifest.parent / row["path"])
    except (OSError, UnicodeDecodeError, csv.Error):
        raise SampleListError("the manifest cannot be read as a CSV in UTF-8") from None


def _may_be_image(path: Path) -> bool:
    try:
        return path.is_file() and is_image(path)
    except OSError:
        return True  # its row will say why
