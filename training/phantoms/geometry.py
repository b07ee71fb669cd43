"""Where things are: body coordinates, and solids that the beam passes through.

Positions and lengths are in *body units*: the image spans [-1, 1] on both axes, ``x`` to the right
and ``y`` downwards, so the patient's right side has negative ``x``, as on a radiograph.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.phantoms.planes import Plane, blur

Pair: TypeAlias = tuple[float, float]
"""Something along ``x`` and along ``y``, in body units."""

Points: TypeAlias = NDArray[np.float64]
"""Positions in body units, of shape (n, 2), ``x`` before ``y``."""

SIDES = (RIGHT, LEFT) = (-1, 1)
"""The patient's sides, as the sign of ``x``."""


class View:
    """How the patient stands before the detector: pixel grid, small rotation and shift.

    Parameters
    ----------
    rng
        Draws rotation and shift.
    size
        Width and height of the image in pixels.

    Attributes
    ----------
    size
        The same size.
    x, y
        Body coordinates of every pixel's centre, of shape (size, size).
    """

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.size = size
        angle = np.deg2rad(rng.normal(0.0, 1.3))
        self._shift = rng.normal(0.0, 0.02, 2)
        cos, sin = np.cos(angle), np.sin(angle)
        self._turn = np.array([[cos, -sin], [sin, cos]])
        ticks = (np.arange(size) + 0.5) * 2.0 / size - 1.0
        body = (np.stack(np.meshgrid(ticks, ticks), axis=-1) - self._shift) @ self._turn
        self.x: Plane = np.ascontiguousarray(body[..., 0], dtype=np.float32)
        self.y: Plane = np.ascontiguousarray(body[..., 1], dtype=np.float32)

    def pixels(self, length: float) -> float:
        """Convert a length from body units to pixels."""
        return length * self.size / 2.0

    def to_pixels(self, points: Points) -> NDArray[np.float64]:
        """Convert positions from body units to pixels, counted from the upper left corner."""
        turned: Points = points @ self._turn.T
        return (turned + (self._shift + 1.0)) * (self.size / 2.0)

    def blur(self, plane: Plane, radius: float) -> Plane:
        """Blur with a Gaussian whose standard deviation is in body units."""
        return blur(plane, self.pixels(radius))


def rounded(inside: Plane, reach: float) -> Plane:
    """Path through a body whose edge is round.

    Parameters
    ----------
    inside
        Distance to the edge, negative outside the body; in the unit of ``reach``.
    reach
        Depth from which the body has its full thickness.

    Returns
    -------
    Plane
        0 outside, rising along a quarter circle to 1 at ``reach`` and deeper inside.
    """
    outer = 1.0 - np.clip(inside / reach, 0.0, 1.0)
    path: Plane = np.sqrt(1.0 - outer * outer)
    return path


def ellipsoid(view: View, centre: Pair, radii: Pair, tilt: float = 0.0) -> Plane:
    """Path through an ellipsoid.

    Parameters
    ----------
    view
        Gives each pixel its place.
    centre, radii
        In body units.
    tilt
        Turn about the centre in radians, clockwise in the image.

    Returns
    -------
    Plane
        1 at the centre, 0 outside.
    """
    (x, y), (width, height) = centre, radii
    cos, sin = float(np.cos(tilt)), float(np.sin(tilt))
    across = (cos * (view.x - x) + sin * (view.y - y)) / width
    down = (cos * (view.y - y) - sin * (view.x - x)) / height
    path: Plane = np.sqrt(np.clip(1.0 - across * across - down * down, 0.0, None))
    return path
