"""What a radiograph shows without a look at the lungs: the usual suspects of a flattering test."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import laplace

from wscxr.imaging import Radiograph

_FRAME = 0.05
"""Part of each side that belongs to the frame, at either end."""


@dataclass(frozen=True)
class TrivialFeatures:
    """Trivial features of one image, in its own size; grey values are fractions of full range.

    Attributes
    ----------
    file_size
        Bytes of the file.
    mean, contrast
        Mean and standard deviation of the grey values.
    border_brightness
        Mean grey value of the frame: the outermost 5 % of each side.
    sharpness
        Variance of the Laplacian (Pech-Pacheco et al., *Diatom autofocusing in brightfield
        microscopy*, 2000).
    width, height
        In pixels.
    """

    file_size: int
    mean: float
    contrast: float
    border_brightness: float
    sharpness: float
    width: int
    height: int


def trivial_features(radiograph: Radiograph, file_size: int) -> TrivialFeatures:
    """Measure the trivial features of one radiograph that was read from `file_size` bytes."""
    pixels = radiograph.pixels
    full = float(np.iinfo(pixels.dtype).max)
    top, left = (max(1, round(_FRAME * side)) for side in pixels.shape)
    inner = pixels[top:-top, left:-left]
    frame = (pixels.sum(dtype=np.int64) - inner.sum(dtype=np.int64)) / (pixels.size - inner.size)
    return TrivialFeatures(
        file_size=file_size,
        mean=float(pixels.mean() / full),
        contrast=float(pixels.std() / full),
        border_brightness=float(frame / full),
        sharpness=float(laplace(pixels, output=np.float32).var(dtype=np.float64) / full**2),
        width=radiograph.width,
        height=radiograph.height,
    )
