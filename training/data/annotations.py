"""Annotated lesions, boxes in a CSV file or masks, on one grid.

Annotations are read for measuring only; training never sees them. An image is squashed to the
square grid as it is to the model input, so masks and anomaly maps lie on each other.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from training.data.samples import read_rows
from wscxr.errors import DataError, ImageError, SampleListError
from wscxr.imaging import ImageLimits, looks_like_dicom, read_radiograph
from wscxr.imaging.raster import read_raster

GRID = 256
"""Side of the square grid, in pixels, on which maps and lesions are compared."""

SAME_LESION = 0.75
"""Boxes are one lesion where they share this part of the smaller of them."""

_COLUMNS = ("x", "y", "w", "h")

_ROUNDING = 1.0
"""Pixels by which a box may reach over the image's edge: a rescaled one often does."""

_MAX_LESIONS = 1000
"""More parts than this are a mask of noise; it bounds memory to 64 MiB for an image."""

_SAME_SHAPE = 0.02
"""Relative difference up to which a mask's proportions count as its image's."""


class Annotations(ABC):
    """The annotated lesions of images."""

    @abstractmethod
    def lesions(self, path: Path) -> tuple[NDArray[np.bool_], ...]:
        """Each lesion of an image, made when it is asked for.

        Parameters
        ----------
        path
            The image file.

        Returns
        -------
        tuple
            A mask for each lesion, bool of shape (GRID, GRID), never all False; empty where the
            image is not annotated.

        Raises
        ------
        DataError
            The annotation cannot be read, or does not fit the image.
        """


@dataclass(frozen=True)
class _Boxes(Annotations):
    """For each image, its boxes in fractions of its sides: left, top, right, bottom."""

    by_image: dict[Path, list[tuple[float, float, float, float]]]

    def lesions(self, path: Path) -> tuple[NDArray[np.bool_], ...]:
        boxes = np.array(self.by_image.get(path.resolve(), [])).reshape(-1, 4)
        _, lesion = connected_components(_overlap(boxes) >= SAME_LESION, directed=False)
        masks = [_box_mask(box) for box in boxes]
        return tuple(
            np.logical_or.reduce([masks[i] for i in np.flatnonzero(lesion == number)])
            for number in np.unique(lesion)
        )


