"""What decoding a JPEG 2000 stream would cost, by its headers (ITU-T T.800, annexes A and B).

The coded data bounds the arithmetic, but not the bookkeeping: a stream of a few bytes can announce
billions of packets, or a code-block for every sixteen pixels, and a decoder makes room for all.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from wscxr.errors import CorruptImage, TooManyParts

_MAX_TILES = 10_000
"""Tiles of a picture of the most pixels there may be, at 100 x 100 pixels each."""

_MAX_BLOCKS = 500_000
"""Code-blocks of such a picture at 16 x 16 pixels; encoders use 64 x 64 and 32 x 32."""

_MAX_PACKETS = 300_000
"""Packets of all tiles; ten times what encoders make of such a picture."""

_MAX_SEGMENTS = 100_000

_START = b"\xff\x4f\xff\x51"
_SOT, _SOD, _EOC = 0xFF90, 0xFF93, 0xFFD9
_SIZ, _COD, _COC = 0xFF51, 0xFF52, 0xFF53
_LARGEST_PRECINCT = 15


@dataclass(frozen=True)
class _Coding:
    """What a COD or COC segment says: of the levels, and the exponents of sizes."""

    layers: int
    levels: int
    block: int
    precinct: int


def check_work(stream: bytes) -> None:
    """Refuse a stream whose bookkeeping alone would take long; only its headers are read.

    Each segment of coding parameters counts as if the whole picture were coded by it, wherever it
    stands.

    Parameters
    ----------
    stream
        A codestream: JPEG 2000 or High-Throughput JPEG 2000.

    Raises
    ------
    TooManyParts
        It announces more tiles, code-blocks or packets than decoders cope with in time.
    CorruptImage
        It has no headers, or more segments than any encoder writes.
    """
    width = height = tiles = components = 0
    layers = 1
    for marker, content in _segments(stream):
        if marker == _SIZ and len(content) >= 36:
            right, bottom, left, top, across, down, x0, y0 = (
                int.from_bytes(content[place : place + 4], "big") for place in range(2, 34, 4)
            )
            if not across or not down or right <= left or bottom <= top:
                raise CorruptImage("the JPEG 2000 stream has no size")
            width, height = right - left, bottom - top
            tiles = -(-(right - x0) // across) * -(-(bottom - y0) // down)
            components = int.from_bytes(content[34:36], "big")
            if tiles > _MAX_TILES:
                raise TooManyParts(f"the JPEG 2000 stream has {tiles} tiles")
        elif marker in (_COD, _COC) and tiles:
            coding = _coding(marker, content, layers, components)
            if coding is None:
                raise CorruptImage("the JPEG 2000 stream is damaged")
            layers = max(layers, coding.layers)
            _check(coding, width, height, tiles, components)
    if not tiles:
        raise CorruptImage("the JPEG 2000 stream has no header")


def _check(coding: _Coding, width: int, height: int, tiles: int, components: int) -> None:
    bands = 3 * coding.levels + 1
    pixels = width * height * components
    blocks = pixels // 2**coding.block + tiles * components * bands
    if blocks > _MAX_BLOCKS:
        raise TooManyParts(f"the JPEG 2000 stream has about {blocks} code-blocks")
    precincts = pixels // 2**coding.precinct + tiles * components * (coding.levels + 1)
    if precincts * coding.layers > _MAX_PACKETS:
        raise TooManyParts(f"the JPEG 2000 stream has about {precincts * coding.layers} packets")


def _coding(marker: int, content: bytes, layers: int, components: int) -> _Coding | None:
    """Read a COD (A.6.1) or COC (A.6.2) segment; None where it is cut off."""
    if marker == _COD:
        style, place = content[:1], 5
        layers = int.from_bytes(content[2:4], "big")
    else:
        # The component comes first, in one byte or two.
        first = 1 if components < 257 else 2
        style, place = content[first : first + 1], first + 1
    said = content[place:]
    if len(said) < 5 or not style:
        return None
    precinct = 2 * _LARGEST_PRECINCT
    if style[0] & 1 and said[5:]:
        precinct = min((size & 15) + (size >> 4) for size in said[5:])
    return _Coding(
        layers=max(layers, 1),
        levels=said[0],
        block=said[1] % 16 + said[2] % 16 + 4,
        precinct=precinct,
    )


def _segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment of the main header and of all tile-part headers."""
    # A file format around it (T.800, annex I) is no part of DICOM, but seen.
    start = stream.find(_START)
    place = start + 2 if start >= 0 else len(stream)
    part = None  # where the tile-part ends whose header this is
    for _ in range(_MAX_SEGMENTS):
        marker = int.from_bytes(stream[place : place + 2], "big")
        if place + 4 > len(stream) or marker == _EOC:
            return
        if marker == _SOD:
            if part is None or part <= place:
                return  # it reaches to the end of the stream
            place, part = part, None
            continue
        end = place + 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
        if not place + 4 <= end <= len(stream):
            return
        content = stream[place + 4 : end]
        if marker == _SOT and len(content) >= 6:
            length = int.from_bytes(content[2:6], "big")
            part = place + length if length else None
        yield marker, content
        place = end
    raise CorruptImage("the JPEG 2000 stream has too many segments")
