"""Radiograph -> the tensor a backbone sees."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from wscxr.choices import Intensity
from wscxr.imaging.radiograph import Radiograph, View
from wscxr.imaging.reduction import Grey

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a radiograph, in its own pixels."""

_RANGE = (0.5, 99.5)
"""Percentiles that become 0 and 1."""


class InputConfig(BaseModel):
    """How a radiograph becomes a model input; part of the bundle.

    Attributes
    ----------
    size
        Side of the square model input, in pixels.
    intensity
        How grey values become numbers in [0, 1].
    mean, std
        Per-channel mean and standard deviation of the backbone's ImageNet weights, whatever
        weights are used (for most architectures the defaults).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=256, ge=32, le=2048)
    intensity: Intensity = Intensity.PERCENTILE
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


def to_unit_range(
    seen: Radiograph | View, size: int, intensity: Intensity, box: Box | None = None
) -> NDArray[np.float32]:
    """Resize one radiograph and scale its grey values to [0, 1].

    The picture is squashed to a square (as in the paper) with an antialiased bilinear filter.

    Parameters
    ----------
    seen
        As read, or a view of it, which should have twice `size` on its shorter side.
    size
        Side of the square, in pixels.
    intensity
        How grey values become numbers in [0, 1].
    box
        The part that is wanted, in pixels of the whole radiograph; all of it by default.

    Returns
    -------
    ndarray
        float32 of shape (size, size); always finite.
    """
    view = seen.view() if isinstance(seen, Radiograph) else seen
    left, top, right, bottom = (
        place / view.factor for place in box or (0, 0, view.width, view.height)
    )
    # Cut out first: nothing outside the box may blur into it.
    first, above = int(left), int(top)
    part = view.pixels[above : math.ceil(bottom), first : math.ceil(right)]
    resized = np.asarray(
        Image.fromarray(part).resize(
            (size, size),
            Image.Resampling.BILINEAR,
            box=(left - first, top - above, right - first, bottom - above),
        )
    )
    if intensity is Intensity.PERCENTILE:
        low, high = _percentiles(resized, _RANGE)
    else:
        low, high = 0.0, float(np.iinfo(resized.dtype).max)
    # A picture that is flat but for a few pixels has no range between its percentiles: it comes
    # out as zeros and ones, never as NaN.
    scaled = (resized.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1.0))
    return np.clip(scaled, 0, 1, out=scaled)


def to_model_input(seen: Radiograph | View, config: InputConfig, box: Box | None = None) -> Tensor:
    """Turn one radiograph into a model input: `to_unit_range`, three channels, normalised.

    Returns
    -------
    Tensor
        float32 of shape (3, size, size); always finite.
    """
    scaled = to_unit_range(seen, config.size, config.intensity, box)
    # NumPy to the last step: arithmetic of PyTorch on this thread would start a second team of
    # OpenMP threads, and the backbone's own would from then on wait asleep at twice the cost.
    mean, std = (
        np.array(value, dtype=np.float32)[:, None, None] for value in (config.mean, config.std)
    )
    return torch.from_numpy((scaled - mean) / std)


def _percentiles(values: Grey, shares: tuple[float, float]) -> tuple[float, float]:
    """`numpy.percentile` of integers, from how often each occurs: a fifth of its time."""
    reached = np.cumsum(np.bincount(values.ravel()))

    def at(place: float) -> float:
        below, above = np.searchsorted(reached, (int(place), math.ceil(place)), side="right")
        return float(below + (above - below) * (place - int(place)))

    low, high = ((values.size - 1) * share / 100 for share in shares)
    return at(low), at(high)
