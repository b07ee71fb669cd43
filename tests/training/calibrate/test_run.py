import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from tests.helpers import CPU, encode, folder_content, noise, one_line_error, run_cli
from training.calibrate.run import calibrate
from training.phantoms import write_phantoms
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.store import read_manifest
from wscxr.errors import BundleExists, NotEnoughImages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of another site: 40 normal and 12 abnormal ones."""
    folder = tmp_path_factory.mktemp("site")
    write_phantoms(folder, normal=40, abnormal=12, size=64, seed=7)
    return folder


@pytest.fixture(scope="module")
def calibrated(trained: Path, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("calibrated") / "chest" / "2"
    arguments = ("--normal", site / "normal", "--abnormal", site / "abnormal")
    ran = run_cli("calibrate", trained, *arguments, "--out", out, "--json", out.parent / "r.json")
    assert ran.code == 0, ran.err
    assert "40 images between" in ran.out
    assert "sensitivity on 12 abnormal images" in ran.out
    return out


def test_the_scores_are_those_of_the_sites_images(calibrated: Path, site: Path) -> None:
    bundle = Bundle.load(calibrated, CPU)
    files = sorted((site / "normal").iterdir())
    scores = sorted(found.score for found in bundle.predict(files))
    calibration = bundle.manifest.calibration
    assert calibration.scores == pytest.approx(scores, abs=1e-5)
    assert calibration.false_alarm_rate == 0.05
    assert calibration.expected_false_alarm_rate == pytest.approx(2 / 41)
    # Two of 40 may be called abnormal.
    assert sum(score > calibration.threshold for score in calibration.scores) <= 2


def test_weights_and_settings_stay_as_they_are(trained: Path, calibrated: Path) -> None:
    before, after = folder_content(trained), folder_content(calibrated)
    for name in ("discriminator.safetensors", "backbone.safetensors"):
        assert after[name] == before[name]
    old, new = (safetensors.torch.load(content["ood.safetensors"]) for content in (before, after))
    assert {key for key in old if not old[key].equal(new[key])} <= {"threshold"}
    assert new["threshold"] >= old["threshold"]
    changed = {"calibration", "reference", "colour_scale", "site", "files", "sha256"}
    first, second = (json.loads(content["bundle.json"]) for content in (before, after))
    assert {key for key in first if first[key] != second[key]} <= changed


def test_the_bundle_says_what_it_was_calibrated_on(
    trained: Path, calibrated: Path, site: Path
) -> None:
    manifest = read_manifest(calibrated)
    assert manifest.site is not None
    assert (manifest.site.images, manifest.site.n) == ("normal", 40)
    assert manifest.site.source == Bundle.load(trained, CPU).identity
    assert not any("FEW CALIBRATION" in warning for warning in manifest.warnings)
    card = (calibrated / "MODEL_CARD.md").read_text()
    assert "of the site that calibrated\nit" in card
    assert card.endswith((trained / "MODEL_CARD.md").read_text())
    for name, data in folder_content(calibrated).items():
        for secret in (str(site), "0000.png"):
            assert secret.encode() not in data, name


def test_the_reference_is_of_the_sites_images(calibrated: Path, site: Path) -> None:
    bundle = Bundle.load(calibrated, CPU)
    found = bundle.predict(sorted((site / "normal").iterdir()))
    threshold = bundle.manifest.calibration.threshold
    expected = sorted(one.ood_score or 0 for one in found if one.score <= threshold + 1e-6)
    reference = bundle.manifest.reference
    assert reference is not None
    assert reference.ood_scores == pytest.approx(expected, abs=1e-4)
    assert len(reference.contrast) == len(expected)


def test_the_report_is_in_the_json_file(calibrated: Path) -> None:
    report = json.loads((calibrated.parent / "r.json").read_text())
    low, high = report["promised"]
    assert low < report["expected"] < high
    assert report["sha256"] == read_manifest(calibrated).sha256
    assert report["n_abnormal"] == 12
    assert 0 <= report["sensitivity"]["after"]["value"] <= 1


def test_a_site_far_away_is_no_longer_out_of_distribution(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "normal").mkdir()
    for number in range(20):
        file = tmp_path / "normal" / f"{number}.png"
        file.write_bytes(encode(noise(64, 64, seed=number)))
    bundle = Bundle.load(trained, CPU)
    found = calibrate(
        bundle, trained, tmp_path / "b" / "2", normal=sorted((tmp_path / "normal").iterdir())
    )
    assert found.unlike_before == 1.0
    assert found.unlike == 0.0
    Bundle.load(tmp_path / "b" / "2", CPU)


def test_unlabelled_images_give_an_estimate_and_no_promise(
    trained: Path, site: Path, tmp_path: Path
) -> None:
    out = tmp_path / "chest" / "3"
    ran = run_cli("calibrate", trained, "--unlabelled", site, "--out", out)
    assert ran.code == 0, ran.err
    assert "with no promise" in ran.out
    manifest = read_manifest(out)
    assert manifest.site is not None
    assert manifest.site.images == "unlabelled"
    assert any(warning.startswith("CALIBRATED ON UNLABELLED") for warning in manifest.warnings)
    before = read_manifest(trained).calibration
    assert len(manifest.calibration.scores) == len(before.scores)
    # Moved and stretched, not shuffled.
    assert np.corrcoef(manifest.calibration.scores, before.scores)[0, 1] == pytest.approx(1)
    assert "that nobody had labelled" in (out / "MODEL_CARD.md").read_text()


def test_what_is_refused(trained: Path, site: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "b" / "2")
    ran = run_cli("calibrate", trained, *out)
    assert "either --normal or --unlabelled" in one_line_error(ran, 2, "invalid_config")
    ran = run_cli("calibrate", trained, "--unlabelled", site / "abnormal", *out)
    assert "there are 12" in one_line_error(ran, 3, "not_enough_images")
    bundle = Bundle.load(trained, CPU)
    with pytest.raises(BundleExists):
        calibrate(bundle, trained, trained, normal=[site / "none.png"])
    with pytest.raises(NotEnoughImages):
        calibrate(bundle, trained, tmp_path / "b" / "2")
    assert not (tmp_path / "b").exists()


def test_a_rate_of_ones_own(trained: Path, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "b" / "2"
    ran = run_cli(
        "calibrate", trained, "--normal", site / "normal", "--false-alarm-rate=0.2", "--out", out
    )
    assert ran.code == 0, ran.err
    assert read_manifest(out).calibration.false_alarm_rate == 0.2
