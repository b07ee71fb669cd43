import platform

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.helpers import tiny_detector, tiny_manifest
from wscxr import __version__
from wscxr.bundle.card import model_card
from wscxr.bundle.manifest import BundleManifest, Versions
from wscxr.bundle.reference import Reference
from wscxr.choices import WeightsSource
from wscxr.imaging.statistics import ImageStatistics
from wscxr.model.backbone import BackboneConfig
from wscxr.model.calibration import Calibration


@pytest.fixture(scope="module")
def manifest() -> BundleManifest:
    return tiny_manifest(tiny_detector())


def with_source(manifest: BundleManifest, source: WeightsSource) -> BundleManifest:
    backbone = BackboneConfig(architecture="resnet18", layers=("layer1",), source=source)
    return manifest.model_copy(update={"backbone": backbone})


def with_calibration(manifest: BundleManifest, n: int) -> BundleManifest:
    calibration = Calibration.from_scores(np.linspace(0, 1, n), 0.05)
    training = manifest.training.model_copy(update={"n_calibration": n})
    return manifest.model_copy(update={"calibration": calibration, "training": training})


# --- identity -----------------------------------------------------------------------------------


def test_the_digest_covers_everything_but_itself(manifest: BundleManifest) -> None:
    sealed = manifest.sealed()
    assert sealed.sha256 == manifest.digest() == sealed.digest()
    assert len(sealed.sha256) == 64
    changes: list[dict[str, object]] = [
        {"p": 5},
        {"backbone_sha256": "0"},
        {"files": {"golden.json": "0"}},
        {"training": manifest.training.model_copy(update={"seed": 9})},
        {"colour_scale": manifest.colour_scale.model_copy(update={"high": 3.0})},
    ]
    digests = {manifest.model_copy(update=change).digest() for change in changes}
    assert len(digests) == len(changes)
    assert sealed.sha256 not in digests


def test_json_keeps_everything(manifest: BundleManifest) -> None:
    sealed = manifest.sealed()
    assert BundleManifest.model_validate_json(sealed.model_dump_json()) == sealed


def test_unknown_fields_are_refused(manifest: BundleManifest) -> None:
    with pytest.raises(ValidationError, match="extra"):
        BundleManifest.model_validate(manifest.model_dump() | {"note": "x"})


def test_versions_are_those_running_now() -> None:
    versions = Versions.current()
    assert versions.wscxr == __version__
    assert versions.python == platform.python_version()
    assert versions.torch == torch.__version__
    assert versions.numpy == np.__version__


# --- warnings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [WeightsSource.IMAGENET, WeightsSource.FILE])
def test_a_trained_backbone_and_enough_normals_need_no_warning(
    manifest: BundleManifest, source: WeightsSource
) -> None:
    assert with_source(with_calibration(manifest, 19), source).warnings == []


def test_a_random_backbone_is_warned_of(manifest: BundleManifest) -> None:
    [warning] = with_source(manifest, WeightsSource.RANDOM).warnings
    assert warning.startswith("RANDOM BACKBONE")


def test_too_few_calibration_images_are_warned_of(manifest: BundleManifest) -> None:
    few = with_source(with_calibration(manifest, 9), WeightsSource.FILE)
    [warning] = few.warnings
    assert warning.startswith("FEW CALIBRATION IMAGES")
    assert "with 9 of them" in warning
    assert "0.100" in warning
    assert "0.050" in warning


# --- the model card -----------------------------------------------------------------------------


def test_the_card_says_what_it_is_and_is_not(manifest: BundleManifest) -> None:
    card = model_card(with_source(manifest, WeightsSource.IMAGENET))
    assert "not a medical device" in card.lower()
    assert "research use only" in card.lower()
    assert "arXiv 2311.09642" in card
    assert "RANDOM" not in card


@pytest.mark.parametrize("k", [0, 4])
def test_the_card_says_what_an_ood_score_is_worth(manifest: BundleManifest, k: int) -> None:
    training = manifest.training.model_copy(update={"k": k})
    card = " ".join(model_card(manifest.model_copy(update={"training": training})).split())
    assert "Above 1 the image is unlike the training images" in card
    assert "no proof of the contrary" in card
    assert ("with K = 0, more of them" in card) is (k == 0)


def test_the_card_of_a_bundle_without_ood_scorer_promises_none(manifest: BundleManifest) -> None:
    card = model_card(manifest.model_copy(update={"ood": None}))
    assert "No answer has an OOD score" in card
    assert "> **NO OOD SCORER" in card


def test_the_card_claims_only_what_the_code_knows(manifest: BundleManifest) -> None:
    card = " ".join(model_card(manifest).split())
    assert "chosen on test data" not in card
    assert "while looking at test images" in card


def test_the_card_has_the_bundles_facts(manifest: BundleManifest) -> None:
    card = model_card(manifest)
    for fact in (
        "| normal images for training | 100 |",
        "| normal images kept aside for calibration | 40 |",
        "| anomaly images (K) | 4 |",
        "resnet18, layers layer1, weights: random",
        "64 x 64, intensity percentile",
        "max over the places of the image",
        manifest.training.data_sha256,
        f"Threshold {manifest.calibration.threshold:.4f}",
        f"torch {torch.__version__}",
    ):
        assert fact in card


def test_a_random_backbone_is_marked_loudly_and_before_anything_else(
    manifest: BundleManifest,
) -> None:
    card = model_card(with_source(manifest, WeightsSource.RANDOM))
    assert "> **RANDOM BACKBONE" in card
    assert card.index("RANDOM BACKBONE") < card.index("## What it does")


def test_no_field_is_left_unfilled(manifest: BundleManifest) -> None:
    card = model_card(with_calibration(manifest, 3))
    assert "{" not in card
    assert "}" not in card
    assert "25.0%" in card


def test_a_reference_out_of_order_is_refused() -> None:
    statistics = [ImageStatistics(0.2, 0.1, 0.3), ImageStatistics(0.1, 0.3, 0.2)]
    found = Reference.of(np.array([True, True]), None, statistics)
    assert found.model_dump() == {
        "ood_scores": (),
        "brightness": (0.1, 0.2),
        "contrast": (0.1, 0.3),
        "sharpness": (0.2, 0.3),
    }
    with pytest.raises(ValidationError, match="ascending"):
        Reference.model_validate(found.model_dump() | {"contrast": (0.3, 0.1)})
    assert Reference.of(np.array([False, True]), np.array([2.0, 1.0]), statistics).ood_scores == (
        1.0,
    )
