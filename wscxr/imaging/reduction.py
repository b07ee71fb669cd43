"""Large pictures made smaller by a whole factor, before anything else is done with them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8] | NDArray[np.uint16]

FACTORS = (8, 4, 2, 1)
"""What a JPEG can be reduced by while it is decoded, at next to no cost."""

STRIP = 1 << 18
"""Pixels that are worked on at a time: they stay in the processor's cache."""


def reduction(side: int, least: int) -> int:
    """The largest factor by which a side can be reduced without falling below `least` pixels."""
    return next((factor for factor in FACTORS if side >= factor * least), 1)


def reduce(pixels: Grey, factor: int) -> Grey:
    """Take the mean of each square of `factor` x `factor` pixels, rounded.

    Squares that reach out at the right or at the bottom have the mean of the pixels they hold.

    Parameters
    ----------
    pixels
        uint8 or uint16 of shape (height, width).
    """
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).reduce(factor))
    reduced = np.empty([-(-side // factor) for side in pixels.shape], dtype=np.uint16)
    for strip in strips(pixels.shape, factor):
        rows = slice(strip.start // factor, -(-strip.stop // factor))
        reduced[rows] = reduce_strip(pixels[strip], factor)
    return reduced


def strips(shape: tuple[int, ...], factor: int) -> Iterator[slice]:
    """Cut a picture into strips of rows, a multiple of `factor` each; the last may have fewer."""
    rows = max(STRIP // shape[1] // factor, 1) * factor
    for top in range(0, shape[0], rows):
        yield slice(top, min(top + rows, shape[0]))


def reduce_strip(pixels: NDArray[np.unsignedinteger], factor: int) -> NDArray[np.uint16]:
    """`reduce` for a few rows of 16 bits, for which Pillow has no function."""
    sums = pixels[::factor].astype(np.uint32)
    for row in range(1, factor):
        below = pixels[row::factor]
        sums[: len(below)] += below
    total = sums[:, ::factor].copy()
    for column in range(1, factor):
        beside = sums[:, column::factor]
        total[:, : beside.shape[1]] += beside
    counts = np.outer(*(_counts(side, factor) for side in pixels.shape))
    return ((total + counts // 2) // counts).astype(np.uint16)


def _counts(side: int, factor: int) -> NDArray[np.uint32]:
    """How many of a side's pixels lie in each square."""
    starts = np.arange(0, side, factor, dtype=np.uint32)
    return np.minimum(side - starts, factor).astype(np.uint32)
