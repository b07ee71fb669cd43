"""Image planes, and the operations on them that know nothing of anatomy."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
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
