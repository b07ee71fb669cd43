"""What the headers of a JPEG stream say, what decoding it would cost, and whether it is whole.

Decoders report the size only after decoding, which is too late for a hostile stream, and most of
them fill in silently what a damaged stream lacks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from wscxr.errors import CorruptImage, TooManyScans
from wscxr.imaging.limits import ImageLimits

_SOI = b"\xff\xd8"
_SCAN = 0xDA
_END = 0xD9
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Start-of-frame markers of ITU-T T.81, table B.1, and of JPEG-LS (T.87, C.1.1)."""

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""A marker that opens a segment or ends the stream. Within a scan a 0 follows each byte of FF that
is data (T.81, F.1.2.3), and RSTm stands alone, as TEM and SOI do (T.81, B.1.1.3)."""

_MAX_SEGMENTS = 10_000
"""Many times what an encoder writes: 64 MiB of the longest segments are a thousand."""

_SPECTRAL_SELECTION = b"\x00\x3f\x00"


@dataclass(frozen=True)
class FrameHeader:
    """Size in pixels, and number of components, of a JPEG or JPEG-LS stream."""

    rows: int
    columns: int
    components: int


def frame_header(stream: bytes) -> FrameHeader:
    """Read the frame header (ITU-T T.81, B.2.2).

    Raises
    ------
    CorruptImage
        There is none.
    """
    for marker, start, end in _segments(stream):
        if marker in _FRAMES and end - start >= 6:
            return FrameHeader(
                rows=int.from_bytes(stream[start + 1 : start + 3], "big"),
                columns=int.from_bytes(stream[start + 3 : start + 5], "big"),
                components=stream[start + 5],
            )
        if marker == _SCAN:
            break
    raise CorruptImage("the compressed picture has no frame header")


def check_work(stream: bytes, limits: ImageLimits) -> None:
    """Refuse a stream whose decoding would take too long; only its headers are read.

    A decoder visits every block of the picture in each scan (ITU-T T.81, G.1.2), however few bytes
    the scan has: the work is the product of scans and pixels.

    Parameters
    ----------
    stream
        JPEG (ITU-T T.81); JPEG-LS has other rules of what ends a scan.
    limits
        `max_scanned_pixels` bounds scans x width x height.

    Raises
    ------
    TooManyScans
        There are more scans than the limit allows for a picture of this size.
    CorruptImage
        There is no frame header, or more segments than any encoder writes.
    """
    frame = frame_header(stream)
    scans = sum(marker == _SCAN for marker, _, _ in _segments(stream))
    if scans > 1 and scans * frame.rows * frame.columns > limits.max_scanned_pixels:
        raise TooManyScans(
            f"the JPEG stream has {scans} scans of {frame.columns} x {frame.rows} pixels; "
            f"the limit is {limits.max_scanned_pixels} pixels in all scans together"
        )


def check_end(stream: bytes) -> None:
    """Refuse a stream that stops before its end marker (EOI; ITU-T T.81, B.2.1).

    Raises
    ------
    CorruptImage
        It has no end marker.
    """
    if not any(marker == _END for marker, _, _ in _segments(stream)):
        raise CorruptImage("the JPEG stream is truncated: it has no end marker")


def decode_grey(stream: bytes, factor: int = 1) -> NDArray[np.uint8]:
    """Decode an 8-bit stream to grey, and refuse one that the decoder would have to repair.

    Smaller pictures are computed by smaller transforms (of each block of 8 x 8 pixels, its lowest
    frequencies): a low-pass filter that costs less than the whole picture. All entropy-coded data
    is read at any size. Colour becomes luma, which JPEG holds apart (JFIF, ITU-T T.871).

    Damage that leaves a valid code in place of another, as one changed byte may, cannot be seen.

    Parameters
    ----------
    stream
        A file or a frame.
    factor
        1, 2, 4 or 8: one pixel for each square of so many by so many.

    Returns
    -------
    ndarray
        uint8 of shape (ceil(height / factor), ceil(width / factor)).

    Raises
    ------
    CorruptImage
        libjpeg warns of it: data is missing, left over, or no valid code.
    """
    frame = frame_header(stream)
    try:
        grey: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            stream,
            colorspace="GRAY",
            min_height=-(-frame.rows // factor),
            min_width=-(-frame.columns // factor),
            min_factor=factor,
        )[..., 0]
    except ValueError:
        raise CorruptImage("the JPEG stream is truncated or damaged") from None
    return grey


def repair_scan_header(stream: bytes) -> bytes:
    """Give a sequential JPEG stream the one spectral selection that it can have.

    Some encoders wrote ``Se = 0`` into the scan header of sequential streams, where ITU-T T.81,
    table B.3, has 63 and nothing else. Strict decoders refuse those files; the coefficients are
    all there.

    Parameters
    ----------
    stream
        One frame.

    Returns
    -------
    bytes
        The stream, changed at most in the last three bytes of its first scan header; as it was
        where it is not sequential JPEG.
    """
    sequential = False
    for marker, start, end in _segments(stream):
        if marker == _SCAN:
            if sequential and end - start >= 4:
                return stream[: end - 3] + _SPECTRAL_SELECTION + stream[end:]
            break
        sequential = sequential or marker in _SEQUENTIAL
    return stream


def _segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the content of each segment; EOI, which has none, comes last.

    Bytes between segments are passed over, as decoders do; those of a scan are such bytes too.

    Raises
    ------
    CorruptImage
        There are more segments than any encoder writes.
    """
    place = 2 if stream.startswith(_SOI) else len(stream)
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(stream, place)
        if found is None:
            return
        marker, start = stream[found.end() - 1], found.end() + 2
        if marker == _END:
            yield marker, found.end(), found.end()
            return
        end = found.end() + int.from_bytes(stream[found.end() : start], "big")
        if not start <= end <= len(stream):
            return
        yield marker, start, end
        place = end
    raise CorruptImage("the JPEG stream has too many segments")
