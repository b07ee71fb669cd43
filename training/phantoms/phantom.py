"""A phantom, the image of one synthetic patient and the truth about it; and a data set of them."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.phantoms.anatomy import Patient, healthy_chest
from training.phantoms.exposure import expose
from training.phantoms.geometry import PixelGrid
from training.phantoms.opacities import draw_opacities
from wscxr.files import write_file
from wscxr.progress import Track, untracked

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
    grid, patient = PixelGrid(anatomy_rng, size), Patient.draw(anatomy_rng)
    chest = healthy_chest(grid, patient, anatomy_rng)
    opacity, mask = np.zeros_like(chest.air), np.zeros(chest.air.shape, np.bool_)
    if abnormal:
        opacity, mask = draw_opacities(grid, chest, lesion_rng)
    grey = expose(grid, chest, opacity, exposure_rng)
    return Phantom(np.round(255.0 * np.clip(grey, 0.0, 1.0)).astype(np.uint8), mask)


_PNG_COMPRESSION = 6


def write_phantoms(
    out: Path,
    *,
    normal: int,
    abnormal: int,
    size: int = 256,
    seed: int = 0,
    track: Track = untracked,
) -> None:
    """Write a data set of phantoms, each of a different synthetic patient, as 8-bit PNG.

    Parameters
    ----------
    out
        Folder to fill; made if missing, and files of the same names are replaced. It receives
        ``normal/NNNN.png``, ``abnormal/NNNN.png`` and ``masks/NNNN.png``, counted from ``0000``; a
        mask is 0 or 255 and belongs to the abnormal image of the same name.
    normal, abnormal
        How many images of each kind, not negative.
    size
        Width and height in pixels, at least 64.
    seed
        Chooses the patients, not negative.

    Raises
    ------
    ValueError
        A count or ``seed`` is negative, or ``size`` is below 64.
    OSError
        A file or folder cannot be written.
    """
    if normal < 0 or abnormal < 0:
        raise ValueError(f"counts must not be negative, got {normal} and {abnormal}")

    def save(image: NDArray[np.uint8], kind: str, number: int) -> None:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG", compress_level=_PNG_COMPRESSION)
        write_file(out / kind / f"{number:04d}.png", buffer.getvalue())

    for kind in ("normal", "abnormal", "masks"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    count = normal + abnormal
    patients = np.random.SeedSequence(seed).generate_state(count, np.uint64).tolist()
    for place, patient in enumerate(track(patients, "making phantoms", count)):
        phantom = make_phantom(patient, abnormal=place >= normal, size=size)
        if place < normal:
            save(phantom.pixels, "normal", place)
        else:
            save(phantom.pixels, "abnormal", place - normal)
            mask = np.where(phantom.lesion_mask, np.uint8(255), np.uint8(0))
            save(mask, "masks", place - normal)
