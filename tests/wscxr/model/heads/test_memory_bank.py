from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers import (
    CPU,
    ENGINE,
    feature_network,
    radiograph,
    random_backbone,
    scores_of,
    tiny_bundle,
    tiny_manifest,
    tiny_ood,
)
from wscxr.bundle.bundle import Bundle
from wscxr.choices import ScoreRule
from wscxr.imaging import to_model_input
from wscxr.model.detector import Detector
from wscxr.model.heads.memory_bank import MemoryBank, MemoryBankConfig


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def filled(features: Tensor, unit: float = 1.0) -> MemoryBank:
    size, channels = features.shape
    head = MemoryBankConfig(in_features=channels, size=size).build()
    head.bank.copy_(features)
    head.unit.fill_(unit)
    return head.eval()


def test_a_score_is_the_distance_to_the_nearest_in_units_less_one() -> None:
    head = filled(torch.tensor([[0.0, 0.0], [10.0, 0.0]]), unit=2.0)
    scores = head(torch.tensor([[0.0, 0.0], [3.0, 4.0], [10.0, 2.0], [14.0, 0.0]]))
    torch.testing.assert_close(scores, torch.tensor([-1.0, 1.5, 0.0, 1.0]))


def test_scores_are_those_of_all_pairwise_distances() -> None:
    features, bank = gaussian(300, 16) + 5, gaussian(70, 16, seed=1) + 5
    expected = torch.cdist(features.double(), bank.double()).amin(dim=1) / 0.5 - 1
    torch.testing.assert_close(filled(bank, 0.5)(features), expected.float())


def test_any_leading_shape_is_kept() -> None:
    head = filled(gaussian(20, 8))
    maps = gaussian(2, 3, 5, 8, seed=1)
    scores = head(maps)
    assert scores.shape == (2, 3, 5)
    assert scores[1, 2, 4] == pytest.approx(float(head(maps[1, 2, 4])), abs=1e-5)


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_the_size_of_a_batch_changes_nothing(offset: float) -> None:
    """Features of rectified maps lie far from 0, where squares round badly."""
    head = filled(gaussian(500, 64) + offset, unit=8.0)
    maps = gaussian(8, 6, 6, 64, seed=1) + offset
    # One of them is in the bank itself, and one image is far from all others.
    maps[0, 0, 0] = head.bank[7]
    maps[7] += 20
    together = head(maps)
    alone = torch.stack([head(one) for one in maps])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_a_bundle_gives_back_the_same_scores(tmp_path: Path) -> None:
    network = feature_network(random_backbone())
    detector = Detector(network, filled(gaussian(40, 64).relu(), 3.0), ScoreRule.MAX, ENGINE)
    manifest = tiny_manifest(detector)
    tiny_bundle(manifest, detector, tiny_ood()).write(tmp_path / "b")
    loaded = Bundle.load(tmp_path / "b", CPU)
    assert loaded.manifest.head == MemoryBankConfig(in_features=64, size=40)
    assert isinstance(loaded.detector.head, MemoryBank)
    assert float(loaded.detector.head.unit) == 3.0
    images = [radiograph(seed) for seed in range(2)]
    inputs = torch.stack([to_model_input(image, manifest.input) for image in images])
    assert scores_of(loaded, images) == detector.detect(inputs)[1].tolist()
