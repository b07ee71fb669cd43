"""Backbone weights: torchvision's ImageNet ones, or a file; never unpickled."""

import hashlib
import re
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from wscxr.errors import WeightsError, WeightsUnavailable


def fetch_imagenet_weights(architecture: str) -> dict[str, Tensor]:
    """Fetch torchvision's default ImageNet weights, from PyTorch's cache where they are there.

    Parameters
    ----------
    architecture
        Name of a torchvision classification model.

    Raises
    ------
    WeightsUnavailable
        They are not in the cache, or damaged there, and the download failed.
    """
    import torchvision

    weights = torchvision.models.get_model_weights(architecture).DEFAULT
    try:
        # On download, PyTorch checks the file against the hash in its name.
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # A file in the cache may be damaged in any way.
        raise WeightsUnavailable(
            f"ImageNet weights of {architecture} could not be read or downloaded from "
            f"{weights.url} ({error}). Fetch that file on a machine with network access and pass "
            "it as --weights FILE, or put it into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}."  # noqa: TID251 - the name of a folder
        ) from error
    return _current_keys(state)


def imagenet_normalisation(architecture: str) -> tuple[list[float], list[float]]:
    """Per-channel mean and standard deviation torchvision's ImageNet weights were trained with.

    Parameters
    ----------
    architecture
        Name of a torchvision classification model.
    """
    import torchvision

    transforms = torchvision.models.get_model_weights(architecture).DEFAULT.transforms()
    return transforms.mean, transforms.std


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict in torchvision's key names.

    Parameters
    ----------
    path
        A ``.safetensors`` file, or a PyTorch file that holds tensors only.

    Raises
    ------
    WeightsUnavailable
        There is no such file.
    WeightsError
        The file is damaged, or holds anything but named tensors.
    """
    if not path.is_file():
        raise WeightsUnavailable(
            f"there is no weights file {path}; give imagenet, random, or an existing file"
        )
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            # Tensors alone: anything else in the file is refused before it could run.
            state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except Exception as error:  # Damage shows in whatever way it likes.
        raise WeightsError(f"{path} is not a readable weights file: {error}") from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise WeightsError(f"{path} does not hold a state dict (names to tensors)")
    return _current_keys(state)


def round_to_half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round matrices and convolutions to half precision: half the size, 11 bits of each number.

    Vectors, such as the statistics of batch normalisation, can leave its range and stay whole.
    """
    return {key: value.half() if value.ndim > 1 else value for key, value in state.items()}


def half_where_exact(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Store in half precision what was rounded to it before; no number changes."""
    halves = round_to_half(state)
    return {
        key: half if torch.equal(half.to(value.dtype), value) else value
        for (key, value), half in zip(state.items(), halves.values(), strict=True)
    }


def weights_sha256(state: dict[str, Tensor]) -> str:
    """Hash a state dict: the SHA-256 of its safetensors serialization, as 64 hex digits."""
    return hashlib.sha256(safetensors.torch.save(state)).hexdigest()


_OLD_DENSENET_KEY = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def _current_keys(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename ``norm.1`` to ``norm1`` and so on: torchvision's DenseNet files are that old."""
    return {_OLD_DENSENET_KEY.sub(r"\1\2", key): value for key, value in state.items()}
