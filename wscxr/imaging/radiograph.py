"""One radiograph as read from its file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One chest X-ray (CXR) in its own size and depth.

    Attributes
    ----------
    pixels
        Grey values of shape (height, width), uint8 or uint16, bright where the body is dense.
    format
        The container it came in: ``"PNG"`` or ``"JPEG"``.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    format: str

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
        """Bits per pixel of the grey values: 8 or 16."""
        return int(self.pixels.dtype.itemsize) * 8
