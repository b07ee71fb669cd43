"""What is refused before any work is done on it."""

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, PositiveInt

Admit = Callable[[int], object]
"""Called before an image is decoded with the bytes of memory that decoding needs; may refuse it by
raising an error of its own."""


class ImageLimits(BaseModel):
    """Bounds on one image file.

    Attributes
    ----------
    max_bytes
        Largest file, in bytes.
    max_pixels
        Largest width x height, read from the header before anything is decoded.
    max_scanned_pixels
        Largest number of scans of a JPEG stream x width x height, counted in its headers before
        anything is decoded. Decoders take about a second for this many.
    min_side
        Shortest side, in pixels, that can still be a radiograph.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: PositiveInt = 64 * 1024 * 1024
    max_pixels: PositiveInt = 100_000_000
    max_scanned_pixels: PositiveInt = 2_000_000_000
    min_side: PositiveInt = 32
