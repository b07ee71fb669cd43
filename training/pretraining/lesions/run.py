"""The lesion network's training run: normal radiographs in, a weights file out."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from training.pretraining.lesions.config import LesionsConfig
from training.pretraining.lesions.frames import load_frames
from training.pretraining.lesions.training import LesionTraining
from training.pretraining.weights_file import check_new, write_weights
from wscxr import __version__
from wscxr.engines import Network
from wscxr.errors import NotEnoughImages
from wscxr.progress import Track, untracked


class TrainedLesions(BaseModel):
    """What the training did; kept in the weights file as its metadata.

    Attributes
    ----------
    images, unlabelled
        Normal radiographs painted on, and unlabelled ones.
    without_lungs
        Radiographs left out because no lungs were found.
    loss
        Mean of the last tenth of the steps.
    data_sha256
        Hash over the contents of all files, whatever their names and order.
    config
        All settings.
    version
        Of wscxr.
    """

    model_config = ConfigDict(frozen=True)

    images: int
    unlabelled: int
    without_lungs: int
    loss: float
    data_sha256: str
    config: LesionsConfig
    version: str


def pretrain_lesions(
    files: Sequence[Path],
    unlabelled: Sequence[Path],
    lungs: Network,
    config: LesionsConfig,
    out: Path,
    device: torch.device,
    *,
    workers: int = 0,
    track: Track = untracked,
) -> TrainedLesions:
    """Train the lesion network and write its weights.

    Parameters
    ----------
    files
        Normal radiographs.
    unlabelled
        Chests with and without disease, which the network teaches itself on; may be empty.
    lungs
        Finds their lungs: a `LungNetwork` that an engine runs.
    config
        All settings.
    out
        The weights file to write, ``.safetensors``; must not exist.
    device
        Where to compute; bf16 is used where the device multiplies it in hardware.
    workers
        Processes that paint beside this one; the weights do not depend on it.
    track
        Told of each image read and of each step.

    Raises
    ------
    ConfigError
        `out` exists or has another ending, or training diverged.
    NotEnoughImages
        Lungs were found in fewer than two radiographs.
    DataError
        A file cannot be read.
    """
    check_new(out)
    normal, others = (load_frames(part, lungs, track) for part in (files, unlabelled))
    if len(normal) < 2:
        raise NotEnoughImages(
            f"painting needs at least two chests, but lungs were found in {len(normal)} of "
            f"{len(files)} radiographs"
        )
    run = LesionTraining(normal, others, config, device, workers)
    losses = list(track(run.steps(), "training the lesion network", config.steps))
    last = losses[-max(1, len(losses) // 10) :]
    done = TrainedLesions(
        images=len(normal),
        unlabelled=len(others),
        without_lungs=normal.without_lungs + others.without_lungs,
        loss=sum(last) / len(last),
        data_sha256=hashlib.sha256(
            "".join(sorted(normal.sha256 + others.sha256)).encode()
        ).hexdigest(),
        config=config,
        version=__version__,
    )
    write_weights(out, run.descent.weights(), "lesions", done)
    return done
