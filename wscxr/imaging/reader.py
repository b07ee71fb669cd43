"""Bytes -> Radiograph, whatever the format."""

from wscxr.errors import BlankImage, EmptyFile, FileTooLarge, UnsupportedFormat
from wscxr.imaging.dicom.rules import DicomRules
from wscxr.imaging.limits import ImageLimits
from wscxr.imaging.radiograph import Radiograph
from wscxr.imaging.raster import RASTER_SIGNATURES, read_raster

_DICOM_STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""Groups 0002 and 0008 in little and 0008 in big endian: how files without preamble start."""


def looks_like_dicom(data: bytes) -> bool:
    """Whether a file starts as DICOM does (PS3.10, 7.1), with or without the preamble."""
    if data[128:132] == b"DICM":
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
    data: bytes, limits: ImageLimits | None = None, rules: DicomRules | None = None
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

    Raises
    ------
    EmptyFile, FileTooLarge, UnsupportedFormat, CorruptImage, MultiFrameImage, ImageTooSmall,
    TooManyPixels, BlankImage, UnsupportedSyntax, OutOfScope
        See `wscxr.errors`.
    """
    limits = limits or ImageLimits()
    if not data:
        raise EmptyFile("the file is empty")
    if len(data) > limits.max_bytes:
        raise FileTooLarge(f"the file has {len(data)} bytes; the limit is {limits.max_bytes}")
    if looks_like_dicom(data):
        radiograph = _read_dicom(data, limits, rules or DicomRules())
    elif data.startswith(RASTER_SIGNATURES):
        radiograph = read_raster(data, limits)
    else:
        raise UnsupportedFormat("the file is neither PNG nor JPEG nor DICOM")
    if radiograph.pixels.min() == radiograph.pixels.max():
        raise BlankImage("all pixels have the same value")
    return radiograph


def _read_dicom(data: bytes, limits: ImageLimits, rules: DicomRules) -> Radiograph:
    try:
        from wscxr.imaging.dicom import read_dicom
    except ModuleNotFoundError as error:
        raise UnsupportedFormat("DICOM files need the extra: pip install 'wscxr[dicom]'") from error
    return read_dicom(data, limits, rules)
