import base64
import hashlib
import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from tests.helpers import (
    CPU,
    encode,
    folder_content,
    radiograph,
    random_backbone,
    scores_of,
    tiny_bundle,
    tiny_detector,
    tiny_manifest,
    tiny_ood,
)
from wscxr.bundle import bundle as bundle_module
from wscxr.bundle import schema
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.golden import make_golden
from wscxr.bundle.manifest import BundleManifest
from wscxr.bundle.store import check_absent, read_manifest
from wscxr.choices import WeightsSource
from wscxr.errors import (
    BundleDamaged,
    BundleError,
    BundleExists,
    BundleNotFound,
    ConfigError,
    GoldenCheckFailed,
    UnknownSchema,
    WeightsUnavailable,
)
from wscxr.imaging import to_model_input
from wscxr.model import backbone as backbone_module
from wscxr.model.backbone import BackboneConfig

FILES = {
    "MODEL_CARD.md",
    "backbone.safetensors",
    "bundle.json",
    "discriminator.safetensors",
    "golden.json",
    "ood.safetensors",
}


def write_tiny(
    path: Path, *, seed: int = 0, embed: bool = True, ood_threshold: float = 1e4, **changes: Any
) -> BundleManifest:
    detector = tiny_detector(seed)
    manifest = tiny_manifest(detector, seed=seed, **changes)
    ood = tiny_ood(threshold=ood_threshold)
    return tiny_bundle(manifest, detector, ood, seed=seed).write(path, embed_backbone=embed)


