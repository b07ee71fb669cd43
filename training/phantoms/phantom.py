"""One phantom: the image of one synthetic patient and the truth about it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantoms.chest import healthy_chest
from training.phantoms.exposure import expose
from training.phantoms.geometry import View
from training.phantoms.opacities import draw_opacities
from training.phantoms.patient import Patient

_MIN_SIZE = 64


@dataclass(frozen=True)
class Phantom:
    """A synthetic radiograph and the truth about it.

    Attributes
    ----------
    pixels
        Grey levels, 0 (black, air) to 255 (white, dense), of shape (size, size).
    lesion_mask
        True where an opacity was added, of shape (size, size); all False in a normal image.
    """

    pixels: NDArray[np.uint8]
    lesion_mask: NDArray[np.bool_]


def make_phantom(seed: int, *, abnormal: bool, size: int = 256) -> Phantom:
    """Make one synthetic frontal chest radiograph.

    The same seed always gives the same anatomy, exposure and noise; ``abnormal`` adds one to three
    opacities to it and changes nothing elsewhere.

    Parameters
    ----------
    seed
        Identity of the synthetic patient, not negative.
    abnormal
        Whether to add opacities.
    size
        Width and height in pixels, at least 64.

    Raises
    ------
    ValueError
        ``seed`` is negative or ``size`` is below 64.
    """
    if size < _MIN_SIZE:
        raise ValueError(f"size must be at least {_MIN_SIZE}, got {size}")
    # Separate streams: drawing opacities must not shift any other random number.
    streams = np.random.SeedSequence(seed).spawn(3)
    anatomy_rng, exposure_rng, lesion_rng = map(np.random.default_rng, streams)
    view, patient = View(anatomy_rng, size), Patient.draw(anatomy_rng)
    chest = healthy_chest(view, patient, anatomy_rng)
    opacity, mask = np.zeros_like(chest.air), np.zeros(chest.air.shape, np.bool_)
    if abnormal:
        opacity, mask = draw_opacities(view, chest, lesion_rng)
    grey = expose(view, chest, opacity, exposure_rng)
    return Phantom(np.round(255.0 * np.clip(grey, 0.0, 1.0)).astype(np.uint8), mask)
