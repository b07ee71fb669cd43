"""Where an interrupted pretraining goes on."""

import io
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from training.pretrain.probe import Probe
from training.pretrain.training import Training
from wscxr.errors import DataError
from wscxr.files import write_file


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
            # Tensors, numbers and text only: nothing is unpickled that could run.
            content: dict[str, Any] = torch.load(self._file, map_location="cpu", weights_only=True)
            fingerprint = content["fingerprint"]
        except Exception as error:  # Damage shows in whatever way it likes.
            raise DataError(f"{self._file} is not a readable checkpoint; remove it") from error
        if fingerprint != self._fingerprint:
            raise DataError(
                f"{self._file} is of a run with other images, settings or version: "
                "remove it, or give another --out"
            )
        try:
            training.restore(content["training"])
            return [Probe.model_validate(item) for item in content["probes"]]
        except (KeyError, RuntimeError, ValueError, ValidationError) as error:
            raise DataError(f"{self._file} is not a whole checkpoint; remove it") from error

    def save(self, training: Training, probes: list[Probe]) -> None:
        """Keep the state after an epoch."""
        buffer = io.BytesIO()
        torch.save(
            {
                "fingerprint": self._fingerprint,
                "training": training.state(),
                "probes": [item.model_dump() for item in probes],
            },
            buffer,
        )
        write_file(self._file, buffer.getvalue())

    def remove(self) -> None:
        """Forget the run."""
        self._file.unlink(missing_ok=True)
