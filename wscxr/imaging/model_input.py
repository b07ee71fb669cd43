"""Radiograph -> the tensor a backbone sees."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from wscxr.choices import Intensity
from wscxr.imaging.radiograph import Radiograph


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


def to_unit_range(radiograph: Radiograph, size: int, intensity: Intensity) -> NDArray[np.float32]:
    """Resize one radiograph and scale its grey values to [0, 1].

    The picture is squashed to a square (as in the paper) with an antialiased bilinear filter.

    Parameters
    ----------
    radiograph
        As read.
    size
        Side of the square, in pixels.
    intensity
        How grey values become numbers in [0, 1].

    Returns
    -------
    ndarray
        float32 of shape (size, size); always finite.
    """
    resized = np.asarray(
        Image.fromarray(radiograph.pixels).resize((size, size), Image.Resampling.BILINEAR),
        dtype=np.float32,
    )
    if intensity is Intensity.PERCENTILE:
        low, high = np.percentile(resized, (0.5, 99.5))
    else:
        low, high = 0.0, float(np.iinfo(radiograph.pixels.dtype).max)
    # A picture that is flat but for a few pixels has no range between its percentiles: it comes
    # out as zeros and ones, never as NaN.
    scaled: NDArray[np.float32] = np.clip((resized - low) / max(high - low, 1.0), 0.0, 1.0).astype(
        np.float32
    )
    return scaled


def to_model_input(radiograph: Radiograph, config: InputConfig) -> Tensor:
    """Turn one radiograph into a model input: `to_unit_range`, three channels, normalised.

    Returns
    -------
    Tensor
        float32 of shape (3, size, size); always finite.
    """
    scaled = to_unit_range(radiograph, config.size, config.intensity)
    # NumPy to the last step: arithmetic of PyTorch on this thread would start a second team of
    # OpenMP threads, and the backbone's own would from then on wait asleep at twice the cost.
    mean, std = (
        np.array(value, dtype=np.float32)[:, None, None] for value in (config.mean, config.std)
    )
    return torch.from_numpy((scaled - mean) / std)
