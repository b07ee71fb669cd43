"""A data set of phantoms on disk."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.phantoms.phantom import make_phantom
from wscxr.files import write_file
from wscxr.progress import Track, untracked

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
    track
        Told of each phantom.

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
