"""A data set of phantoms on disk."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.phantoms.phantom import make_phantom

_PNG_COMPRESSION = 6


def write_phantoms(
    out: Path, *, normal: int, abnormal: int, size: int = 256, seed: int = 0
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
        path = out / kind / f"{number:04d}.png"
        Image.fromarray(image).save(path, compress_level=_PNG_COMPRESSION)

    for kind in ("normal", "abnormal", "masks"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    patients = np.random.SeedSequence(seed).generate_state(normal + abnormal, np.uint64).tolist()
    for number, patient in enumerate(patients[:normal]):
        save(make_phantom(patient, abnormal=False, size=size).pixels, "normal", number)
    for number, patient in enumerate(patients[normal:]):
        phantom = make_phantom(patient, abnormal=True, size=size)
        save(phantom.pixels, "abnormal", number)
        save(np.where(phantom.lesion_mask, np.uint8(255), np.uint8(0)), "masks", number)
