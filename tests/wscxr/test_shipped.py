"""The bundle that ships: whole, small, the project's own, and used where nothing is named."""

import shutil
from pathlib import Path

import pytest

import wscxr
from service.settings import Settings
from tests.helpers import CPU, radiograph, run_cli
from training.config import TrainConfig
from wscxr import shipped
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.card import model_card
from wscxr.bundle.store import read_manifest
from wscxr.choices import WeightsSource
from wscxr.errors import BundleNotFound, WeightsUnavailable
from wscxr.model.backbone import build_backbone
from wscxr.model.weights import weights_sha256

BUNDLE = Path(__file__).parents[2] / "model_store" / shipped.BUNDLE


def test_it_loads_and_scores() -> None:
    bundle = wscxr.load(device="cpu")
    assert bundle.identity == Bundle.load(BUNDLE, CPU).identity
    assert bundle.identity.name == "cxr-pediatric-pneumonia"
    assert bundle.identity.version == "2"
    prediction = bundle.predict(radiograph())
    # A gradient with a blob is no chest X-ray.
    assert prediction.out_of_distribution
    assert bundle.manifest.warnings == []


def test_it_is_small_and_says_what_it_is() -> None:
    assert sum(file.stat().st_size for file in BUNDLE.iterdir()) < 30_000_000
    card = (BUNDLE / "MODEL_CARD.md").read_text()
    for said in ("Kermany", "CC BY 4.0", "Not a medical device", "size of the file"):
        assert said in card


@pytest.mark.parametrize(
    ("bundle", "page"),
    [(shipped.BUNDLE, "default-bundle.md"), (Path("cxr-adult") / "1", "adult-bundle.md")],
    ids=str,
)
def test_its_card_is_what_the_code_and_the_documentation_say(bundle: Path, page: str) -> None:
    folder = BUNDLE.parents[1] / bundle
    notes = BUNDLE.parents[2] / "docs" / "explanation" / page
    assert (folder / "MODEL_CARD.md").read_text() == model_card(
        read_manifest(folder), notes.read_text()
    )


def test_the_adults_bundle_loads_and_scores() -> None:
    bundle = wscxr.load(BUNDLE.parents[1] / "cxr-adult" / "1", device="cpu")
    assert bundle.manifest.population is not None
    assert bundle.manifest.population.holds(40)
    assert not bundle.manifest.population.holds(4)
    assert bundle.predict(radiograph()).out_of_distribution


def test_training_looks_through_its_backbone_unless_told_otherwise() -> None:
    config = TrainConfig()
    assert config.backbone_config.source is WeightsSource.CXR
    backbone = build_backbone(config.backbone_config, config.image_size)
    assert weights_sha256(backbone.weights()) == read_manifest(BUNDLE).backbone_sha256


def test_train_without_weights_needs_no_network(phantoms: Path, tmp_path: Path) -> None:
    folders = ("--normal", phantoms / "normal", "--abnormal", phantoms / "abnormal")
    ran = run_cli("train", *folders, "-k", "3", "--out", tmp_path / "b", "--steps=5")
    assert ran.code == 0, ran.err
    manifest = read_manifest(tmp_path / "b")
    assert manifest.backbone_sha256 == read_manifest(BUNDLE).backbone_sha256
    assert manifest.backbone.source is WeightsSource.CXR
    assert "RANDOM" not in ran.err


def test_it_is_served_where_there_is_no_model_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (Settings().model_store / shipped.BUNDLE / "bundle.json").is_file()
    (tmp_path / "model_store").mkdir()
    assert Settings().model_store == Path("model_store")


def test_an_installation_has_it_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "wscxr"
    package.mkdir(parents=True)
    monkeypatch.setattr(shipped, "files", lambda _: package)
    with pytest.raises(WeightsUnavailable, match="lacks the bundle cxr-pediatric-pneumonia/2"):
        shipped.backbone_file()
    with pytest.raises(BundleNotFound, match="lacks the bundle cxr-pediatric-pneumonia/2"):
        shipped.default_bundle()
    shutil.copytree(BUNDLE, package / "model_store" / shipped.BUNDLE)
    assert shipped.default_bundle() == package / "model_store" / shipped.BUNDLE
    assert shipped.backbone_file() == shipped.default_bundle() / "backbone.safetensors"
