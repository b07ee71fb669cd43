"""One radiograph as read from its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One chest X-ray (CXR) in its own size and depth.

    Attributes
    ----------
    pixels
        Grey values of shape (height, width), uint8 or uint16, bright where the body is dense.
    format
        The container it came in: ``"PNG"``, ``"JPEG"`` or ``"DICOM"``; ``"array"`` for none.
    header
        Of a DICOM file: its data set without the pixel data, which results refer to; it holds
        patient data and is never logged.
    warnings
        What the reader had to assume, for the person who reads the score; no patient data.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    format: str
    header: Dataset | None = None
    warnings: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return int(self.pixels.shape[1])

    @property
    def bits(self) -> int:
        """Bits per pixel in the file: 8 or 16; the grey values of DICOM have 16 in any case."""
        if self.header is not None:
            return int(self.header.BitsAllocated)
        return int(self.pixels.dtype.itemsize) * 8
