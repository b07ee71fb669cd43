"""A chest of two dark lungs in a bright body."""

import numpy as np
from numpy.random import Generator

from training.pretraining.lesions.chest import NormalChest, Picture

SIDE = 96


def chest(seed: int = 0) -> NormalChest:
    rng = np.random.default_rng(seed)
    lungs = np.zeros((SIDE, SIDE), np.float32)
    lungs[8:88, 8:40] = lungs[8:88, 56:88] = 1
    ribs = 0.06 * np.sin(np.arange(SIDE) / 2)[:, None]
    pixels = 0.75 - 0.5 * lungs + ribs + 0.01 * rng.standard_normal((SIDE, SIDE))
    return NormalChest(pixels.astype(np.float32).clip(0, 1), lungs)


def stream(seed: int = 0) -> Generator:
    return np.random.default_rng(seed)


def mean(values: Picture, where: Picture) -> float:
    return float(values[where > 0.5].mean())
