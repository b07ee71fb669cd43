"""The labelled images of a run: from folders, or from a manifest CSV."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from wscxr.errors import DataError, NotEnoughImages, SampleListError
from wscxr.imaging import find_images

SPLITS = ("train", "val", "test")
"""Values of a manifest's split column; rows of ``val`` are never read."""


_COLUMNS = frozenset({"path", "label", "patient_id", "split", "view"})


class Label(StrEnum):
    """The image-level label."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"


@dataclass(frozen=True)
class Sample:
    """One image of a run.

    Attributes
    ----------
    path
        The image file.
    label
        Image-level label; None where nobody gave one.
    patient_id
        Images of one patient share it; None when unknown.
    view
        The projection, as the manifest calls it, such as PA or AP; None when unknown.
    facts
        What else the manifest says of it, by column, such as sex or age_band.
    """

    path: Path
    label: Label | None
    patient_id: str | None = None
    view: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict, compare=False)


def find_samples(folder: Path, label: Label) -> list[Sample]:
    """Find all PNG, JPEG and DICOM files below a folder, in the order of their paths.

    Raises
    ------
    DataError
        The folder does not exist.
    NotEnoughImages
        It holds no image.
    """
    return [Sample(path, label) for path in image_files(folder)]


def image_files(folder: Path | None) -> list[Path]:
    """The image files below a folder, in the order of their paths; none where none is given.

    Raises
    ------
    DataError
        The folder does not exist.
    NotEnoughImages
        It holds no image.
    """
    if folder is None:
        return []
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    found = find_images(folder)
    if not found:
        raise NotEnoughImages(f"{folder} holds no PNG, JPEG or DICOM file")
    return found


def read_rows(file: Path, columns: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a CSV file, UTF-8, row by row.

    Parameters
    ----------
    file
        The CSV file; its first line names the columns.
    columns
        Columns that it must have.

    Yields
    ------
    tuple
        Where the row is, ``FILE, line N``, for messages; and its values by column.

    Raises
    ------
    SampleListError
        The file cannot be read or lacks a column.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if missing := set(columns) - set(rows.fieldnames or ()):
                raise SampleListError(f"{file} lacks column {', '.join(sorted(missing))}")
            for row in rows:
                yield f"{file}, line {rows.line_num}", row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SampleListError(f"{file} cannot be read: {error}") from error


def read_samples(manifest: Path, split: str) -> list[Sample]:
    """Read a manifest CSV with columns ``path,label[,patient_id,split,view]``, and any others.

    Relative paths start at the manifest's own folder. Where there is a split column, only rows
    of that split are taken.

    Parameters
    ----------
    manifest
        The CSV file, UTF-8.
    split
        ``"train"`` or ``"test"``.

    Raises
    ------
    SampleListError
        The file cannot be read, lacks a column, or has a row without a path, or with an unknown
        label or split; the message names the line.
    """
    samples = []
    for where, row in read_rows(manifest, ("path", "label")):
        if (own := row.get("split")) not in (None, *SPLITS):
            raise SampleListError(f"{where}: split {own!r} is none of {', '.join(SPLITS)}")
        if own not in (None, split):
            continue
        if not row["path"]:
            raise SampleListError(f"{where}: there is no path")
        if row["label"] not in set(Label):
            raise SampleListError(f"{where}: label {row['label']!r} is neither normal nor abnormal")
        samples.append(
            Sample(
                path=manifest.parent / row["path"],
                label=Label(row["label"]),
                patient_id=row.get("patient_id") or None,
                view=row.get("view") or None,
                facts={column: value for column, value in row.items() if column not in _COLUMNS},
            )
        )
    return samples


def load_samples(
    normal: Path | None,
    abnormal: Path | None,
    manifest: Path | None,
    *,
    split: str,
    normal_only: bool = False,
) -> list[Sample]:
    """Samples from two folders, or from a manifest.

    Parameters
    ----------
    normal, abnormal
        Folders; both or none, but `abnormal` may be left out where only normals are needed.
    manifest
        CSV file, instead of the folders.
    split
        Which rows of a manifest with a split column to take.
    normal_only
        Whether abnormal images can be done without.

    Raises
    ------
    DataError
        Neither or both ways were used, or see `find_samples` and `read_samples`.
    """
    if manifest is not None and normal is None and abnormal is None:
        return read_samples(manifest, split)
    if manifest is None and normal is not None and abnormal is None and normal_only:
        return find_samples(normal, Label.NORMAL)
    if manifest is None and normal is not None and abnormal is not None:
        return find_samples(normal, Label.NORMAL) + find_samples(abnormal, Label.ABNORMAL)
    raise DataError("give either a manifest, or both a normal and an abnormal folder")


def with_label(samples: Iterable[Sample], label: Label) -> list[Sample]:
    """The samples that carry a label, in their order."""
    return [sample for sample in samples if sample.label is label]


def patient_groups(samples: Sequence[Sample]) -> list[str]:
    """A group for each sample: its patient, or itself where the patient is unknown."""
    return [
        f"image {number}" if sample.patient_id is None else f"patient {sample.patient_id}"
        for number, sample in enumerate(samples)
    ]
