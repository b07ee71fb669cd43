"""The weights file that a pretraining run writes."""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from pydantic import BaseModel
from torch import Tensor

from wscxr.errors import ConfigError
from wscxr.files import write_file


def check_new(out: Path) -> None:
    """Make sure, before hours of work, that the file can be written.

    Raises
    ------
    ConfigError
        It exists, or does not end in ``.safetensors``.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"{out}: name a .safetensors file")
    if out.exists():
        raise ConfigError(f"{out} exists; give another name")


def write_weights(out: Path, weights: Mapping[str, Tensor], kind: str, done: BaseModel) -> None:
    """Write weights, with what the training did as metadata.

    Parameters
    ----------
    weights
        Contiguous, on the CPU.
    kind
        Key of the metadata: ``pretrained``, ``lungs`` or ``lesions``.
    done
        What the training did.
    """
    metadata = {kind: json.dumps(done.model_dump(mode="json"), sort_keys=True)}
    write_file(out, safetensors.torch.save(dict(weights), metadata))
