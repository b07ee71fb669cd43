"""The frame a radiograph is looked at in, and the way back to its own pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wscxr.imaging import Radiograph


@dataclass(frozen=True)
class Frame:
    """A rectangle of a radiograph that is squashed to the model's square input.

    A place in the frame of one chest is the same place in the frame of another. The rectangle lies
    on whole pixels and inside the picture, so nothing is invented at its edge.

    Attributes
    ----------
    left, top, right, bottom
        The rectangle in the radiograph's pixels; `right` and `bottom` are the first column and row
        that are no longer in it.
    width, height
        Size of the whole radiograph, in pixels.
    """

    left: int
    top: int
    right: int
    bottom: int
    width: int
    height: int

    @classmethod
    def whole(cls, radiograph: Radiograph) -> "Frame":
        """The frame that is the whole picture."""
        width, height = radiograph.width, radiograph.height
        return cls(0, 0, width, height, width, height)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.right, self.bottom

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the picture is outside."""
        return self.box == (0, 0, self.width, self.height)

    def to_radiograph(
        self, values: NDArray[np.float32], shape: tuple[int, int], outside: float
    ) -> NDArray[np.float32]:
        """Bring a map of the frame to a grid over the whole radiograph.

        Parameters
        ----------
        values
            float32 of shape (h, w), of any size; its corners are the frame's.
        shape
            Rows and columns of the grid; its corners are the radiograph's.
        outside
            The value where the frame is not.

        Returns
        -------
        ndarray
            float32 of that shape, interpolated linearly.
        """
        (rows, columns), (height, width) = values.shape, shape
        across = columns / (self.right - self.left)
        down = rows / (self.bottom - self.top)
        # From places of the grid to places of the map.
        affine = (
            *(self.width / width * across, 0.0, -self.left * across),
            *(0.0, self.height / height * down, -self.top * down),
        )
        picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
        found = picture.transform(
            (width, height),
            Image.Transform.AFFINE,
            affine,
            Image.Resampling.BILINEAR,
            fillcolor=outside,
        )
        return np.array(found, dtype=np.float32)

    def from_radiograph(
        self, values: NDArray[np.float32], shape: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Bring a map of the whole radiograph into the frame: the inverse of `to_radiograph`.

        Parameters
        ----------
        values
            float32 of shape (h, w), of any size; its corners are the radiograph's.
        shape
            Rows and columns of what is made of it.

        Returns
        -------
        ndarray
            float32 of that shape.
        """
        rows, columns = values.shape
        box = (
            self.left / self.width * columns,
            self.top / self.height * rows,
            self.right / self.width * columns,
            self.bottom / self.height * rows,
        )
        picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
        return np.asarray(picture.resize(shape[::-1], Image.Resampling.BILINEAR, box=box))
