"""The lung network's training run: radiographs and masks in, a weights file out."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from training.pretraining.backbone.views import load_pictures
from training.pretraining.lungs.config import LungsConfig
from training.pretraining.lungs.masks import HELD_SIDE, MaskedImage, load_masked_pictures
from training.pretraining.lungs.training import LungTraining
from training.pretraining.weights_file import check_new, write_weights
from wscxr import __version__
from wscxr.errors import NotEnoughImages
from wscxr.progress import Track, untracked


class GroupDice(BaseModel):
    """How well the masks of patients held out were drawn.

    Attributes
    ----------
    group
        As the CSV file calls it.
    images
        How many there are.
    mean, median
        Of the Dice coefficient, over all of them: nothing is dropped here.
    below
        How many have a lower coefficient than `LungsConfig.mispaired_below`.
    """

    model_config = ConfigDict(frozen=True)

    group: str
    images: int
    mean: float
    median: float
    below: int


class TrainedLungs(BaseModel):
    """What the training did; kept in the weights file as its metadata.

    Attributes
    ----------
    images, unlabelled
        Radiographs learned from, with and without masks.
    mispaired
        Masks that were dropped.
    dice
        For each group, measured on patients held out.
    data_sha256
        Hash over the contents of all radiographs and masks, of those held out too, whatever their
        names and order.
    config
        All settings.
    version
        Of wscxr.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    unlabelled: int
    mispaired: int
    dice: tuple[GroupDice, ...]
    data_sha256: str
    config: LungsConfig
    version: str


def pretrain_lungs(
    images: Sequence[MaskedImage],
    unlabelled: Sequence[Path],
    config: LungsConfig,
    out: Path,
    device: torch.device,
    *,
    track: Track = untracked,
) -> TrainedLungs:
    """Train the lung network and write its weights.

    Parameters
    ----------
    images
        Radiographs with masks, of several patients: a tenth of them is held out.
    unlabelled
        Frontal, upright chests without masks, which the network teaches itself on; may be empty.
    config
        All settings.
    out
        The weights file to write, ``.safetensors``; must not exist.
    device
        Where to compute; bf16 is used where the device multiplies it in hardware.
    track
        Told of each image read and of each step.

    Raises
    ------
    ConfigError
        `out` exists or has another ending, or training diverged.
    NotEnoughImages
        All patients are held out, or none of them, or a group has none to learn from.
    DataError
        A file cannot be read.
    """
    check_new(out)
    learned = [image for image in images if not image.held_out]
    held_out = [image for image in images if image.held_out]
    names = sorted({image.group for image in images})
    groups = [_places(learned, name) for name in names]
    if not held_out or not all(len(group) for group in groups):
        raise NotEnoughImages(
            "a tenth of the patients is held out, and none or all of a group are: "
            "give masks of more patients"
        )
    pictures, measured = (load_masked_pictures(part, track) for part in (learned, held_out))
    chests = (
        load_pictures(unlabelled, HELD_SIDE, track).pixels
        if unlabelled
        else torch.empty(0, 1, HELD_SIDE, HELD_SIDE, dtype=torch.uint8)
    )
    run = LungTraining(pictures, groups, chests, config, device)
    for _ in track(run.steps(), "training the lung network", config.steps):
        pass
    dice = run.dice(measured)
    done = TrainedLungs(
        images=len(learned),
        unlabelled=len(unlabelled),
        mispaired=len(run.mispaired),
        dice=tuple(
            _group_dice(name, dice[places], config.mispaired_below)
            for name in names
            if len(places := _places(held_out, name))
        ),
        data_sha256=hashlib.sha256(
            "".join(sorted(pictures.sha256 + measured.sha256)).encode()
        ).hexdigest(),
        config=config,
        version=__version__,
    )
    write_weights(out, run.descent.weights(), "lungs", done)
    return done


def _places(images: Sequence[MaskedImage], group: str) -> Tensor:
    return torch.tensor([n for n, image in enumerate(images) if image.group == group])


def _group_dice(group: str, dice: Tensor, low: float) -> GroupDice:
    return GroupDice(
        group=group,
        images=len(dice),
        mean=float(dice.mean()),
        median=float(dice.median()),
        below=int((dice < low).sum()),
    )
