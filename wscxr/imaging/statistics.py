"""Simple statistics of a model input, by which a change of acquisition shows."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from wscxr.imaging.model_input import InputConfig


class ImageStatistics(NamedTuple):
    """How a radiograph looks to a detector, whatever it shows.

    Attributes
    ----------
    brightness
        Mean grey value, from 0 to 1.
    contrast
        Standard deviation of the grey values, from 0 to 0.5.
    sharpness
        Mean absolute difference of a pixel from the mean of its four neighbours, from 0 to 1: low
        where the picture is blurred, high where it is noisy.
    """

    brightness: float
    contrast: float
    sharpness: float


def image_statistics(model_input: Tensor, config: InputConfig) -> ImageStatistics:
    """Measure one model input.

    Parameters
    ----------
    model_input
        float32 of shape (3, size, size), on the CPU, from `to_model_input`.
    config
        What it was made with.
    """
    # NumPy, for the reason that `to_model_input` gives.
    grey = model_input[0].numpy() * np.float32(config.std[0]) + np.float32(config.mean[0])
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return ImageStatistics(
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        sharpness=float(np.abs(grey[1:-1, 1:-1] - around / 4).mean()),
    )
