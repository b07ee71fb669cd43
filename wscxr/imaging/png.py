"""What reading a PNG file would cost, and whether its pixels are all there."""

import zlib
from collections.abc import Iterator

from wscxr.errors import CorruptImage

_SIGNATURE = 8
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel of each colour type (ISO/IEC 15948, 11.2.2)."""

_PASSES = {
    0: ((0, 0, 1, 1),),
    1: (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ),
}
"""First column, first row and their steps, of each pass of an interlace method (8.2)."""

_MAX_CHUNKS = 100_000
"""Many times what an encoder writes: 64 MiB in chunks of 8 KiB, libpng's choice, are 8,192."""

_STEP = 1 << 20
"""Bytes that are inflated at a time: the picture is never held here."""


def check_work(data: bytes) -> None:
    """Refuse a PNG file of so many chunks that reading them alone would take long.

    Raises
    ------
    CorruptImage
        There are more chunks than any encoder writes.
    """
    for _ in _chunks(data):
        pass


def check_whole(data: bytes) -> None:
    """Refuse a PNG file whose pixel data is damaged or too short; pixels are not kept.

    Every chunk of pixel data must have its checksum (CRC; ISO/IEC 15948, 5.5), and all of them
    together must inflate to every row. Decoders leave missing rows black and say nothing.

    Parameters
    ----------
    data
        A file whose header (IHDR) is sound and within the limits.

    Raises
    ------
    CorruptImage
        A checksum is wrong, or rows are missing.
    """
    missing = _scanline_bytes(data[_SIGNATURE + 8 : _SIGNATURE + 21])
    inflater = zlib.decompressobj()
    for chunk in _pixel_chunks(data):
        while chunk and missing > 0:
            missing -= len(inflater.decompress(chunk, _STEP))
            chunk = inflater.unconsumed_tail
    missing -= len(inflater.flush()) if missing > 0 else 0
    if missing > 0:
        raise CorruptImage("the PNG file is truncated: rows are missing")


def _pixel_chunks(data: bytes) -> Iterator[bytes]:
    """Content of each chunk of pixel data (IDAT), its checksum verified."""
    for kind, start, end in _chunks(data):
        if kind == b"IDAT":
            chunk = data[start:end]
            if data[end : end + 4] != zlib.crc32(chunk, zlib.crc32(kind)).to_bytes(4, "big"):
                raise CorruptImage("the PNG file is damaged: a checksum is wrong")
            yield chunk


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each chunk before the end of the image (IEND)."""
    place = _SIGNATURE
    for _ in range(_MAX_CHUNKS):
        start = place + 8
        kind = data[place + 4 : start]
        if len(kind) < 4 or kind == b"IEND":
            return
        end = start + int.from_bytes(data[place : place + 4], "big")
        yield kind, start, end
        place = end + 4
    raise CorruptImage("the PNG file has too many chunks")


def _scanline_bytes(header: bytes) -> int:
    """Bytes of all rows, each with its filter type (ISO/IEC 15948, 7.2), before compression."""
    width, height = (int.from_bytes(header[place : place + 4], "big") for place in (0, 4))
    depth, colour, interlace = header[8], header[9], header[12]
    total = 0
    for left, top, step_x, step_y in _PASSES[interlace]:
        columns = -((left - width) // step_x)
        rows = -((top - height) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * depth * _SAMPLES[colour] // 8))
    return total
