"""Does it find what is there? The one slow test: half a minute on two cores.

An untrained backbone, the paper's method, K = 16 and image-level labels only: on phantoms of
patients it never saw, whose opacities are known to the pixel.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from tests.helpers import CPU
from training.config import TrainConfig
from training.evaluation import Evaluation, evaluate
from training.phantoms import write_phantoms
from training.samples import load_samples
from training.train import train
from wscxr.bundle import Bundle
from wscxr.imaging import read_radiograph

SIZE = 192
UNSEEN = 24


@dataclass(frozen=True)
class Found:
    """What the trained bundle says of unseen phantoms."""

    evaluation: Evaluation
    maps: list[NDArray[np.float32]]
    masks: list[NDArray[np.bool_]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("quality")
    write_phantoms(folder / "train", normal=100, abnormal=16, size=SIZE, seed=0)
    write_phantoms(folder / "test", normal=UNSEEN, abnormal=UNSEEN, size=SIZE, seed=1)
    config = TrainConfig(
        backbone="resnet18",
        layers=("layer1", "layer2"),
        weights="random",
        image_size=SIZE,
        k=16,
        steps=1000,
        r=0.1,  # about what part of a phantom its opacities cover, and then as much again
    )

    def samples(part: str) -> list[Path]:
        return [folder / part / kind for kind in ("normal", "abnormal")]

    normal, abnormal = samples("train")
    train(load_samples(normal, abnormal, None, split="train"), config, folder / "b", CPU)
    bundle = Bundle.load(folder / "b", CPU)
    normal, abnormal = samples("test")
    maps, masks = [], []
    for path in sorted(abnormal.iterdir()):
        [prediction] = bundle.predict([read_radiograph(path.read_bytes())])
        small = torch.from_numpy(prediction.anomaly_map)[None, None]
        large = functional.interpolate(small, (SIZE, SIZE), mode="bilinear")[0, 0]
        maps.append(large.numpy())
        with Image.open(folder / "test" / "masks" / path.name) as mask:
            masks.append(np.asarray(mask) > 0)
    test = load_samples(normal, abnormal, None, split="test")
    return Found(evaluate(bundle, test), maps, masks)


def test_opacities_are_found_to_the_pixel(found: Found) -> None:
    assert len(found.maps) == UNSEEN
    assert 0.002 < np.mean(found.masks) < 0.25
    pixel = roc_auc_score(np.stack(found.masks).ravel(), np.stack(found.maps).ravel())
    assert pixel >= 0.95


def test_abnormal_images_score_higher(found: Found) -> None:
    assert (found.evaluation.n_normal, found.evaluation.n_abnormal) == (UNSEEN, UNSEEN)
    assert found.evaluation.auroc >= 0.85


def test_false_alarms_are_about_as_many_as_promised(found: Found) -> None:
    """At most 1 in 21, by 20 images; that it is 7 of 24 or more has a chance of 0.9 %."""
    alarms = round((1 - found.evaluation.specificity) * UNSEEN)
    assert alarms <= 6
