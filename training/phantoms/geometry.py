"""Where things are in a phantom: image planes, body coordinates, and shapes drawn in them.

Positions and lengths are in *body units*: the image spans [-1, 1] on both axes, ``x`` to the right
and ``y`` downwards, so the patient's right side has negative ``x``, as on a radiograph.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Plane: TypeAlias = NDArray[np.float32]
"""One value per pixel, of shape (size, size)."""


def blur(plane: Plane, sigma: float) -> Plane:
    """Blur with a Gaussian.

    Parameters
    ----------
    plane
        Any values, of shape (size, size).
    sigma
        Standard deviation of the Gaussian, in pixels.
    """
    blurred: Plane = ndimage.gaussian_filter(plane, sigma, mode="nearest", truncate=3.0)
    return blurred


def resize(plane: Plane, side: int, how: Image.Resampling) -> Plane:
    """Resample a square plane to shape (side, side)."""
    return np.asarray(Image.fromarray(plane).resize((side, side), how))


def cloud(rng: np.random.Generator, size: int, *grains: int) -> Plane:
    """Smooth noise, the sum of several scales.

    Parameters
    ----------
    rng
        Source of the noise.
    size
        Width and height of the result in pixels.
    *grains
        For each scale, how many grains lie side by side across the image.

    Returns
    -------
    Plane
        Noise of about zero mean and of unit variance, of shape (size, size).
    """
    total = np.zeros((size, size), np.float32)
    for count in grains:
        grain = rng.standard_normal((count, count), dtype=np.float32)
        total += resize(grain, size, Image.Resampling.BICUBIC)
    unit: Plane = total / total.std()
    return unit


Pair: TypeAlias = tuple[float, float]
"""Something along ``x`` and along ``y``, in body units."""

Points: TypeAlias = NDArray[np.float64]
"""Positions in body units, of shape (n, 2), ``x`` before ``y``."""

SIDES = (RIGHT, LEFT) = (-1, 1)
"""The patient's sides, as the sign of ``x``."""


class PixelGrid:
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


def ellipsoid(grid: PixelGrid, centre: Pair, radii: Pair, tilt: float = 0.0) -> Plane:
    """Path through an ellipsoid.

    Parameters
    ----------
    grid
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
    across = (cos * (grid.x - x) + sin * (grid.y - y)) / width
    down = (cos * (grid.y - y) - sin * (grid.x - x)) / height
    path: Plane = np.sqrt(np.clip(1.0 - across * across - down * down, 0.0, None))
    return path


_OVERSAMPLING = 2


class Layer:
    """Oversampled canvas, empty at first; later shapes replace earlier ones.

    Lengths and positions are in body units; densities are 0 (nothing) to 1.

    Parameters
    ----------
    grid
        Places the shapes in the image.
    """

    def __init__(self, grid: PixelGrid) -> None:
        self._grid = grid
        self._image = Image.new("L", (grid.size * _OVERSAMPLING,) * 2)
        self._draw = ImageDraw.Draw(self._image)

    def _path(self, points: Points) -> list[float]:
        path: list[float] = (self._grid.to_pixels(points) * _OVERSAMPLING).ravel().tolist()
        return path

    def polygon(self, points: Points, density: float) -> None:
        """Fill the polygon with these corners."""
        self._draw.polygon(self._path(points), fill=round(255 * density))

    def line(self, points: Points, width: float, density: float) -> None:
        """Draw a line through these points."""
        width = self._grid.pixels(width) * _OVERSAMPLING
        # A line cannot be thinner than one canvas pixel: below that it gets fainter instead.
        ink = round(255 * density * min(1.0, width))
        self._draw.line(self._path(points), fill=ink, width=max(1, round(width)))

    def bone(self, points: Points, width: float, density: float) -> None:
        """Draw a long bone around an axis: dense cortex around fainter marrow."""
        along = np.gradient(points, axis=0)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        across *= 0.5 * width / np.linalg.norm(along, axis=1, keepdims=True)
        for scale, ink in ((1.0, density), (0.66, 0.72 * density)):
            edges = [points + scale * across, (points - scale * across)[::-1]]
            self.polygon(np.concatenate(edges), ink)

    def plane(self, softness: float) -> Plane:
        """Density of what was drawn.

        Parameters
        ----------
        softness
            Standard deviation, in body units, of the blur that softens the edges.

        Returns
        -------
        Plane
            0 to 1, of shape (size, size).
        """
        density = np.asarray(self._image.reduce(_OVERSAMPLING), dtype=np.float32) / 255.0
        return self._grid.blur(density, softness)
