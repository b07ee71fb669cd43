"""Bytes -> Radiograph, whatever the format."""

from wscxr.errors import BlankImage, EmptyFile, FileTooLarge, UnsupportedFormat
from wscxr.imaging.limits import ImageLimits
from wscxr.imaging.radiograph import Radiograph
from wscxr.imaging.raster import RASTER_SIGNATURES, read_raster


def read_radiograph(data: bytes, limits: ImageLimits | None = None) -> Radiograph:
    """Read one radiograph from the bytes of a file.

    The format is recognised by the bytes alone; names and declared types are never trusted.

    Parameters
    ----------
    data
        The whole file.
    limits
        Input limits; the defaults of `ImageLimits` when not given.

    Raises
    ------
    EmptyFile, FileTooLarge, UnsupportedFormat, CorruptImage, MultiFrameImage, ImageTooSmall,
    TooManyPixels, BlankImage
        See `wscxr.errors`.
    """
    limits = limits or ImageLimits()
    if not data:
        raise EmptyFile("the file is empty")
    if len(data) > limits.max_bytes:
        raise FileTooLarge(f"the file has {len(data)} bytes; the limit is {limits.max_bytes}")
    if not data.startswith(RASTER_SIGNATURES):
        raise UnsupportedFormat("the file is neither PNG nor JPEG")
    radiograph = read_raster(data, limits)
    if radiograph.pixels.min() == radiograph.pixels.max():
        raise BlankImage("all pixels have the same value")
    return radiograph
