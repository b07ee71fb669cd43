"""Radiographs in their frames, with room around for shaking them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.data.images import in_batches, open_radiograph
from training.pretraining.lesions.chest import NormalChest, between
from wscxr.anatomy import find_lungs
from wscxr.anatomy.lungs import MARGIN
from wscxr.choices import Intensity
from wscxr.engines import Network
from wscxr.imaging import Radiograph, to_unit_range
from wscxr.model.lesions import LESION_SIDE
from wscxr.progress import Track, untracked

HELD_SIDE = 160
"""Side of the held frames, px: as fine as the network's input, and the room around it."""

_ROOM = 0.12
"""Margin around the lung box that is held, as a share of the box."""

_SHAKEN_SIZE, _SHAKEN_PLACE, _SHAKEN_ANGLE = 0.06, 0.025, 0.06
"""How far a frame that was found may be off: in size, place (shares of its side) and angle."""


@dataclass(frozen=True, eq=False)
class HeldFrames:
    """Chests in memory.

    Attributes
    ----------
    pixels, lungs
        uint8 of shape (N, HELD_SIDE, HELD_SIDE): grey values, and probability of lung times 255.
    without_lungs
        Radiographs left out because no lungs were found.
    sha256
        Hash of each file's bytes.
    """

    pixels: NDArray[np.uint8]
    lungs: NDArray[np.uint8]
    without_lungs: int
    sha256: tuple[str, ...]

    def __len__(self) -> int:
        """How many chests there are."""
        return len(self.pixels)


def load_frames(files: Sequence[Path], network: Network, track: Track = untracked) -> HeldFrames:
    """Read radiographs and bring each to the frame of its lungs.

    Parameters
    ----------
    files
        The image files; may be none.
    network
        A `LungNetwork` that an engine runs.
    track
        Told of each image.

    Raises
    ------
    DataError
        A file cannot be read; the message names it.
    """
    pixels, lungs = (np.empty((len(files), HELD_SIDE, HELD_SIDE), np.uint8) for _ in range(2))
    hashes: list[str] = []
    count = 0

    def load(path: Path) -> tuple[Radiograph, str]:
        radiograph, data = open_radiograph(path)
        return radiograph, hashlib.sha256(data).hexdigest()

    for batch in in_batches(files, load, track):
        for radiograph, sha256 in batch:
            hashes.append(sha256)
            found = find_lungs(network, radiograph)
            if found.box is None:
                continue
            frame = found.box.widened(_ROOM).on(radiograph)
            cut = to_unit_range(radiograph, HELD_SIDE, Intensity.PERCENTILE, frame.box)
            inside = frame.from_radiograph(found.probability, (HELD_SIDE, HELD_SIDE)).clip(0, 1)
            pixels[count], lungs[count] = (
                (part * 255).round().astype(np.uint8) for part in (cut, inside)
            )
            count += 1
    return HeldFrames(pixels[:count], lungs[:count], len(files) - count, tuple(hashes))


def draw_chest(frames: HeldFrames, number: int, rng: Generator) -> NormalChest:
    """Take one of the chests, in a frame that is a little off, as found ones are."""
    held = np.stack([frames.pixels[number], frames.lungs[number]]).astype(np.float32) / 255
    size = (1 + 2 * MARGIN) / (1 + 2 * _ROOM) * np.exp(between(rng, -1, 1) * _SHAKEN_SIZE)
    stretch = np.exp(between(rng, -1, 1) * _SHAKEN_SIZE / 2)
    angle = between(rng, -1, 1) * _SHAKEN_ANGLE
    moved = rng.uniform(-2 * _SHAKEN_PLACE, 2 * _SHAKEN_PLACE, 2)
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    affine = [[cos * stretch, -sin, moved[0]], [sin, cos / stretch, moved[1]]]
    grid = functional.affine_grid(
        torch.tensor([affine], dtype=torch.float32),
        [1, 2, LESION_SIDE, LESION_SIDE],
        align_corners=False,
    )
    found: Tensor = functional.grid_sample(
        torch.from_numpy(held)[None], grid, padding_mode="border", align_corners=False
    )
    pixels, lungs = found[0].numpy()
    return NormalChest(pixels, lungs)
