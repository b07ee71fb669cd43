"""Where an interrupted pretraining goes on."""

from pathlib import Path

import safetensors.torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open

from training.pretraining.backbone.probe import Probe
from training.pretraining.backbone.training import Training
from wscxr.errors import DataError
from wscxr.files import write_file

_METADATA = "checkpoint"


class _Progress(BaseModel):
    """What is no tensor."""

    fingerprint: str
    probes: list[Probe]


class Checkpoint:
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
        """Take up the run where it was left.

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
        """Forget the run."""
        self._file.unlink(missing_ok=True)
