"""What the headers of a JPEG stream say, and the repair of a known fault in them.

Decoders report the size only after decoding, which is too late for a hostile stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from wscxr.errors import CorruptImage

_SOI = b"\xff\xd8"
_SCAN = 0xDA
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Start-of-frame markers of ITU-T T.81, table B.1, and of JPEG-LS (T.87, C.1.1)."""

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
    raise CorruptImage("the compressed picture has no frame header")


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
        if marker == _SCAN and sequential and end - start >= 4:
            return stream[: end - 3] + _SPECTRAL_SELECTION + stream[end:]
        sequential = sequential or marker in _SEQUENTIAL
    return stream


def _segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the content of each segment, to the first scan header."""
    place = 2 if stream.startswith(_SOI) else len(stream)
    while place + 4 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        end = place + 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
        if end > len(stream) or end < place + 4:
            return
        yield marker, place + 4, end
        if marker == _SCAN:
            return
        place = end
