"""One radiograph as read from its file, in its own size or smaller."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from wscxr.imaging.reduction import Grey, reduce, reduction

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom import Dataset


class Picture(Protocol):
    """Grey values that are computed when somebody needs them."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, upright."""

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """uint8 or uint16."""

    def decode(self, factor: int) -> Grey:
        """Compute the picture at 1 / `factor` of its size, a factor of `FACTORS`.

        A place in it stands for the square of `factor` x `factor` pixels that ends at the same
        place of the whole picture; those at the right and at the bottom may reach out of it.

        Raises
        ------
        CorruptImage
            It is truncated or damaged.
        """


@dataclass(frozen=True, eq=False)
class View:
    """The grey values of a radiograph at a fraction of its size.

    Attributes
    ----------
    pixels
        uint8 or uint16 of shape (ceil(height / factor), ceil(width / factor)).
    factor
        How many pixels of the radiograph, across and down, one of these stands for.
    width, height
        Of the whole radiograph, in its own pixels.
    """

    pixels: Grey
    factor: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Unwindowed:
    """The grey values of a radiograph in the whole range that it has, and what to show of it first.

    Attributes
    ----------
    pixels
        uint8 or uint16 of shape (height, width), bright where the body is dense.
    low, high
        The values that are black and white at first; they may lie outside the type's range.
    """

    pixels: Grey
    low: int
    high: int


class Radiograph:
    """One chest X-ray (CXR) in its own size and depth.

    Parameters
    ----------
    pixels
        Grey values of shape (height, width), uint8 or uint16, bright where the body is dense; or
        the picture that computes them.
    format
        See the attributes.
    header, warnings
        See the attributes.
    unwindowed
        Computes the grey values without the window of the file, where it has one.

    Attributes
    ----------
    format
        The container it came in: ``"PNG"``, ``"JPEG"`` or ``"DICOM"``; ``"array"`` for none.
    header
        Of a DICOM file: its data set without the pixel data, which results refer to; it holds
        patient data and is never logged.
    warnings
        What the reader had to assume, for the person who reads the score; no patient data.
    """

    def __init__(
        self,
        pixels: Grey | Picture,
        format: str,  # noqa: A002 - the name that answers have
        header: Dataset | None = None,
        warnings: tuple[str, ...] = (),
        unwindowed: Callable[[], Unwindowed] | None = None,
    ) -> None:
        self._picture = _Held(pixels) if isinstance(pixels, np.ndarray) else pixels
        self._views: dict[int, View] = {}
        self.format = format
        self.header = header
        self.warnings = warnings
        self._unwindowed = unwindowed

    @cached_property
    def pixels(self) -> Grey:
        """Grey values of shape (height, width), uint8 or uint16, bright where the body is dense."""
        return self._picture.decode(1)

    def unwindowed(self) -> Unwindowed:
        """The grey values before the window of the file, for a screen on which it is changed.

        Of a file without a window, `pixels`: 8-bit ones from 0 to 255, deeper ones in their own
        range.
        """
        if self._unwindowed is not None:
            return self._unwindowed()
        if self.pixels.dtype == np.uint8:
            return Unwindowed(self.pixels, 0, 255)
        return Unwindowed(self.pixels, int(self.pixels.min()), int(self.pixels.max()))

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return self._picture.shape[0]

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return self._picture.shape[1]

    @property
    def bits(self) -> int:
        """Bits per pixel in the file: 8 or 16; the grey values of DICOM have 16 in any case."""
        if self.header is not None:
            return int(self.header.BitsAllocated)
        return self._picture.dtype.itemsize * 8

    @property
    def full_bytes(self) -> int:
        """Memory that `pixels` take, whether they were computed or not."""
        return self.width * self.height * self._picture.dtype.itemsize

    def view(self, side: int | None = None) -> View:
        """The smallest view whose shorter side still has so many pixels.

        What it shows depends on the file and `side` alone, not on what was computed before.

        Parameters
        ----------
        side
            The whole size where it is None, and where the radiograph has no more than that.
        """
        factor = 1 if side is None else reduction(min(self.width, self.height), side)
        if factor not in self._views:
            pixels = self.pixels if factor == 1 else self._picture.decode(factor)
            self._views[factor] = View(pixels, factor, self.width, self.height)
        return self._views[factor]


class _Held:
    """A picture that is in memory."""

    def __init__(self, pixels: Grey) -> None:
        self._pixels = pixels
        self.shape: tuple[int, int] = pixels.shape
        self.dtype: np.dtype[np.unsignedinteger] = pixels.dtype

    def decode(self, factor: int) -> Grey:
        """See `Picture.decode`."""
        return self._pixels if factor == 1 else reduce(self._pixels, factor)
