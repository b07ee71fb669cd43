"""Where an interrupted pretraining goes on."""

import json
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open

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
            with safe_open(self._file, framework="pt") as file:
                said = file.metadata()
                state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
            fingerprint = said["fingerprint"]
            probes = [Probe.model_validate(item) for item in json.loads(said["probes"])]
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self._file} is not a readable checkpoint; remove it") from error
        if fingerprint != self._fingerprint:
            raise DataError(
                f"{self._file} is of a run with other images, settings or version: "
                "remove it, or give another --out"
            )
        training.restore(state)
        return probes

    def save(self, training: Training, probes: list[Probe]) -> None:
        """Keep the state after an epoch."""
        metadata = {
            "fingerprint": self._fingerprint,
            "probes": json.dumps([item.model_dump() for item in probes]),
        }
        write_file(self._file, safetensors.torch.save(training.state(), metadata))

    def remove(self) -> None:
        """Forget the run."""
        self._file.unlink(missing_ok=True)
