"""What a person chooses by name; importable without PyTorch, so that a command's help is quick."""

from enum import StrEnum
from pathlib import Path


class ScoreRule(StrEnum):
    """How an anomaly map becomes one image-level score."""

    MAX = "max"
    """The largest value of the map (Eq. 8)."""

    TOP_TENTH = "top-tenth"
    """The mean of the largest tenth of the map."""

    MEAN = "mean"
    """The mean of the map."""


class Intensity(StrEnum):
    """How grey values become numbers in [0, 1]."""

    FULL_RANGE = "full-range"
    """Divide by the largest value the pixel type can hold."""

    PERCENTILE = "percentile"
    """Stretch the 0.5th to the 99.5th percentile to [0, 1] and clip: 12-bit data in a 16-bit
    file, and a dark exposure, come out like any other."""


class Align(StrEnum):
    """What part of a radiograph a detector looks at."""

    NONE = "none"
    """The whole picture (as in the paper)."""

    LUNGS = "lungs"
    """The box around both lung fields, so that a place in it is a place in the chest."""


class EngineName(StrEnum):
    """What runs the networks."""

    TORCH = "torch"
    """PyTorch, on a CPU or a CUDA device."""

    OPENVINO = "openvino"
    """OpenVINO, on a CPU: the extra ``openvino``."""


class Precision(StrEnum):
    """What the networks compute in; everything after them is float32."""

    FLOAT32 = "float32"
    """As in training by gradient."""

    BFLOAT16 = "bfloat16"
    """Eight bits of each number, on hardware that multiplies them."""


class WeightsSource(StrEnum):
    """Where backbone weights come from."""

    CXR = "cxr"
    """The project's own, trained on chest X-rays by self-supervision: `wscxr.shipped`."""

    IMAGENET = "imagenet"
    """torchvision's own, downloaded once and cached by PyTorch."""

    RANDOM = "random"
    """Untrained: for tests and demonstrations only."""

    FILE = "file"
    """A file the user gave."""


def source_of(weights: str) -> WeightsSource:
    """What a setting stands for: ``cxr``, ``imagenet``, ``random``, or else the path of a file."""
    named = {source.value: source for source in WeightsSource if source is not WeightsSource.FILE}
    return named.get(weights, WeightsSource.FILE)


def file_of(weights: str) -> Path | None:
    """The path of such a setting; None where it is no path."""
    return Path(weights) if source_of(weights) is WeightsSource.FILE else None
