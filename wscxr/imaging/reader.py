"""Bytes, a file or an array -> Radiograph; which files of a folder are radiographs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wscxr.errors import (
    BlankImage,
    EmptyFile,
    FileTooLarge,
    ImageError,
    ImageTooSmall,
    TooManyPixels,
    UnsupportedFormat,
)
from wscxr.imaging.dicom.rules import DicomRules
from wscxr.imaging.limits import Admit, ImageLimits
from wscxr.imaging.radiograph import Radiograph
from wscxr.imaging.raster import RASTER_SIGNATURES, read_raster

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".dcm", ".dicom"})
_DICOM_MARK = slice(128, 132)
_DICOM_STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""Groups 0002 and 0008 in little and 0008 in big endian: how files without preamble start."""

Source = str | Path | bytes | NDArray[Any] | Radiograph
"""What a radiograph can be read from: a path, the bytes of a file, a grey picture, itself."""


def looks_like_dicom(data: bytes) -> bool:
    """Whether a file starts as DICOM does (PS3.10, 7.1), with or without the preamble."""
    if data[_DICOM_MARK] == b"DICM":
        return True
    # The first element of a data set is one of the first of its group.
    return data.startswith(_DICOM_STARTS) and data[2:4] in (
        b"\x00\x00",
        b"\x01\x00",
        b"\x05\x00",
        b"\x08\x00",
        b"\x16\x00",
        b"\x00\x05",
        b"\x00\x08",
        b"\x00\x16",
    )


def read_radiograph(
    data: bytes,
    limits: ImageLimits | None = None,
    rules: DicomRules | None = None,
    admit: Admit = lambda _: None,
    *,
    side: int | None = None,
) -> Radiograph:
    """Read one radiograph from the bytes of a file.

    The format is recognised by the bytes alone; names and declared types are never trusted.

    Parameters
    ----------
    data
        The whole file.
    limits
        Input limits; the defaults of `ImageLimits` when not given.
    rules
        Which DICOM objects are scored; the defaults of `DicomRules` when not given.
    admit
        Called before decoding with the bytes of memory that it needs; what it raises is raised.
    side
        What `Radiograph.view` will be asked for, where that is known: the picture is decoded at
        that size alone, until somebody wants another.

    Raises
    ------
    EmptyFile, FileTooLarge, UnsupportedFormat, CorruptImage, MultiFrameImage, ImageTooSmall,
    TooManyPixels, TooManyScans, TooManyParts, BlankImage, UnsupportedSyntax, OutOfScope
        See `wscxr.errors`.
    """
    limits = limits or ImageLimits()
    if not data:
        raise EmptyFile("the file is empty")
    if len(data) > limits.max_bytes:
        raise FileTooLarge(f"the file has {len(data)} bytes; the limit is {limits.max_bytes}")
    if looks_like_dicom(data):
        radiograph = _read_dicom(data, limits, rules or DicomRules(), admit)
    elif data.startswith(RASTER_SIGNATURES):
        radiograph = read_raster(data, limits, admit)
    else:
        raise UnsupportedFormat("the file is neither PNG nor JPEG nor DICOM")
    return _not_blank(radiograph, side)


def from_array(pixels: NDArray[Any], limits: ImageLimits | None = None) -> Radiograph:
    """Take a grey picture from memory as a radiograph.

    Parameters
    ----------
    pixels
        Grey values of shape (height, width), bright where the body is dense: uint8, uint16, or
        floats from 0 for black to 1 for the brightest, which become 16-bit grey.
    limits
        Input limits; the defaults of `ImageLimits` when not given.

    Raises
    ------
    ImageError
        The shape, the type or a value is none of those.
    ImageTooSmall, TooManyPixels, BlankImage
        See `wscxr.errors`.
    """
    limits = limits or ImageLimits()
    if pixels.ndim != 2:
        raise ImageError(f"an array of {pixels.ndim} dimensions is no grey picture; give two")
    if pixels.size > limits.max_pixels:
        raise TooManyPixels(f"the array has {pixels.size} pixels; the limit is {limits.max_pixels}")
    if min(pixels.shape) < limits.min_side:
        raise ImageTooSmall(f"each side of the array needs {limits.min_side} pixels")
    if pixels.dtype.kind == "f":
        # Written so that NaN fails.
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ImageError("an array of floats needs values from 0 to 1")
        pixels = np.round(65535 * pixels.astype(np.float64)).astype(np.uint16)
    elif pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise ImageError(f"an array of {pixels.dtype} is no picture; give uint8, uint16 or floats")
    native = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    return _not_blank(Radiograph(pixels=native, format="array"))


def open_source(
    source: Source, rules: DicomRules | None = None, *, side: int | None = None
) -> Radiograph:
    """Read a radiograph from whatever there is.

    Parameters and errors are those of `read_radiograph` and `from_array`, and this one.

    Raises
    ------
    OSError
        A file cannot be opened.
    """
    if isinstance(source, Radiograph):
        return source
    if isinstance(source, np.ndarray):
        return from_array(source)
    if isinstance(source, bytes):
        return read_radiograph(source, rules=rules, side=side)
    return read_radiograph(Path(source).read_bytes(), rules=rules, side=side)


def _not_blank(radiograph: Radiograph, side: int | None = None) -> Radiograph:
    view = radiograph.view(side)
    if view.pixels.min() == view.pixels.max() and (
        view.factor == 1 or radiograph.pixels.min() == radiograph.pixels.max()
    ):
        raise BlankImage("all pixels have the same value")
    return radiograph


def _read_dicom(data: bytes, limits: ImageLimits, rules: DicomRules, admit: Admit) -> Radiograph:
    try:
        from wscxr.imaging.dicom.reading import read_dicom
    except ModuleNotFoundError as error:
        raise UnsupportedFormat("DICOM files need the extra: pip install 'wscxr[dicom]'") from error
    return read_dicom(data, limits, rules, admit)


def find_images(folder: Path) -> list[Path]:
    """Find all PNG, JPEG and DICOM files below a folder, in the order of their paths.

    PNG and JPEG files are recognised by their suffix. DICOM files often have none, so files without
    one are opened and searched for the DICOM mark; DICOMDIR (PS3.10, 8.6) holds no picture and is
    left out.
    """
    return sorted(path for path in folder.rglob("*") if path.is_file() and is_image(path))


def is_image(path: Path) -> bool:
    """Whether a file is one that `find_images` finds.

    Raises
    ------
    OSError
        It has no suffix and cannot be opened.
    """
    if path.suffix.lower() in _SUFFIXES:
        return True
    if path.suffix or path.name == "DICOMDIR":
        return False
    with path.open("rb") as file:
        return file.read(_DICOM_MARK.stop)[_DICOM_MARK] == b"DICM"
