"""Unlabelled radiographs, small and in memory."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.data.images import in_batches, open_radiograph
from wscxr.errors import DataError, ManifestError, NotEnoughImages
from wscxr.imaging import Intensity, find_images, to_unit_range
from wscxr.progress import Track, untracked


@dataclass(frozen=True, eq=False)
class Pictures:
    """Radiographs as pretraining sees them.

    Attributes
    ----------
    pixels
        uint8 of shape (N, 1, side, side), percentile-stretched.
    sha256
        Hash over the contents of all files, whatever their names and order.
    """

    pixels: Tensor
    sha256: str


def find_unlabelled(places: Sequence[Path]) -> list[Path]:
    """Find the images of several folders, and those that CSV files name, each once.

    Parameters
    ----------
    places
        Folders, searched with all below them, and CSV files with a column ``path``; relative paths
        start at the CSV's own folder. Other columns are not read.

    Raises
    ------
    DataError
        A folder does not exist.
    ManifestError
        A CSV file cannot be read or lacks the column.
    NotEnoughImages
        One of them holds no image.
    """
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise DataError(f"there is no folder or CSV file {place}")
        images = find_images(place) if place.is_dir() else _named(place)
        if not images:
            raise NotEnoughImages(f"{place} holds no PNG, JPEG or DICOM file")
        found += images
    unique: dict[Path, Path] = {}
    for path in found:
        # Also where two spellings lead to one file.
        unique.setdefault(path.resolve(), path)
    return list(unique.values())


def load_pictures(files: Sequence[Path], side: int, track: Track = untracked) -> Pictures:
    """Read radiographs, each once.

    Parameters
    ----------
    files
        The image files; at least one.
    side
        Side to which each is squashed, px.
    track
        Told of each image.

    Raises
    ------
    DataError
        A file cannot be read; the message names it.
    """

    def load(path: Path) -> tuple[Tensor, str]:
        radiograph, data = open_radiograph(path)
        picture = to_unit_range(radiograph, side, Intensity.PERCENTILE)
        pixels = torch.from_numpy((picture * 255).round().astype("uint8"))
        return pixels, hashlib.sha256(data).hexdigest()

    pixels = torch.empty(len(files), 1, side, side, dtype=torch.uint8)
    hashes: list[str] = []
    for batch in in_batches(files, load, track):
        for picture, sha256 in batch:
            pixels[len(hashes), 0] = picture
            hashes.append(sha256)
    return Pictures(pixels, hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest())


def _named(table: Path) -> list[Path]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if "path" not in (rows.fieldnames or ()):
                raise ManifestError(f"{table} lacks column path")
            return [table.parent / row["path"] for row in rows if row["path"]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{table} cannot be read: {error}") from error
