"""What is refused before any work is done on it."""

from pydantic import BaseModel, ConfigDict, PositiveInt


class ImageLimits(BaseModel):
    """Bounds on one image file.

    Attributes
    ----------
    max_bytes
        Largest file, in bytes.
    max_pixels
        Largest width x height, read from the header before anything is decoded.
    min_side
        Shortest side, in pixels, that can still be a radiograph.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: PositiveInt = 64 * 1024 * 1024
    max_pixels: PositiveInt = 100_000_000
    min_side: PositiveInt = 32
