"""The pretraining run: unlabelled radiographs in, a weights file out; it resumes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open

from training.pretraining.backbone.config import PretrainConfig
from training.pretraining.backbone.training import Probe, Training
from training.pretraining.backbone.views import load_pictures
from training.pretraining.weights_file import check_new, write_weights
from wscxr import __version__
from wscxr.errors import DataError, NotEnoughImages
from wscxr.files import write_file
from wscxr.model.weights import round_to_half
from wscxr.progress import Track, untracked

_METADATA = "checkpoint"


class _Progress(BaseModel):
    """The part of a resume file that is no tensor."""

    fingerprint: str
    probes: list[Probe]


class ResumeFile:
    """One file, replaced whole after each epoch.

    Parameters
    ----------
    file
        The file.
    fingerprint
        Of the run; a checkpoint of another run is refused.
    """

    def __init__(self, file: Path, fingerprint: str) -> None:
        self._file = file
        self._fingerprint = fingerprint

    def restore(self, training: Training) -> list[Probe]:
        """Restore the run from the file.

        Returns
        -------
        list of Probe
            One for each epoch that was done; empty where there is no checkpoint.

        Raises
        ------
        DataError
            The file is damaged, or of another run.
        """
        if not self._file.exists():
            return []
        try:
            with safe_open(self._file, framework="pt") as file:
                metadata = file.metadata() or {}
                state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
            progress = _Progress.model_validate_json(metadata[_METADATA])
        except (OSError, SafetensorError, KeyError, ValidationError) as error:
            raise DataError(f"{self._file} is not a readable checkpoint; remove it") from error
        if progress.fingerprint != self._fingerprint:
            raise DataError(
                f"{self._file} is of a run with other images, settings or version: "
                "remove it, or give another --out"
            )
        try:
            training.restore(state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise DataError(f"{self._file} is not a whole checkpoint; remove it") from error
        return progress.probes

    def save(self, training: Training, probes: list[Probe]) -> None:
        """Keep the state after an epoch."""
        progress = _Progress(fingerprint=self._fingerprint, probes=probes)
        metadata = {_METADATA: progress.model_dump_json()}
        write_file(self._file, safetensors.torch.save(training.state(), metadata))

    def remove(self) -> None:
        """Delete the file."""
        self._file.unlink(missing_ok=True)


class Pretrained(BaseModel):
    """Provenance of pretrained weights, kept in their file as metadata.

    Attributes
    ----------
    backbone, layer
        Architecture, and where it is cut.
    images
        Radiographs trained on.
    data_sha256
        Hash over the contents of all files, those of the probe among them.
    config
        All settings.
    probes
        The probe after each epoch.
    version
        Of wscxr.
    """

    model_config = ConfigDict(frozen=True)

    backbone: str
    layer: str
    images: int
    data_sha256: str
    config: PretrainConfig
    probes: tuple[Probe, ...]
    version: str


def pretrain(
    files: Sequence[Path],
    config: PretrainConfig,
    out: Path,
    device: torch.device,
    *,
    track: Track = untracked,
) -> Pretrained:
    """Train a backbone on unlabelled radiographs and write its weights.

    After each epoch the state is written beside `out`; the same call resumes from there.

    Parameters
    ----------
    files
        Image files, at least two batches of them.
    config
        All settings.
    out
        The weights file to write, ``.safetensors``, in torchvision's key names; must not exist.
        Convolutions are rounded to half precision.
    device
        Where to compute; bf16 is used where the device multiplies it in hardware.

    Raises
    ------
    ConfigError
        `out` exists or has another ending, or training diverged.
    NotEnoughImages
        There are fewer than two batches.
    DataError
        A file cannot be read, or the checkpoint is damaged or of another run.
    WeightsError, WeightsUnavailable
        The weights to start from cannot be used.
    """
    check_new(out)
    if len(files) < 2 * config.batch_size:
        raise NotEnoughImages(
            f"pretraining in batches of {config.batch_size} needs at least "
            f"{2 * config.batch_size} radiographs, but there are {len(files)}"
        )
    run = Training(load_pictures(files, config.image_size, track), config, device)
    checkpoint = ResumeFile(out.with_suffix(".checkpoint"), run.fingerprint)
    probes = checkpoint.restore(run)

    def work() -> Iterator[None]:
        for epoch in range(len(probes), config.epochs):
            yield from run.epoch(epoch)
            probes.append(run.probe())
            checkpoint.save(run, probes)

    for _ in track(work(), "pretraining", (config.epochs - len(probes)) * run.steps_per_epoch):
        pass
    done = Pretrained(
        backbone=config.backbone,
        layer=config.layer,
        images=len(run.seen),
        data_sha256=run.data_sha256,
        config=config,
        probes=tuple(probes),
        version=__version__,
    )
    weights = round_to_half(run.backbone.weights())
    write_weights(out, weights, "pretrained", done)
    checkpoint.remove()
    return done
