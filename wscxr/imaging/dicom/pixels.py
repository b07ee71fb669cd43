"""Pixel data -> stored values, checked before anything is decoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from imagecodecs import jpeg8_decode
from numpy.typing import NDArray
from openjpeg.utils import get_parameters as j2k_parameters
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from wscxr.errors import (
    ColourImage,
    CorruptImage,
    ImageTooSmall,
    MultiFrameImage,
    TooManyPixels,
    UnsupportedSyntax,
    WscxrError,
)
from wscxr.imaging.dicom import jpeg2000
from wscxr.imaging.jpeg import (
    check_end,
    check_work,
    decode_grey,
    frame_header,
    repair_scan_header,
)
from wscxr.imaging.limits import Admit, ImageLimits

_J2K = frozenset({JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K})
_JPEG = frozenset({JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1})
_JPEG_LS = frozenset({JPEGLSLossless, JPEGLSNearLossless})
_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000, JPEGLSNearLossless, HTJ2K})
# Fixed, so that a score does not depend on what else happens to be installed.
_PLUGINS: dict[UID, str] = {
    **dict.fromkeys(_J2K, "pylibjpeg"),
    **dict.fromkeys(_JPEG_LS, "pyjpegls"),
    RLELossless: "pydicom",
}

_NO_COPY: dict[str, Any] = {"view_only": True}
"""What is not compressed stays where it lies in the file's bytes."""

_WORKING_BYTES = 12
"""Bytes a pixel that any decoder and the grayscale pipeline need at most; 7 were measured."""


def decode(dataset: Dataset, limits: ImageLimits, admit: Admit) -> NDArray[np.unsignedinteger]:
    """Decode the one frame of a grey image.

    Parameters
    ----------
    dataset
        As parsed, with pixel data.
    limits
        Checked against the header and that of a compressed stream.
    admit
        Called with the bytes of memory that the picture needs, before it is decoded.

    Returns
    -------
    NDArray
        Bit patterns as stored, uint8 or uint16 of shape (rows, columns): neither shifted, nor
        masked, nor with a sign.

    Raises
    ------
    ColourImage, MultiFrameImage, ImageTooSmall, TooManyPixels, TooManyScans, TooManyParts
        Before anything is decoded.
    UnsupportedSyntax
        No decoder reads this transfer syntax, or this stream in it.
    CorruptImage
        The pixel data is truncated or damaged, or contradicts the header.
    """
    syntax = UID(str(dataset.file_meta.TransferSyntaxUID))
    try:
        _check(dataset, limits)
        if syntax.is_private or not syntax.is_transfer_syntax:
            raise UnsupportedSyntax("the transfer syntax is private or unknown")
        if syntax.is_encapsulated:
            _check_stream(dataset, syntax, limits)
        admit(_WORKING_BYTES * int(dataset.Rows) * int(dataset.Columns))
        array: NDArray[np.generic]
        if syntax in _JPEG:
            array = jpeg8_decode(repair_scan_header(_frame(dataset)))
        elif syntax == JPEGBaseline8Bit:
            array = decode_grey(_frame(dataset))
        else:
            with _all_bits(dataset, syntax):
                array, _ = get_decoder(syntax).as_array(
                    dataset, raw=True, decoding_plugin=_PLUGINS.get(syntax, ""), **_NO_COPY
                )
        patterns = _patterns(array, dataset)
        return _without_overshoot(patterns, dataset) if syntax in _LOSSY else patterns
    except (WscxrError, MemoryError):
        raise
    except NotImplementedError:
        raise UnsupportedSyntax(f"no decoder reads transfer syntax {syntax.name}") from None
    except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile bytes
        raise CorruptImage(
            f"the pixel data ({syntax.name}) is truncated or damaged ({type(error).__name__})"
        ) from None


def _check(dataset: Dataset, limits: ImageLimits) -> None:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    frames = int(dataset.get("NumberOfFrames") or 1)
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise ColourImage("the DICOM picture is in colour; radiographs are grey")
    if frames > 1:
        raise MultiFrameImage(f"the DICOM object has {frames} frames; send one picture")
    if rows * columns > limits.max_pixels:
        raise TooManyPixels(
            f"the image has {columns} x {rows} pixels; the limit is {limits.max_pixels} in all"
        )
    if min(rows, columns) < limits.min_side:
        raise ImageTooSmall(
            f"the image is {columns} x {rows} pixels; each side needs {limits.min_side}"
        )
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    high = int(dataset.get("HighBit", stored - 1))
    if allocated not in (8, 16) or not 0 < stored <= high + 1 <= allocated:
        raise CorruptImage("bits allocated, bits stored and high bit contradict each other")


def _check_stream(dataset: Dataset, syntax: UID, limits: ImageLimits) -> None:
    """Hold what a compressed stream announces to the header and the limits, and see it is whole."""
    if syntax not in _PLUGINS and syntax not in _JPEG and syntax != JPEGBaseline8Bit:
        raise UnsupportedSyntax(f"no decoder reads transfer syntax {syntax.name}")
    if syntax == RLELossless:
        return  # has no size of its own
    frame = _frame(dataset)
    if syntax in _J2K:
        jpeg2000.check_work(frame)
        j2k = j2k_parameters(frame)
        size, samples = (j2k["rows"], j2k["columns"]), j2k["samples_per_pixel"]
    else:
        jpeg = frame_header(frame)
        size, samples = (jpeg.rows, jpeg.columns), jpeg.components
    if size != (int(dataset.Rows), int(dataset.Columns)) or samples != 1:
        raise CorruptImage("the compressed picture has another size than the header says")
    if syntax in _JPEG or syntax == JPEGBaseline8Bit:
        check_work(frame, limits)
        check_end(frame)


def _frame(dataset: Dataset) -> bytes:
    """The compressed stream of the one frame, in however many fragments it comes."""
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


@contextmanager
def _all_bits(dataset: Dataset, syntax: UID) -> Iterator[None]:
    """Have pydicom hand out native bits as they are: it masks them, but never shifts them."""
    if syntax.is_encapsulated and syntax != RLELossless:
        yield
        return
    kept = {name: dataset.get(name) for name in ("BitsStored", "HighBit")}
    dataset.BitsStored, dataset.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
    try:
        yield
    finally:
        dataset.BitsStored = kept["BitsStored"]
        dataset.HighBit = kept["BitsStored"] - 1 if kept["HighBit"] is None else kept["HighBit"]


def _patterns(array: NDArray[np.generic], dataset: Dataset) -> NDArray[np.unsignedinteger]:
    if array.shape != (int(dataset.Rows), int(dataset.Columns)):
        raise CorruptImage("the picture has another size than the header says")
    if array.dtype.itemsize > 2:
        raise CorruptImage("the decoded picture has more than 16 bits")
    unsigned = np.uint8 if array.dtype.itemsize == 1 else np.uint16
    patterns: NDArray[np.unsignedinteger] = array.astype(
        array.dtype.newbyteorder("="), copy=False
    ).view(unsigned)
    # A stream may have fewer bits than the header allocates.
    return patterns.astype(np.uint16, copy=False) if int(dataset.BitsStored) > 8 else patterns


def _without_overshoot(
    patterns: NDArray[np.unsignedinteger], dataset: Dataset
) -> NDArray[np.unsignedinteger]:
    """Clip what lossy coding pushed past the largest stored value: white must not become black."""
    if dataset.get("PixelRepresentation"):
        return patterns
    largest = patterns.dtype.type(2 ** int(dataset.BitsStored) - 1)
    clipped: NDArray[np.unsignedinteger] = np.minimum(patterns, largest)
    return clipped
