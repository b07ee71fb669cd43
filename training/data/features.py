"""Images -> patch features; each image goes through the backbone once."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import TrainConfig
from training.data.images import load_batches
from training.data.samples import Sample
from wscxr.anatomy import LungNetwork, Preparation, shipped_lung_network
from wscxr.choices import Align
from wscxr.engines import Engine, Network
from wscxr.imaging import InputConfig
from wscxr.imaging.statistics import ImageStatistics, image_statistics
from wscxr.model.lesions import LesionNetwork, shipped_lesion_network
from wscxr.model.unet import DenseNetwork, load_weights
from wscxr.model.weights import imagenet_normalisation, weights_sha256
from wscxr.progress import Track, untracked

MEMORY_BUDGET = 1 << 30
"""Bytes of patch features kept in memory; a larger set lives in a memory-mapped file."""


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Patch features of a list of images, in its order.

    Attributes
    ----------
    maps
        float32 of shape (N, H', W', C'), on the CPU.
    sha256
        Hash of each image file's bytes.
    lungs_found
        For each image, whether its lung fields were found; all False where nobody looked.
    statistics
        Of each model input.
    lesions
        Lesion maps, float32 of shape (N, MAP_SIDE, MAP_SIDE); None where nobody looked for lesions.
    """

    maps: Tensor
    sha256: list[str]
    lungs_found: list[bool]
    statistics: list[ImageStatistics]
    lesions: NDArray[np.float32] | None = None

    def __getitem__(self, images: slice) -> "FeatureSet":
        """Some of the images; shares memory."""
        return FeatureSet(
            self.maps[images],
            self.sha256[images],
            self.lungs_found[images],
            self.statistics[images],
            None if self.lesions is None else self.lesions[images],
        )

    def pick(self, places: Sequence[int]) -> "FeatureSet":
        """The images at some places, in that order; a copy."""
        chosen = list(places)
        return FeatureSet(
            self.maps[chosen],
            [self.sha256[place] for place in chosen],
            [self.lungs_found[place] for place in chosen],
            [self.statistics[place] for place in chosen],
            None if self.lesions is None else self.lesions[chosen],
        )


def input_of(config: TrainConfig) -> InputConfig:
    """How a radiograph becomes the model input of a training run."""
    mean, std = imagenet_normalisation(config.backbone)
    return InputConfig(
        size=config.image_size, intensity=config.intensity, mean=tuple(mean), std=tuple(std)
    )


def lungs_of(config: TrainConfig) -> LungNetwork | None:
    """What finds the lungs in a training run; None where it looks at the whole picture.

    Raises
    ------
    WeightsUnavailable, WeightsError
        The lung network's file is missing or damaged.
    """
    return None if config.align is Align.NONE else lung_network(config.lungs_file)


def lung_network(file: Path | None) -> LungNetwork:
    """The lung network of a weights file, or the one that ships; errors as in `lungs_of`."""
    return shipped_lung_network() if file is None else load_weights(LungNetwork(), file)


def lesions_of(config: TrainConfig) -> LesionNetwork | None:
    """What finds lesions in a training run; None where nobody looks for them.

    Raises
    ------
    WeightsUnavailable, WeightsError
        The lesion network's file is missing or damaged.
    """
    if not config.hears_lesions:
        return None
    file = config.lesions_file
    return shipped_lesion_network() if file is None else load_weights(LesionNetwork(), file)


def preparation_of(
    config: TrainConfig,
    lungs: LungNetwork | None,
    engine: Engine,
    lesions: LesionNetwork | None = None,
) -> Preparation:
    """What makes the model inputs of a training run.

    Parameters
    ----------
    lungs
        From `lungs_of`.
    engine
        Runs it.
    lesions
        From `lesions_of`.
    """
    find_lungs, find_lesions = (
        None if network is None else run_by(engine, network) for network in (lungs, lesions)
    )
    return Preparation(input_of(config), find_lungs, find_lesions)


def run_by(engine: Engine, network: DenseNetwork) -> Network:
    """Let an engine run a network of lungs or lesions."""
    sha256 = weights_sha256(network.state_dict())
    return engine.prepare(network.blueprint(sha256, lambda: network))


def extract_features(
    samples: Sequence[Sample],
    network: Network,
    prepare: Preparation,
    *,
    track: Track = untracked,
    budget: int = MEMORY_BUDGET,
) -> FeatureSet:
    """Compute the patch features of images.

    Parameters
    ----------
    samples
        The images; at least one.
    network
        A `wscxr.model.features.FeatureNetwork` that an engine runs.
    prepare
        Makes a model input of a radiograph.
    budget
        Bytes of features to keep in memory; past it they go to an unnamed temporary file, which
        the system removes even when the process is killed (in TMPDIR).

    Raises
    ------
    DataError
        A file cannot be read; the message names it.
    OSError
        There is no room for the temporary file.
    """
    maps: Tensor | None = None
    sha256: list[str] = []
    found: list[bool] = []
    statistics: list[ImageStatistics] = []
    lesions: list[NDArray[np.float32]] = []
    for batch in load_batches(samples, prepare, track):
        inputs = torch.stack([image.prepared.tensor for image in batch])
        features = torch.from_numpy(network.run(inputs.numpy())[0])
        if maps is None:
            maps = _allocate((len(samples), *features.shape[1:]), budget)
        maps[len(sha256) : len(sha256) + len(batch)] = features
        sha256 += [image.sha256 for image in batch]
        found += [image.prepared.shows_lungs for image in batch]
        statistics += [image_statistics(one.prepared.tensor, prepare.config) for one in batch]
        lesions += [image.prepared.lesions for image in batch if image.prepared.lesions is not None]
    if maps is None:
        raise ValueError("no images to extract features from")
    return FeatureSet(maps, sha256, found, statistics, np.stack(lesions) if lesions else None)


def _allocate(shape: tuple[int, ...], budget: int) -> Tensor:
    if 4 * np.prod(shape, dtype=np.int64) <= budget:
        return torch.empty(shape)
    with tempfile.TemporaryFile(prefix="wscxr-features-") as file:
        # A full disk must be an error here, not a fault when the mapping is written later.
        os.posix_fallocate(file.fileno(), 0, 4 * int(np.prod(shape, dtype=np.int64)))
        # The mapping keeps the file alive after it is closed.
        return torch.from_numpy(np.memmap(file, dtype=np.float32, mode="w+", shape=shape))