def resign(path: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Make all hashes of a changed bundle right again, as a forger would."""
    document = json.loads((path / "bundle.json").read_text())
    for name in document["files"]:
        document["files"][name] = hashlib.sha256((path / name).read_bytes()).hexdigest()
    if change:
        change(document)
    (path / "bundle.json").write_text(json.dumps(document))
    manifest = BundleManifest.model_validate(document).sealed()
    (path / "bundle.json").write_text(manifest.model_dump_json())


# --- round trip ---------------------------------------------------------------------------------


def test_a_loaded_bundle_scores_exactly_as_the_detector_it_was_written_from(
    tmp_path: Path,
) -> None:
    detector = tiny_detector()
    manifest, ood = tiny_manifest(detector), tiny_ood(threshold=3.0)
    written = tiny_bundle(manifest, detector, ood).write(tmp_path / "b")
    loaded = Bundle.load(tmp_path / "b", CPU)
    images = [radiograph(seed) for seed in range(3)]
    inputs = torch.stack([to_model_input(image, manifest.input) for image in images])
    maps, scores = detector.detect(inputs)
    predictions = loaded.predict(images)
    assert [p.score for p in predictions] == scores.tolist()
    for prediction, anomaly_map in zip(predictions, maps, strict=True):
        np.testing.assert_array_equal(prediction.anomaly_map, anomaly_map.numpy())
        assert prediction.anomaly_map.dtype == np.float32
        assert prediction.threshold == manifest.calibration.threshold
        assert prediction.p_value == manifest.calibration.p_value(prediction.score)
        assert prediction.decision is manifest.calibration.decide(prediction.score)
    assert [p.ood_score for p in predictions] == ood(detector.features(inputs)).tolist()
    assert scores_of(loaded, images) == scores.tolist()
    assert loaded.manifest == written
    assert torch.equal(loaded.prepare(images[0]).tensor, inputs[0])


def test_batch_size_and_order_change_nothing(trained_bundle: Bundle) -> None:
    images = [radiograph(seed, size=60 + 7 * seed) for seed in range(6)]
    together = trained_bundle.predict(images)
    for image, prediction in zip(images, together, strict=True):
        [alone] = trained_bundle.predict([image])
        assert alone.score == pytest.approx(prediction.score, abs=1e-4)
        np.testing.assert_allclose(alone.anomaly_map, prediction.anomaly_map, atol=1e-4)
    backward = scores_of(trained_bundle, images[::-1])[::-1]
    assert backward == pytest.approx([p.score for p in together], abs=1e-4)


def test_the_folder_holds_what_the_manifest_lists(tmp_path: Path) -> None:
    manifest = write_tiny(tmp_path / "b")
    content = folder_content(tmp_path / "b")
    assert content.keys() == FILES
    assert manifest.files == {
        name: hashlib.sha256(data).hexdigest()
        for name, data in content.items()
        if name != "bundle.json"
    }
    assert json.loads(content["bundle.json"])["sha256"] == manifest.sha256 == manifest.digest()
    assert content["MODEL_CARD.md"].decode() == Bundle.load(tmp_path / "b", CPU).card


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    write_tiny(tmp_path / "one" / "1")
    write_tiny(tmp_path / "two" / "v2")
    write_tiny(tmp_path / "other", seed=1)
    one, two, other = (folder_content(tmp_path / p) for p in ("one/1", "two/v2", "other"))
    assert one == two
    # Neither the card nor the OOD scorer, which was never fitted, depends on the weights.
    assert all(other[name] != one[name] for name in FILES - {"MODEL_CARD.md", "ood.safetensors"})


def test_others_may_read_a_bundle(fresh_bundle: Path) -> None:
    """A service runs as somebody else than the one who trained."""
    assert stat.S_IMODE(fresh_bundle.stat().st_mode) == 0o755
    for file in fresh_bundle.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o444 == 0o444


def test_safetensors_hold_plain_tensors(fresh_bundle: Path) -> None:
    discriminator = safetensors.torch.load_file(fresh_bundle / "discriminator.safetensors")
    assert {"mean", "scale", "layers.0.weight", "layers.2.bias"} <= discriminator.keys()
    backbone = safetensors.torch.load_file(fresh_bundle / "backbone.safetensors")
    assert "conv1.weight" in backbone
    assert not any(key.startswith("layer2") for key in backbone)


def test_the_manifest_alone_can_be_read(fresh_bundle: Path) -> None:
    (fresh_bundle / "backbone.safetensors").unlink()
    manifest = read_manifest(fresh_bundle)
    assert manifest.schema_version == schema.CURRENT
    assert manifest.training.metrics == {"loss": 0.25}


# --- out of distribution --------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [1e-3, 1e4])
def test_an_image_unlike_the_training_images_is_told(tmp_path: Path, threshold: float) -> None:
    write_tiny(tmp_path / "b", ood_threshold=threshold)
    [found] = Bundle.load(tmp_path / "b", CPU).predict([radiograph()])
    strange = threshold < 1
    assert found.out_of_distribution is strange
    assert found.ood_score is not None
    assert (found.ood_score > 1) is strange
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "RANDOM BACKBONE",
        *(["OUT OF DISTRIBUTION"] if strange else []),
    ]


# --- damage -------------------------------------------------------------------------------------


def refuses(path: Path, error: type[BundleError], *said: str) -> None:
    """Loading fails with exactly this error, and the message says which bundle and what."""
    with pytest.raises(BundleError) as caught:
        Bundle.load(path, CPU)
    assert type(caught.value) is error
    for words in said:
        assert words in str(caught.value)


def test_no_bundle_there(tmp_path: Path, fresh_bundle: Path) -> None:
    refuses(tmp_path / "none", BundleNotFound, str(tmp_path / "none"), "bundle.json")
    refuses(tmp_path, BundleNotFound)
    refuses(fresh_bundle / "bundle.json", BundleNotFound)


@pytest.mark.parametrize("name", sorted(FILES - {"bundle.json"}))
def test_a_missing_file_is_named(fresh_bundle: Path, name: str) -> None:
    (fresh_bundle / name).unlink()
    refuses(fresh_bundle, BundleDamaged, f"lacks {name}", str(fresh_bundle))


@pytest.mark.parametrize("name", sorted(FILES - {"bundle.json"}))
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_flipped_bit_is_noticed_and_the_file_named(
    fresh_bundle: Path, name: str, place: float
) -> None:
    data = bytearray((fresh_bundle / name).read_bytes())
    data[round(place * (len(data) - 1))] ^= 1
    (fresh_bundle / name).write_bytes(data)
    refuses(fresh_bundle, BundleDamaged, name, "hash", str(fresh_bundle))


@pytest.mark.parametrize("name", sorted(FILES - {"bundle.json"}))
def test_a_file_that_was_cut_off_is_noticed(fresh_bundle: Path, name: str) -> None:
    data = (fresh_bundle / name).read_bytes()
    (fresh_bundle / name).write_bytes(data[:-1])
    refuses(fresh_bundle, BundleDamaged, name, "hash")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("calibration", "scores"), [-1.0, 0.0, 1.0]),
        (("p",), 5),
        (("ood", "rank"), 5),
        (("training", "seed"), 1),
        (("training", "k"), 5),
        (("backbone", "source"), "imagenet"),
        (("files", "golden.json"), "0" * 64),
        (("sha256",), "0" * 64),
        (("input", "mean"), [0.0, 0.0, 0.0]),
    ],
    ids=str,
)
def test_an_edited_manifest_is_noticed(
    fresh_bundle: Path, key: tuple[str, ...], value: object
) -> None:
    file = fresh_bundle / "bundle.json"
    document = json.loads(file.read_text())
    part = document
    for step in key[:-1]:
        part = part[step]
    assert part[key[-1]] != value
    part[key[-1]] = value
    file.write_text(json.dumps(document))
    refuses(fresh_bundle, BundleDamaged, "bundle.json", "changed")


def test_a_manifest_with_other_white_space_is_the_same_manifest(fresh_bundle: Path) -> None:
    file = fresh_bundle / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()), indent=7, sort_keys=True))
    Bundle.load(fresh_bundle, CPU)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"{}", b"3", b"\xff\xfe", b'"text"', b"[" * 100_000]
)
def test_what_is_no_manifest_is_refused(fresh_bundle: Path, content: bytes) -> None:
    (fresh_bundle / "bundle.json").write_bytes(content)
    refuses(fresh_bundle, BundleDamaged, "bundle.json")


def test_a_manifest_that_was_cut_off_is_refused(fresh_bundle: Path) -> None:
    file = fresh_bundle / "bundle.json"
    file.write_bytes(file.read_bytes()[:-50])
    refuses(fresh_bundle, BundleDamaged, str(file))


@pytest.mark.parametrize("key", ["backbone", "calibration", "files", "sha256", "p"])
def test_a_manifest_that_lacks_a_field_is_refused(fresh_bundle: Path, key: str) -> None:
    file = fresh_bundle / "bundle.json"
    document = json.loads(file.read_text())
    del document[key]
    file.write_text(json.dumps(document))
    refuses(fresh_bundle, BundleDamaged, str(file))


def test_an_unknown_field_or_file_name_is_refused(fresh_bundle: Path) -> None:
    file = fresh_bundle / "bundle.json"
    document = json.loads(file.read_text())
    for change in ({"surprise": 1}, {"files": document["files"] | {"../evil": "0" * 64}}):
        file.write_text(json.dumps(document | change))
        refuses(fresh_bundle, BundleDamaged, str(file))


@pytest.mark.parametrize("version", [0, schema.CURRENT + 1, "1", None, True, 1.0])
def test_another_schema_is_refused_by_its_number(fresh_bundle: Path, version: object) -> None:
    file = fresh_bundle / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": version}))
    refuses(fresh_bundle, UnknownSchema, f"schema {version}", f"reads 1 to {schema.CURRENT}")


# --- forgery: hashes are right, and still something does not fit ---------------------------------


def test_resigning_alone_is_harmless(fresh_bundle: Path) -> None:
    """So that the refusals below are not its doing."""
    resign(fresh_bundle)
    Bundle.load(fresh_bundle, CPU)


def edit_golden(path: Path, **change: object) -> None:
    golden = json.loads((path / "golden.json").read_text())
    golden[1] |= change
    (path / "golden.json").write_text(json.dumps(golden))
    resign(path)


def test_a_golden_score_that_is_not_met_fails_the_check(fresh_bundle: Path) -> None:
    golden = json.loads((fresh_bundle / "golden.json").read_text())
    edit_golden(fresh_bundle, score=golden[1]["score"] + 0.01)
    refuses(fresh_bundle, GoldenCheckFailed, "golden image 1")


def test_another_golden_image_fails_the_check(fresh_bundle: Path) -> None:
    png = base64.b64encode(encode(radiograph(5).pixels)).decode()
    edit_golden(fresh_bundle, png=png)
    refuses(fresh_bundle, GoldenCheckFailed, "golden image 1")


@pytest.mark.parametrize(
    "png",
    ["", "no base64!", "AAAAA", base64.b64encode(b"no image").decode()],
    ids=["empty", "text", "a letter too many", "file"],
)
def test_a_golden_image_that_cannot_be_read_is_damage(fresh_bundle: Path, png: str) -> None:
    edit_golden(fresh_bundle, png=png)
    refuses(fresh_bundle, BundleDamaged)


def test_no_golden_images_at_all_is_damage(fresh_bundle: Path) -> None:
    (fresh_bundle / "golden.json").write_text("[]")
    resign(fresh_bundle)
    refuses(fresh_bundle, BundleDamaged)


def test_another_discriminator_fails_the_golden_check(fresh_bundle: Path) -> None:
    file = fresh_bundle / "discriminator.safetensors"
    state = safetensors.torch.load_file(file)
    state["layers.2.bias"] += 0.5
    file.write_bytes(safetensors.torch.save(state))
    resign(fresh_bundle)
    refuses(fresh_bundle, GoldenCheckFailed)


def test_a_discriminator_of_nans_fails_the_golden_check(fresh_bundle: Path) -> None:
    file = fresh_bundle / "discriminator.safetensors"
    state = safetensors.torch.load_file(file)
    state["layers.2.bias"] *= torch.nan
    file.write_bytes(safetensors.torch.save(state))
    resign(fresh_bundle)
    refuses(fresh_bundle, GoldenCheckFailed)


@pytest.mark.parametrize("name", ["threshold", "mean", "directions", "eigenvalues", "rest"])
@pytest.mark.parametrize("factor", [2.0, torch.nan])
def test_another_ood_scorer_fails_the_golden_check(
    tmp_path: Path, name: str, factor: float
) -> None:
    path = tmp_path / "b"
    write_tiny(path, ood_threshold=1.0)
    Bundle.load(path, CPU)
    file = path / "ood.safetensors"
    state = safetensors.torch.load_file(file)
    state[name] = factor * (state[name] + 1)
    file.write_bytes(safetensors.torch.save(state))
    resign(path)
    refuses(path, GoldenCheckFailed, "golden image 0 has OOD score")


def test_a_golden_ood_score_that_is_not_met_fails_the_check(fresh_bundle: Path) -> None:
    edit_golden(fresh_bundle, ood_score=1.0)
    refuses(fresh_bundle, GoldenCheckFailed, "golden image 1 has OOD score")


def test_ood_tensors_of_another_shape_are_damage(fresh_bundle: Path) -> None:
    resign(fresh_bundle, lambda document: document["ood"].update(rank=5))
    refuses(fresh_bundle, BundleDamaged, str(fresh_bundle), "directions")


def test_a_swapped_backbone_is_damage(fresh_bundle: Path) -> None:
    other = random_backbone(seed=9).weights()
    (fresh_bundle / "backbone.safetensors").write_bytes(safetensors.torch.save(other))
    resign(fresh_bundle)
    refuses(fresh_bundle, BundleDamaged, "not the backbone weights")


@pytest.mark.parametrize(
    "name", ["backbone.safetensors", "discriminator.safetensors", "ood.safetensors"]
)
@pytest.mark.parametrize("content", [b"", b"no safetensors", safetensors.torch.save({})])
def test_tensors_that_do_not_fit_are_damage(fresh_bundle: Path, name: str, content: bytes) -> None:
    (fresh_bundle / name).write_bytes(content)
    resign(fresh_bundle)
    refuses(fresh_bundle, BundleDamaged, str(fresh_bundle))


def test_a_manifest_that_lists_too_few_files_is_damage(fresh_bundle: Path) -> None:
    resign(fresh_bundle, lambda document: document["files"].pop("golden.json"))
    refuses(fresh_bundle, BundleDamaged, "golden.json")


def test_a_layer_that_does_not_exist_is_damage(fresh_bundle: Path) -> None:
    resign(fresh_bundle, lambda document: document["backbone"].update(layers=["layer9"]))
    refuses(fresh_bundle, BundleDamaged, "layer9")


# --- backbones that are not in the bundle ---------------------------------------------------------


def imagenet_bundle(path: Path, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> list[str]:
    """Write a bundle without its backbone; fetching gives random weights and is recorded."""
    fetched: list[str] = []
    detector = tiny_detector(seed)
    weights = random_backbone(seed=seed).weights()
    config = BackboneConfig(architecture="resnet18", layers=("layer1",))
    assert config.source is WeightsSource.IMAGENET

    def fetch(architecture: str) -> dict[str, torch.Tensor]:
        fetched.append(architecture)
        return weights

    monkeypatch.setattr(backbone_module, "fetch_imagenet_weights", fetch)
    manifest = tiny_manifest(detector, seed=seed, backbone=config)
    bundle = tiny_bundle(manifest, detector, tiny_ood(), seed=seed)
    bundle.write(path, embed_backbone=False)
    return fetched


def test_a_backbone_that_is_not_embedded_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = imagenet_bundle(tmp_path / "b", monkeypatch)
    assert not fetched
    assert folder_content(tmp_path / "b").keys() == FILES - {"backbone.safetensors"}
    loaded = Bundle.load(tmp_path / "b", CPU)
    assert fetched == ["resnet18"]
    write_tiny(tmp_path / "embedded")
    images = [radiograph(seed) for seed in range(2)]
    assert scores_of(loaded, images) == scores_of(Bundle.load(tmp_path / "embedded", CPU), images)


def test_fetched_weights_that_are_others_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imagenet_bundle(tmp_path / "b", monkeypatch)
    other = random_backbone(seed=9).weights()
    monkeypatch.setattr(backbone_module, "fetch_imagenet_weights", lambda _: other)
    refuses(tmp_path / "b", BundleDamaged, "not the backbone weights")


def test_without_network_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imagenet_bundle(tmp_path / "b", monkeypatch)

    def fetch(_: str) -> dict[str, torch.Tensor]:
        raise WeightsUnavailable("no network")

    monkeypatch.setattr(backbone_module, "fetch_imagenet_weights", fetch)
    with pytest.raises(WeightsUnavailable, match="no network"):
        Bundle.load(tmp_path / "b", CPU)


@pytest.mark.parametrize("source", [WeightsSource.RANDOM, WeightsSource.FILE])
def test_weights_that_nobody_can_fetch_again_must_be_embedded(
    tmp_path: Path, source: WeightsSource
) -> None:
    """Otherwise a bundle would be written that can never be loaded."""
    detector = tiny_detector(seed=3)
    config = BackboneConfig(architecture="resnet18", layers=("layer1",), source=source)
    manifest = tiny_manifest(detector, seed=3, backbone=config)
    try:
        tiny_bundle(manifest, detector, tiny_ood(), seed=3).write(
            tmp_path / "b", embed_backbone=False
        )
    except ConfigError:
        assert not (tmp_path / "b").exists()
        return
    Bundle.load(tmp_path / "b", CPU)


# --- written whole, or not at all -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bundle", "empty folder", "file"])
def test_nothing_is_ever_overwritten(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "b"
    match kind:
        case "bundle":
            write_tiny(path)
        case "empty folder":
            path.mkdir()
        case _:
            path.write_text("mine")
    before = folder_content(tmp_path)
    with pytest.raises(BundleExists, match="never overwritten"):
        write_tiny(path)
    with pytest.raises(BundleExists, match=str(path)):
        check_absent(path)
    assert folder_content(tmp_path) == before


def test_a_free_place_is_free(tmp_path: Path) -> None:
    check_absent(tmp_path / "new")


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("moment", ["first sync", "last file", "rename", "chmod"])
def test_a_failure_while_writing_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, moment: str
) -> None:
    synced = 0

    def fsync(_: int) -> None:
        nonlocal synced
        synced += 1
        if synced == {"first sync": 1, "last file": 6}.get(moment):
            raise error

    def fail(*_: object) -> None:
        raise error

    store = tmp_path / "store"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        if moment in {"rename", "chmod"}:
            patched.setattr(Path, moment, fail)
        with pytest.raises(type(error)):
            write_tiny(store / "1")
    assert list(store.iterdir()) == []
    write_tiny(store / "1")
    assert [path.name for path in store.iterdir()] == ["1"]


def test_every_file_and_both_folders_are_synced_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def spy_sync(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def spy_rename(self: Path, target: Path) -> Path:
        events.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", spy_sync)
    monkeypatch.setattr(Path, "rename", spy_rename)
    write_tiny(tmp_path / "b")
    assert events == ["file"] * 6 + ["folder", "rename", "folder"]


def test_a_bundle_that_appeared_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b"

    def slow(*args: Any, **options: Any) -> Any:
        path.mkdir()
        (path / "bundle.json").write_text("theirs")
        return make_golden(*args, **options)

    monkeypatch.setattr(bundle_module, "make_golden", slow)
    with pytest.raises(BundleExists):
        write_tiny(path)
    assert folder_content(tmp_path) == {"b/bundle.json": b"theirs"}


def test_a_bundle_under_way_is_hidden_from_who_lists_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda _: seen.extend(path.name for path in tmp_path.iterdir())
    )
    write_tiny(tmp_path / "b")
    assert seen
    assert all(name.startswith(".") for name in seen[:-1])
    assert seen[-1] == "b"


def test_golden_images_are_ordinary_png(fresh_bundle: Path) -> None:
    for case in json.loads((fresh_bundle / "golden.json").read_text()):
        with Image.open(io.BytesIO(base64.b64decode(case["png"]))) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "L", (96, 96))
