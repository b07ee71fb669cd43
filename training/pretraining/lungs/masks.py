"""Radiographs with lung masks, small and in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.data.images import in_batches, open_radiograph
from training.data.samples import read_rows
from wscxr.choices import Intensity
from wscxr.errors import DataError, SampleListError
from wscxr.imaging import to_unit_range
from wscxr.progress import Track, untracked

HELD_SIDE = 192
"""Side at which radiographs and masks are held, px: finer than the network's input, for zooming."""

_HELD_OUT = 0.1
"""Share of the patients that are only measured on."""


@dataclass(frozen=True)
class MaskedImage:
    """A radiograph and its lung mask, as a CSV file names them.

    Attributes
    ----------
    image, mask
        The files; a mask is an image, lung where it is brighter than half.
    patient
        Images of one patient share it.
    group
        Groups are drawn from equally often in training and measured one by one; children and
        adults, say.
    """

    image: Path
    mask: Path
    patient: str
    group: str

    @property
    def held_out(self) -> bool:
        """Whether the patient, by a hash of its name, is one that is only measured on."""
        number = int.from_bytes(hashlib.sha256(self.patient.encode()).digest()[:4], "big")
        return number < _HELD_OUT * 2**32


@dataclass(frozen=True, eq=False)
class MaskedPictures:
    """Radiographs with masks, in memory.

    Attributes
    ----------
    pixels
        uint8 of shape (N, 1, HELD_SIDE, HELD_SIDE), percentile-stretched.
    masks
        uint8 of the same shape, 255 in the lungs; between 0 and 255 along their edge.
    sha256
        Hash over the contents of each radiograph and its mask.
    """

    pixels: Tensor
    masks: Tensor
    sha256: tuple[str, ...]


def read_masked_images(file: Path) -> list[MaskedImage]:
    """Read a CSV with columns ``image,mask[,patient_id,group]``.

    Relative paths start at the CSV's own folder. Without a patient, an image is its own.

    Raises
    ------
    SampleListError
        The file cannot be read, lacks a column, or has a row without an image or a mask.
    """
    found = []
    for where, row in read_rows(file, ["image", "mask"]):
        if not row["image"] or not row["mask"]:
            raise SampleListError(f"{where}: there is no image or no mask")
        found.append(
            MaskedImage(
                image=file.parent / row["image"],
                mask=file.parent / row["mask"],
                patient=row.get("patient_id") or row["image"],
                group=row.get("group") or "",
            )
        )
    return found


def load_masked_pictures(images: Sequence[MaskedImage], track: Track = untracked) -> MaskedPictures:
    """Read radiographs and their masks.

    Raises
    ------
    DataError
        A file cannot be read; the message names it.
    """

    def load(image: MaskedImage) -> tuple[Tensor, Tensor, str]:
        radiograph, data = open_radiograph(image.image)
        picture = to_unit_range(radiograph, HELD_SIDE, Intensity.PERCENTILE)
        try:
            drawn = image.mask.read_bytes()
            with Image.open(image.mask) as file:
                mask = file.convert("L").point(lambda value: 255 if value > 127 else 0)
        except (OSError, ValueError) as error:
            raise DataError(f"{image.mask} cannot be read: {error}") from error
        resized = np.array(mask.resize((HELD_SIDE, HELD_SIDE), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy((picture * 255).round().astype(np.uint8))
        return pixels, torch.from_numpy(resized), hashlib.sha256(data + drawn).hexdigest()

    shape = (len(images), 1, HELD_SIDE, HELD_SIDE)
    pixels, masks = (torch.empty(shape, dtype=torch.uint8) for _ in range(2))
    hashes: list[str] = []
    for batch in in_batches(images, load, track):
        for picture, mask, sha256 in batch:
            pixels[len(hashes), 0], masks[len(hashes), 0] = picture, mask
            hashes.append(sha256)
    return MaskedPictures(pixels, masks, tuple(hashes))
