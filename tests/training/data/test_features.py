import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers import SIZE, RecordingTrack, feature_network, random_backbone
from training.data.features import MEMORY_BUDGET, extract_features
from training.data.samples import Label, Sample, find_samples
from wscxr.anatomy import Preparation
from wscxr.engines import Network
from wscxr.errors import DataError
from wscxr.imaging import InputConfig, read_radiograph, to_model_input
from wscxr.model.patches import patch_features

CONFIG = InputConfig(size=SIZE)
PREPARE = Preparation(CONFIG, None)


@pytest.fixture(scope="module")
def network() -> Network:
    return feature_network(random_backbone())


@pytest.fixture(scope="module")
def samples(phantoms: Path) -> list[Sample]:
    return find_samples(phantoms / "normal", Label.NORMAL)


def test_features_are_those_of_each_image_in_order(network: Network, samples: list[Sample]) -> None:
    found = extract_features(samples, network, PREPARE)
    assert found.maps.shape == (24, 16, 16, 64)
    for number in (0, 7, 16, 23):
        data = samples[number].path.read_bytes()
        image = to_model_input(read_radiograph(data), CONFIG)
        expected = patch_features(random_backbone()(image[None]), 3)[0]
        torch.testing.assert_close(found.maps[number], expected, rtol=1e-4, atol=1e-5)
        assert found.sha256[number] == hashlib.sha256(data).hexdigest()


def test_each_image_goes_through_the_backbone_once(samples: list[Sample]) -> None:
    backbone = random_backbone()
    seen: list[Tensor] = []
    backbone.register_forward_hook(lambda _module, inputs, _output: seen.extend(inputs[0].clone()))
    track = RecordingTrack()
    extract_features(samples, feature_network(backbone), PREPARE, track=track)
    assert len(seen) == len(samples)
    expected = [to_model_input(read_radiograph(s.path.read_bytes()), CONFIG) for s in samples]
    assert all(torch.equal(one, two) for one, two in zip(seen, expected, strict=True))
    assert track.seen == {"reading images": len(samples)}


def test_past_the_budget_features_live_in_a_file_and_are_the_same(
    network: Network, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mapped: list[tuple[int, ...]] = []
    memmap = np.memmap

    def spy(*args: Any, **kwargs: Any) -> Any:
        mapped.append(kwargs["shape"])
        return memmap(*args, **kwargs)

    monkeypatch.setattr(np, "memmap", spy)
    inside = extract_features(samples, network, PREPARE)
    assert not mapped
    exact = inside.maps.numel() * 4
    assert exact < MEMORY_BUDGET
    assert torch.equal(extract_features(samples, network, PREPARE, budget=exact).maps, inside.maps)
    assert not mapped
    outside = extract_features(samples, network, PREPARE, budget=exact - 1)
    assert mapped == [(24, 16, 16, 64)]
    assert torch.equal(outside.maps, inside.maps)
    assert outside.sha256 == inside.sha256
    # The file has no name, so that nothing is left even after a kill.
    assert list(tmp_path.iterdir()) == []


def test_slices_share_memory(network: Network, samples: list[Sample]) -> None:
    features = extract_features(samples[:5], network, PREPARE)
    assert features.maps.shape == (5, 16, 16, 64)
    part = features[1:3]
    assert part.sha256 == features.sha256[1:3]
    assert torch.equal(part.maps, features.maps[1:3])
    features.maps[1, 0, 0, 0] = 99.0
    assert part.maps[0, 0, 0, 0] == 99.0


def test_no_images_is_an_error(network: Network) -> None:
    with pytest.raises(ValueError, match="no images"):
        extract_features([], network, PREPARE)


def test_a_file_that_cannot_be_read_is_named(network: Network, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png"):
        extract_features([Sample(tmp_path / "none.png", Label.NORMAL)], network, PREPARE)
