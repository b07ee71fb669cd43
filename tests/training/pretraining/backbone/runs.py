"""Pretraining runs that take a second or two."""

from pathlib import Path
from typing import Any

from tests.helpers import CPU
from training.pretraining.backbone.config import PretrainConfig, RandomView
from training.pretraining.backbone.run import Pretrained, pretrain
from training.pretraining.backbone.views import find_unlabelled
from wscxr.progress import Track, untracked

EPOCHS = 3
STEPS = 2
"""In an epoch: of twelve radiographs two are kept aside, and ten make two batches of four."""


def config(**changes: Any) -> PretrainConfig:
    settings: dict[str, Any] = {
        "backbone": "resnet18",
        "layer": "layer1",
        "image_size": 48,
        "view": RandomView(size=32),
        "epochs": EPOCHS,
        "batch_size": 4,
    }
    return PretrainConfig(**(settings | changes))


def files(phantoms: Path) -> list[Path]:
    """Twelve radiographs."""
    return find_unlabelled([phantoms / "normal"])[:12]


def run(phantoms: Path, out: Path, track: Track = untracked, **changes: Any) -> Pretrained:
    return pretrain(files(phantoms), config(**changes), out, CPU, track=track)
