"""Normal radiographs -> training pictures, most with painted lesions, and where these are."""

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from training.pretraining.lesions.chest import NormalChest, Picture, between, single
from training.pretraining.lesions.innocent import add_devices, add_soft_tissue, expose
from training.pretraining.lesions.lesions import LESIONS

_SEEN = 0.08
"""A change of grey value that counts in full; a fainter one counts in proportion."""

_PRESENT = 0.15
"""Of a painted region, from where on it counts at all."""


def paint(
    chest: NormalChest, other: NormalChest, rng: Generator, *, lesion_share: float
) -> tuple[Picture, Picture]:
    """Paint one training picture.

    Parameters
    ----------
    chest
        A normal radiograph.
    other
        Another one, for patches of it.
    rng
        The random stream.
    lesion_share
        How often there is a lesion; there are two in every fourth such picture.

    Returns
    -------
    tuple
        Grey values in [0, 1], stretched as the network's input is, and the target in [0, 1]: how
        much a lesion changed each place.
    """
    chest = NormalChest(add_soft_tissue(chest, rng), chest.lungs)
    target = np.zeros_like(chest.pixels)
    if rng.random() < lesion_share:
        kinds, shares = list(LESIONS), np.array(list(LESIONS.values()))
        count = 2 if rng.random() < 0.25 else 1
        for number in rng.choice(len(kinds), count, p=shares / shares.sum()):
            painted, region = kinds[number](chest, other, rng)
            target = np.maximum(target, _change(chest.pixels, painted, region))
            chest = NormalChest(painted, chest.lungs)
    chest = NormalChest(add_devices(chest, rng), chest.lungs)
    return stretch(expose(chest, rng), between(rng, 0, 0.02)), target


def stretch(pixels: Picture, cut: float = 0.005) -> Picture:
    """Stretch a picture between its percentiles to [0, 1]."""
    low, high = np.quantile(pixels, (cut, 1 - cut))
    return single(((pixels - low) / max(float(high - low), 1e-3)).clip(0, 1))


def _change(before: Picture, after: Picture, region: Picture) -> Picture:
    width = 0.012 * len(before)
    change = ndimage.gaussian_filter(np.abs(after - before), width) / _SEEN
    return single(change.clip(0, 1) * (region > _PRESENT))
