"""Bundles that hear the lesion network as a second witness."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import CPU
from wscxr.bundle.bundle import Bundle
from wscxr.errors import BundleDamaged
from wscxr.imaging import Radiograph, read_radiograph
from wscxr.model.lesions import MAP_SIDE


@pytest.fixture(scope="module")
def bundle(trained_with_lesions: Path) -> Bundle:
    return Bundle.load(trained_with_lesions, CPU)


@pytest.fixture(scope="module")
def chest(unseen: Path) -> Radiograph:
    return read_radiograph((unseen / "abnormal" / "0001.png").read_bytes())


def test_it_says_so(bundle: Bundle) -> None:
    assert bundle.manifest.lesions is not None
    assert "| second witness | a network that finds lesions, weight 1" in bundle.card
    assert "lesions.safetensors" in bundle.manifest.files


def test_the_score_is_the_sum_of_both_witnesses(bundle: Bundle, chest: Radiograph) -> None:
    witness = bundle.manifest.lesions
    prepared = bundle.prepare(chest)
    assert witness is not None
    assert prepared.lesions is not None
    _, head = bundle.detector.detect(prepared.tensor[None])
    expected = (float(head[0]) - witness.score_mean) / witness.score_std
    lesions = float(prepared.lesions.mean(dtype=np.float64)) - witness.lesion_mean
    expected += witness.weight * lesions / witness.lesion_std
    assert bundle.predict(chest).score == pytest.approx(expected, abs=1e-3)


def test_the_map_is_the_lesion_networks(bundle: Bundle, chest: Radiograph) -> None:
    witness = bundle.manifest.lesions
    prepared = bundle.prepare(chest)
    assert witness is not None
    assert prepared.lesions is not None
    found = bundle.predict(chest).anomaly_map
    assert found.shape == (2 * MAP_SIDE, 2 * MAP_SIDE)
    seen = witness.map_offset + witness.map_slope * prepared.lesions
    # It is interpolated on its way back to the radiograph's own pixels.
    assert found.max() == pytest.approx(float(seen.max()), rel=0.2, abs=0.3)
    assert found.min() >= min(float(seen.min()), bundle.manifest.colour_scale.low) - 1e-3


def test_a_picture_without_lungs_has_no_lesion(bundle: Bundle) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200)).astype(np.uint8)
    found = bundle.predict(Radiograph(noise, "PNG"))
    assert found.lung_fields is not None
    assert not found.lung_fields.found
    assert found.anomaly_map.max() <= bundle.manifest.calibration.threshold
    assert any("NO LUNGS" in warning for warning in found.warnings)


def test_a_bundle_without_its_lesion_network_is_refused(
    trained_with_lesions: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "lesions" / "1"
    shutil.copytree(trained_with_lesions, copy)
    (copy / "lesions.safetensors").unlink()
    with pytest.raises(BundleDamaged, match="lesions"):
        Bundle.load(copy, CPU)


def test_weight_and_network_are_in_the_manifest(trained_with_lesions: Path) -> None:
    document = json.loads((trained_with_lesions / "bundle.json").read_bytes())
    assert document["lesions"]["weight"] == 1
    assert document["training"]["config"]["lesions"] == "cxr"