@dataclass(frozen=True)
class _Masks(Annotations):
    """Mask files by the stem of their name; `used` remembers for which image."""

    by_stem: dict[str, Path]
    used: dict[str, Path] = field(default_factory=dict)

    def lesions(self, path: Path) -> tuple[NDArray[np.bool_], ...]:
        file = self.by_stem.get(path.stem)
        if file is None:
            return ()
        other = self.used.setdefault(path.stem, path.resolve())
        if other != path.resolve():
            raise DataError(f"{other} and {path} would share the mask {file}")
        mask = _read_mask(file)
        (width, height), (rows, columns) = _shown_size(path), mask.shape
        if abs(columns * height / (rows * width) - 1) > _SAME_SHAPE:
            raise DataError(
                f"{file}: the mask is {columns} x {rows} pixels, its image {path} {width} x "
                f"{height}; these are not the same proportions"
            )
        # Parts that touch by a corner are one lesion.
        parts, count = ndimage.label(mask, structure=np.ones((3, 3)))
        if count > _MAX_LESIONS:
            raise DataError(f"{file}: the mask falls into {count} parts; these are not lesions")
        centres = (np.arange(GRID) + 0.5) / GRID
        grid = parts[np.ix_((centres * rows).astype(int), (centres * columns).astype(int))]
        found = [grid == number for number in range(1, count + 1)]
        for number, place in enumerate(ndimage.find_objects(parts), 1):
            if not found[number - 1].any():  # It lies between the centres of grid pixels.
                row, column = (middle.start + middle.stop for middle in place)
                found[number - 1][row * GRID // (2 * rows), column * GRID // (2 * columns)] = True
        return tuple(found)


def read_boxes(file: Path) -> Annotations:
    """Read lesion boxes from a CSV file with columns ``file,x,y,w,h``; others are ignored.

    A ``file`` starts at the CSV's own folder. Boxes are in pixels of the image as it is shown
    (after any EXIF rotation), from its top left corner; fractions are allowed, and up to one
    pixel over the edge is cut off. A grid pixel belongs to a box where its centre does.

    Several readers may have boxed one lesion of an image: boxes that share at least
    `SAME_LESION` of the smaller one count as one lesion, their union. It is the smaller one that
    counts, because readers often agree on the place and not on the extent.

    Raises
    ------
    SampleListError
        The file cannot be read, lacks a column, holds no box, or has a row without a file, with
        something that is no number, or with an empty box or one outside the image; the line is
        named.
    DataError
        An image does not exist or cannot be read; the line is named.
    """
    by_image: dict[Path, list[tuple[float, float, float, float]]] = {}
    sizes: dict[Path, tuple[int, int]] = {}
    for where, row in read_rows(file, ("file", *_COLUMNS)):
        if not row["file"]:
            raise SampleListError(f"{where}: there is no file")
        image = (file.parent / row["file"]).resolve()
        if image not in sizes:
            try:
                sizes[image] = _shown_size(image)
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
        by_image.setdefault(image, []).append(_box(row, sizes[image], where))
    if not by_image:
        raise SampleListError(f"{file} holds no box")
    return _Boxes(by_image)


def read_masks(folder: Path) -> Annotations:
    """Read lesion masks from the PNG files of a folder, as ``wscxr phantoms`` writes them.

    A mask has the name of its image, but for the suffix; it may be of another size, not of other
    proportions. What is not black is lesion, and each connected part of it, corners included, is
    one lesion. An all-black mask is the same as none. A grid pixel belongs to a lesion where its
    centre does; a lesion between all centres gets one pixel.

    Folders of normal and of abnormal images often use the same names: ask for the abnormal images
    only. That two of these share a mask is refused.

    Raises
    ------
    DataError
        The folder does not exist or holds no PNG file, or two of them have the same stem.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    by_stem: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() != ".png" or not file.is_file():
            continue
        if (other := by_stem.setdefault(file.stem, file)) != file:
            raise DataError(f"{other} and {file} are masks of the same image")
    if not by_stem:
        raise DataError(f"{folder} holds no PNG file")
    return _Masks(by_stem)


def _box(
    row: dict[str, str], size: tuple[int, int], where: str
) -> tuple[float, float, float, float]:
    try:
        x, y, w, h = (float(row[column]) for column in _COLUMNS)
    except (TypeError, ValueError) as error:
        raise SampleListError(f"{where}: x, y, w and h must be numbers") from error
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        raise SampleListError(f"{where}: the box is empty or infinite")
    width, height = size
    outside = max(-x, -y, x + w - width, y + h - height)
    if outside > _ROUNDING:
        raise SampleListError(
            f"{where}: the box reaches {outside:g} pixels out of the image of {width} x {height}"
        )
    corners = np.array([x / width, y / height, (x + w) / width, (y + h) / height]).clip(0, 1)
    left, top, right, bottom = corners.tolist()
    if left == right or top == bottom:
        raise SampleListError(f"{where}: the box lies outside the image")
    return left, top, right, bottom


def _overlap(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Overlap coefficient of each pair of boxes: their common area over the smaller area."""
    low, high = boxes[:, :2], boxes[:, 2:]
    common = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    area = np.prod(high - low, axis=1)
    shared: NDArray[np.float64] = common.clip(0).prod(axis=2) / np.minimum(area[:, None], area)
    return shared


def _box_mask(box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The grid pixels whose centres lie in a box; the one at its own centre, if none does."""
    start, stop = np.ceil(box.reshape(2, 2) * GRID - 0.5).astype(int)
    middle = (box.reshape(2, 2).mean(axis=0) * GRID).astype(int)
    start, stop = np.where(start < stop, (start, stop), (middle, middle + 1))
    mask = np.zeros((GRID, GRID), np.bool_)
    mask[start[1] : stop[1], start[0] : stop[0]] = True
    return mask


def _read_mask(file: Path) -> NDArray[np.bool_]:
    try:
        return read_raster(file.read_bytes(), ImageLimits()).pixels > 0
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}") from error
    except ImageError as error:
        raise DataError(f"{file}: {error} ({error.code})") from error


def _shown_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as it is shown, from its header."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
        if looks_like_dicom(head):
            radiograph = read_radiograph(path.read_bytes())
            return radiograph.width, radiograph.height
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            # The base class's, because that of PNG files decodes the picture.
            turned = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) >= 5
            return image.size[::-1] if turned else image.size
    except FileNotFoundError as error:
        raise DataError(f"there is no image {path}") from error
    except ImageError as error:
        raise DataError(f"{path}: {error} ({error.code})") from error
    except Exception as error:  # Pillow raises anything on hostile bytes.
        raise DataError(f"{path}: the image cannot be read") from error
