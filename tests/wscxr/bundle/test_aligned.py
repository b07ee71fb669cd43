"""Bundles that look at the box around both lung fields."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from tests.helpers import CPU, lung_finder, scores_of
from wscxr.anatomy import LungNetwork, find_lungs, shipped_lung_network
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.manifest import FileName
from wscxr.bundle.networks import Networks
from wscxr.bundle.store import write_files
from wscxr.choices import Align
from wscxr.errors import BundleDamaged, GoldenCheckFailed
from wscxr.imaging import Radiograph, read_radiograph
from wscxr.results.png import MapStyle


@pytest.fixture(scope="module")
def bundle(trained_aligned: Path) -> Bundle:
    return Bundle.load(trained_aligned, CPU)


@pytest.fixture(scope="module")
def chest(unseen: Path) -> Radiograph:
    return read_radiograph((unseen / "abnormal" / "0001.png").read_bytes())


def padded(radiograph: Radiograph, rows: int, columns: int) -> Radiograph:
    """The radiograph with black above and to its left."""
    pixels = np.pad(radiograph.pixels, ((rows, 0), (columns, 0)))
    return Radiograph(pixels.astype(np.uint8), radiograph.format)


def test_it_says_so(bundle: Bundle) -> None:
    assert bundle.manifest.align is Align.LUNGS
    assert "| looks at | the box around both lung fields" in bundle.card
    assert bundle.manifest.training.metrics["lungs_found"] == 1
    assert "lungs.safetensors" in bundle.manifest.files


def test_its_lung_network_is_the_shipped_one(bundle: Bundle, chest: Radiograph) -> None:
    found = bundle.prepare(chest).lungs
    assert found is not None
    expected = find_lungs(lung_finder(shipped_lung_network()), chest)
    np.testing.assert_array_equal(found.probability, expected.probability)


def test_a_border_changes_little(bundle: Bundle, chest: Radiograph) -> None:
    """The same chest with a black border is the same frame, but for rounding."""
    near, far = (bundle.prepare(one).frame for one in (chest, padded(chest, 6, 10)))
    moved = np.array([far.left - 10, far.top - 6, far.right - 10, far.bottom - 6])
    np.testing.assert_allclose(moved, [near.left, near.top, near.right, near.bottom], atol=3)
    scores = [bundle.predict(one).score for one in (chest, padded(chest, 6, 10))]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)


def test_the_map_lies_on_the_radiograph(bundle: Bundle, chest: Radiograph) -> None:
    """It peaks where the detector saw the peak, and is nothing outside the box."""
    prepared = bundle.prepare(chest)
    maps, _ = bundle.detector.detect(prepared.tensor[None])
    seen = maps[0].numpy()
    found = bundle.predict(chest)
    assert found.anomaly_map.shape == (2 * seen.shape[0], 2 * seen.shape[1])
    assert found.anomaly_map.max() == pytest.approx(float(seen.max()), rel=0.2)

    frame = prepared.frame
    row, column = np.unravel_index(seen.argmax(), seen.shape)
    expected = np.array(
        [
            frame.top + (row + 0.5) / seen.shape[0] * (frame.bottom - frame.top),
            frame.left + (column + 0.5) / seen.shape[1] * (frame.right - frame.left),
        ]
    )
    place = np.array(np.unravel_index(found.anomaly_map.argmax(), found.anomaly_map.shape)) + 0.5
    peak = place / found.anomaly_map.shape * [chest.height, chest.width]
    cell = chest.height / seen.shape[0]
    np.testing.assert_allclose(peak, expected, atol=1.5 * cell)

    outside = found.anomaly_map[:, : int(frame.left / chest.width * found.anomaly_map.shape[1]) - 1]
    assert outside.size
    assert (outside <= found.threshold).all()
    assert (outside <= found.colour_scale.low).all()


def test_outside_the_box_an_overlay_is_the_radiograph(bundle: Bundle, chest: Radiograph) -> None:
    frame = bundle.prepare(chest).frame
    drawn = np.asarray(bundle.predict(chest).overlay())
    edge = frame.left - 3
    assert edge > 0
    np.testing.assert_array_equal(drawn[:, :edge, 0], chest.pixels[:, :edge])
    assert len(bundle.predict(chest).png(MapStyle.HEAT)) > 0
    assert bundle.predict(chest).png(MapStyle.OUTLINED) != bundle.predict(chest).png()


def test_facts_are_in_the_radiographs_pixels(bundle: Bundle, chest: Radiograph) -> None:
    facts, frame = bundle.predict(chest).lung_fields, bundle.prepare(chest).frame
    assert facts is not None
    assert facts.box is not None
    assert facts.box.model_dump() == {
        "left": frame.left,
        "top": frame.top,
        "right": frame.right,
        "bottom": frame.bottom,
    }
    assert facts.area_share is not None
    assert 0.1 < facts.area_share < 0.7
    assert facts.map_share is None or 0 <= facts.map_share <= 1


@pytest.mark.parametrize("what", ["negative", "upside down", "noise"])
def test_without_lungs_it_says_so_and_is_out_of_distribution(
    bundle: Bundle, chest: Radiograph, what: str
) -> None:
    pixels = {
        "negative": 255 - chest.pixels,
        "upside down": chest.pixels[::-1],
        "noise": np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8),
    }[what]
    found = bundle.predict(Radiograph(pixels.astype(np.uint8), "PNG"))
    assert found.lung_fields is not None
    assert found.png(MapStyle.OUTLINED) == found.png()
    assert found.lung_fields.model_dump() == {
        "found": False,
        "box": None,
        "area_share": None,
        "map_share": None,
    }
    assert found.ood_score is not None
    assert found.ood_score > 1
    assert found.out_of_distribution
    assert any(warning.startswith("NO LUNGS FOUND") for warning in found.warnings)


def test_a_golden_image_shows_lungs(bundle: Bundle, trained_aligned: Path) -> None:
    from wscxr.bundle.golden import GoldenCase

    cases = json.loads((trained_aligned / "golden.json").read_text())
    shown = [bundle.prepare(GoldenCase(**case).radiograph()).shows_lungs for case in cases]
    assert shown == [False, False, False, True]


def test_another_lung_network_fails_the_golden_check(
    bundle: Bundle, trained_aligned: Path, tmp_path: Path
) -> None:
    """Its hash is right, but its frames are not those the scores were made in."""
    content: dict[FileName, bytes] = {
        name: (trained_aligned / name).read_bytes() for name in bundle.manifest.files
    }
    content["lungs.safetensors"] = safetensors.torch.save(LungNetwork().state_dict())
    write_files(tmp_path / "b", bundle.manifest, content)
    with pytest.raises(GoldenCheckFailed, match="golden image 3"):
        Bundle.load(tmp_path / "b", CPU)


def test_a_bundle_without_its_lung_network_is_damaged(
    bundle: Bundle, trained_aligned: Path, tmp_path: Path
) -> None:
    content: dict[FileName, bytes] = {
        name: (trained_aligned / name).read_bytes()
        for name in bundle.manifest.files
        if name != "lungs.safetensors"
    }
    write_files(tmp_path / "b", bundle.manifest, content)
    with pytest.raises(BundleDamaged, match="contradicts itself"):
        Bundle.load(tmp_path / "b", CPU)


def test_it_is_written_again_as_it_was(bundle: Bundle, chest: Radiograph, tmp_path: Path) -> None:
    bundle.write(tmp_path / "b")
    again = Bundle.load(tmp_path / "b", CPU)
    assert scores_of(again, [chest]) == scores_of(bundle, [chest])
    assert (tmp_path / "b" / "lungs.safetensors").stat().st_size < 600_000


def test_manifest_and_lung_network_belong_together(bundle: Bundle) -> None:
    lungs = lung_finder(shipped_lung_network())

    def not_asked() -> Networks:
        raise AssertionError

    with pytest.raises(ValueError, match="lung network"):
        Bundle(bundle.manifest, bundle.detector, bundle.ood, networks=not_asked)
    whole = bundle.manifest.model_copy(update={"align": Align.NONE})
    with pytest.raises(ValueError, match="lung network"):
        Bundle(whole, bundle.detector, bundle.ood, networks=not_asked, lungs=lungs)


def test_batches_change_nothing(bundle: Bundle, unseen: Path) -> None:
    several = [read_radiograph(path.read_bytes()) for path in sorted(unseen.rglob("000?.png"))]
    alone = [bundle.predict(one).score for one in several]
    assert scores_of(bundle, several) == pytest.approx(alone, abs=1e-4)
    assert len({round(score, 3) for score in alone}) > len(several) / 2
