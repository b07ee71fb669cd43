"""The whole path on real chest X-rays, where they are at hand: see CONTRIBUTING."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import CPU
from training.config import TrainConfig
from training.data.samples import Label, Sample, find_samples
from training.evaluation.evaluate import evaluate
from training.train import train
from wscxr.bundle.bundle import Bundle
from wscxr.choices import Align

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

AUROC = 0.88


def _by_patient(folder: Path, label: Label) -> dict[str, list[Sample]]:
    """Samples of each patient, whose number the file name carries."""
    found: dict[str, list[Sample]] = {}
    for sample in find_samples(folder, label):
        match = re.search(r"person(\d+)|IM-(\d+)", sample.path.name)
        assert match is not None
        patient = match.group()
        found.setdefault(patient, []).append(replace(sample, patient_id=patient))
    return found


def _two_groups(folder: Path, label: Label, size: int) -> tuple[list[Sample], list[Sample]]:
    """Two lists of at most `size` images that share no patient."""
    patients = list(_by_patient(folder, label).values())
    groups = [[s for patient in patients[start::2] for s in patient][:size] for start in (0, 1)]
    return groups[0], groups[1]


def test_finds_pneumonia_in_unseen_children(real_data: Path, tmp_path: Path) -> None:
    train_normal, test_normal = _two_groups(
        real_data / "data/zhanglab224/normal", Label.NORMAL, 160
    )
    train_abnormal, test_abnormal = _two_groups(
        real_data / "data/zhanglab224/pneumonia", Label.ABNORMAL, 80
    )
    config = TrainConfig(
        backbone="resnet18",
        layers=("layer3",),
        weights=str(real_data / "weights/resnet18-imagenet-to-layer3.safetensors"),
        k=16,
        align=Align.NONE,
        lesions="none",
    )

    train(train_normal + train_abnormal, config, tmp_path / "1", CPU)
    found = evaluate(Bundle.load(tmp_path / "1", CPU), test_normal[:80] + test_abnormal)

    assert found.image_level.auroc.value >= AUROC
