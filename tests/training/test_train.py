import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.helpers import (
    CPU,
    RecordingTrack,
    encode,
    folder_content,
    noise,
    random_backbone,
    scores_of,
    tiny_config,
)
from training.config import TrainConfig
from training.data.samples import Label, Sample, load_samples
from training.methods.settings import PositionalWscxr
from training.phantoms import write_phantoms
from training.train import train
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.manifest import BundleManifest, Versions
from wscxr.bundle.networks import StoredNetworks
from wscxr.bundle.store import read_files, read_manifest
from wscxr.choices import WeightsSource
from wscxr.errors import BundleExists, ConfigError, DataError, NotEnoughImages, WeightsUnavailable
from wscxr.imaging import read_radiograph
from wscxr.imaging.statistics import image_statistics
from wscxr.model.heads.discriminator import DiscriminatorConfig
from wscxr.model.heads.positional import PositionalConfig
from wscxr.model.lesions import MAP_SIDE
from wscxr.model.ood import OodConfig
from wscxr.model.weights import round_to_half, weights_sha256


@pytest.fixture(scope="module")
def samples(phantoms: Path) -> list[Sample]:
    return load_samples(phantoms / "normal", phantoms / "abnormal", None, split="train")


def run(samples: list[Sample], out: Path, **changes: Any) -> BundleManifest:
    return train(samples, tiny_config(**changes), out, CPU)


# --- determinism --------------------------------------------------------------------------------


def test_one_seed_gives_one_bundle_byte_for_byte(
    samples: list[Sample], trained: Path, tmp_path: Path
) -> None:
    run(samples, tmp_path / "again" / "v7")
    assert folder_content(tmp_path / "again" / "v7") == folder_content(trained)


def test_another_seed_gives_another_bundle(
    samples: list[Sample], trained: Path, tmp_path: Path
) -> None:
    run(samples, tmp_path / "b", seed=1)
    one, other = folder_content(trained), folder_content(tmp_path / "b")
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def test_names_and_places_of_the_files_do_not_matter(
    phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    """Their order does: it is what a seed draws from."""
    for kind in ("normal", "abnormal"):
        (tmp_path / kind).mkdir()
        for path in sorted((phantoms / kind).iterdir()):
            shutil.copy(path, tmp_path / kind / f"patient-{path.stem}-renamed.PNG")
    moved = load_samples(tmp_path / "normal", tmp_path / "abnormal", None, split="train")
    run(moved, tmp_path / "b")
    assert folder_content(tmp_path / "b") == folder_content(trained)


def test_the_data_hash_follows_the_contents_alone(samples: list[Sample], tmp_path: Path) -> None:
    # All images are used, so that the draw cannot change the hash.
    everything = {"k": 6, "steps": 1}
    first = run(samples, tmp_path / "1", **everything).training.data_sha256
    shuffled = samples.copy()
    random.Random(0).shuffle(shuffled)  # noqa: S311 - no secret
    assert run(shuffled, tmp_path / "2", **everything).training.data_sha256 == first
    changed = samples[0].path.read_bytes() + b"trailing byte"
    (tmp_path / "changed.png").write_bytes(changed)
    other = [Sample(tmp_path / "changed.png", Label.NORMAL), *samples[1:]]
    assert run(other, tmp_path / "3", **everything).training.data_sha256 != first


# --- what is in the bundle ------------------------------------------------------------------------


def test_the_bundle_tells_how_it_was_made(trained: Path) -> None:
    manifest = read_manifest(trained)
    training = manifest.training
    # 24 normals: half are kept aside, for 5 % would need 19 and more than half is never taken.
    assert (training.n_normal, training.n_calibration, training.k) == (12, 12, 3)
    assert training.seed == 0
    assert training.config == tiny_config().model_dump(mode="json")
    assert training.versions == Versions.current()
    assert training.metrics.keys() == {"loss"}
    assert 0 <= training.metrics["loss"] < 2
    assert manifest.backbone.source is WeightsSource.RANDOM
    assert (manifest.p, manifest.input.size) == (3, 64)
    assert manifest.head == DiscriminatorConfig(in_features=64, hidden=(8,))
    assert len(manifest.calibration.scores) == 12
    assert manifest.calibration.false_alarm_rate == 0.05
    assert [warning.split(":")[0] for warning in manifest.warnings] == [
        "RANDOM BACKBONE",
        "FEW CALIBRATION IMAGES",
    ]


def test_nothing_in_the_bundle_names_a_file_or_a_folder(trained: Path, phantoms: Path) -> None:
    for name, data in folder_content(trained).items():
        for secret in (str(phantoms), "0000.png", str(trained.parent)):
            assert secret.encode() not in data, name


def test_the_calibration_scores_are_those_of_images_training_never_saw(
    samples: list[Sample], trained_bundle: Bundle
) -> None:
    """Every calibration score is the score of one normal image, scored from its file."""
    normal = [sample for sample in samples if sample.label is Label.NORMAL]
    scores = scores_of(trained_bundle, [read_radiograph(s.path.read_bytes()) for s in normal])
    for kept in trained_bundle.manifest.calibration.scores:
        assert min(abs(kept - score) for score in scores) < 1e-4


def test_the_reference_is_of_calibration_images_that_are_called_normal(
    samples: list[Sample], trained_bundle: Bundle
) -> None:
    reference = trained_bundle.manifest.reference
    assert reference is not None
    # With so few images the highest score is the threshold, and none lies above it.
    normal = [sample.path for sample in samples if sample.label is Label.NORMAL]
    inputs = [trained_bundle.prepare(read_radiograph(path.read_bytes())) for path in normal]
    config = trained_bundle.manifest.input
    seen = [image_statistics(one.tensor, config) for one in inputs]
    ood = [found.ood_score for found in trained_bundle.predict_inputs(inputs)]
    for values, known, within in (
        (reference.sharpness, [each.sharpness for each in seen], 1e-9),
        (reference.brightness, [each.brightness for each in seen], 1e-9),
        (reference.ood_scores, ood, 1e-3),
    ):
        assert len(values) == 12
        assert all(
            min(abs(value - each) for each in known if each is not None) < within
            for value in values
        )


def test_normals_are_like_the_training_images_and_noise_is_not(
    unseen: Path, trained_bundle: Bundle
) -> None:
    manifest = trained_bundle.manifest
    # 12 normals and 3 anomaly images span 14 directions.
    assert manifest.ood == OodConfig(in_features=64, rank=14)
    paths = sorted((unseen / "normal").iterdir())
    known = trained_bundle.predict([read_radiograph(path.read_bytes()) for path in paths])
    assert not any(found.out_of_distribution for found in known)
    [strange] = trained_bundle.predict([read_radiograph(encode(noise(64, 64)))])
    assert strange.out_of_distribution


def test_the_colour_scale_is_above_what_normals_reach(trained_bundle: Bundle) -> None:
    manifest = trained_bundle.manifest
    # The score is the peak of the map here.
    assert manifest.colour_scale.low == pytest.approx(
        max(0.0, float(np.median(manifest.calibration.scores))), abs=1e-6
    )
    assert manifest.colour_scale.high >= max(1.0, manifest.calibration.scores[-2])


def test_the_default_method_becomes_a_bundle(samples: list[Sample], tmp_path: Path) -> None:
    settings = {"backbone": "resnet18", "layers": ("layer1",), "weights": "random"}
    config = TrainConfig.model_validate(
        settings | {"image_size": 64, "k": 3, "rank": 8, "steps": 30, "batch_size": 64}
    )
    manifest = train(samples, config, tmp_path / "b", CPU, notes="## Data\n\nPhantoms.\n")
    assert manifest.head == PositionalConfig(height=16, width=16, in_features=64, rank=8)
    loaded = Bundle.load(tmp_path / "b", CPU)
    assert loaded.card.endswith("\n## Data\n\nPhantoms.\n")
    [prediction] = loaded.predict([read_radiograph(samples[0].path.read_bytes())])
    # The lesion network draws it, over the whole radiograph twice as fine.
    assert prediction.anomaly_map.shape == (2 * MAP_SIDE, 2 * MAP_SIDE)
    assert np.isfinite(prediction.anomaly_map).all()


def test_weights_in_half_precision_stay_so_in_a_bundle(
    samples: list[Sample], tmp_path: Path
) -> None:
    file = tmp_path / "half.safetensors"
    safetensors.torch.save_file(round_to_half(random_backbone().weights()), file)
    manifest = run(samples, tmp_path / "b", weights=str(file))
    kept = (tmp_path / "b" / "backbone.safetensors").read_bytes()
    assert kept == safetensors.torch.save(safetensors.torch.load_file(file))
    backbone = StoredNetworks(manifest, read_files(tmp_path / "b", manifest)).backbone
    assert weights_sha256(backbone.weights()) == manifest.backbone_sha256


def test_every_setting_is_used(samples: list[Sample], tmp_path: Path) -> None:
    manifest = run(
        samples,
        tmp_path / "b",
        layers=("layer1", "layer2"),
        p=1,
        score_rule="mean",
        intensity="full-range",
        hidden=(),
        false_alarm_rate=0.25,
        mining=False,
        mixing=False,
        k=1,
    )
    assert manifest.backbone.layers == ("layer1", "layer2")
    # All channels of both layers.
    assert manifest.head == DiscriminatorConfig(in_features=64 + 128, hidden=())
    assert (manifest.p, manifest.score_rule, manifest.input.intensity) == (1, "mean", "full-range")
    assert manifest.calibration.expected_false_alarm_rate <= 0.25
    assert manifest.training.k == 1
    loaded = Bundle.load(tmp_path / "b", CPU)
    [prediction] = loaded.predict([read_radiograph(samples[0].path.read_bytes())])
    assert prediction.score == pytest.approx(float(prediction.anomaly_map.mean()), abs=1e-5)


def test_images_of_different_sizes_and_depths_train_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(8):
        side = 40 + 11 * number
        grey = noise(side, side + 5, seed=number)
        file = tmp_path / "normal" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        match number % 4:
            case 0:
                file.write_bytes(encode(grey))
            case 1:
                file.write_bytes(encode(grey.astype(np.uint16) * 257))
            case 2:
                file.write_bytes(encode(rng.integers(0, 256, (side, side, 3)).astype(np.uint8)))
            case _:
                file.with_suffix(".jpg").write_bytes(encode(grey, "JPEG"))
    (tmp_path / "abnormal").mkdir()
    (tmp_path / "abnormal" / "0.png").write_bytes(encode(noise(99, 50, seed=99)))
    samples = load_samples(tmp_path / "normal", tmp_path / "abnormal", None, split="train")
    manifest = run(samples, tmp_path / "b", k=1, steps=3)
    assert manifest.training.n_normal + manifest.training.n_calibration == 8


def test_progress_is_told_for_all_of_the_work(samples: list[Sample], tmp_path: Path) -> None:
    track = RecordingTrack()
    train(samples, tiny_config(), tmp_path / "b", CPU, track=track)
    assert track.seen == {
        "reading images": 24 + 3,
        "mining": 1,
        "training the discriminator": 20,
    }


# --- weights --------------------------------------------------------------------------------------


def test_weights_from_a_file_are_used_and_its_path_is_not_kept(
    samples: list[Sample], tmp_path: Path
) -> None:
    weights = random_backbone(seed=5).weights()
    for name in ("one.safetensors", "elsewhere/two.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        safetensors.torch.save_file(weights, tmp_path / name)
    first = run(samples, tmp_path / "a", weights=str(tmp_path / "one.safetensors"))
    run(samples, tmp_path / "b", weights=str(tmp_path / "elsewhere/two.safetensors"))
    assert folder_content(tmp_path / "a") == folder_content(tmp_path / "b")
    assert first.backbone.source is WeightsSource.FILE
    assert first.training.config["weights"] == "file"
    embedded = safetensors.torch.load_file(tmp_path / "a" / "backbone.safetensors")
    assert all(torch.equal(embedded[key], weights[key]) for key in embedded)
    assert not any("RANDOM" in warning for warning in first.warnings)
    Bundle.load(tmp_path / "a", CPU)


@pytest.mark.parametrize("weights", ["random", "file"])
def test_a_bundle_that_cannot_be_loaded_is_never_written(
    samples: list[Sample], tmp_path: Path, weights: str
) -> None:
    """Weights that cannot be fetched again must be embedded, whatever the seed."""
    file = tmp_path / "w.safetensors"
    safetensors.torch.save_file(random_backbone(seed=5).weights(), file)
    config = tiny_config(weights=str(file) if weights == "file" else weights, seed=3)
    try:
        train(samples, config, tmp_path / "b", CPU, embed_backbone=False)
    except ConfigError:
        assert not (tmp_path / "b").exists()
        return
    Bundle.load(tmp_path / "b", CPU)


# --- what is refused ------------------------------------------------------------------------------


def refuses(
    samples: list[Sample], out: Path, error: type[Exception], match: str, **changes: Any
) -> None:
    with pytest.raises(error, match=match):
        run(samples, out, **changes)
    assert not out.exists()


def test_too_few_images(samples: list[Sample], tmp_path: Path) -> None:
    refuses(samples, tmp_path / "b", NotEnoughImages, "K = 7 .* there are 6", k=7)
    refuses(samples[-6:], tmp_path / "b", NotEnoughImages, "two patients")


def test_an_existing_bundle_is_refused_before_any_work(
    samples: list[Sample], trained: Path
) -> None:
    before = folder_content(trained)
    with pytest.raises(BundleExists):
        run([Sample(Path("/none"), sample.label) for sample in samples], trained)
    assert folder_content(trained) == before


def test_weights_that_are_not_there(samples: list[Sample], tmp_path: Path) -> None:
    refuses(samples, tmp_path / "b", WeightsUnavailable, "none.pth", weights="none.pth")


def test_an_image_labelled_both_ways(samples: list[Sample], tmp_path: Path) -> None:
    both = [*samples, *(Sample(samples[0].path, Label.ABNORMAL) for _ in range(3))]
    refuses(both, tmp_path / "b", DataError, "both as normal and as abnormal", k=9)


def test_an_unreadable_image_is_named(samples: list[Sample], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"broken")
    refuses(
        [Sample(broken, Label.NORMAL), *samples],
        tmp_path / "b",
        DataError,
        r"broken\.png: .*unsupported_format",
    )


def test_no_patient_is_in_fit_and_calibration(phantoms: Path, tmp_path: Path) -> None:
    """Three images of each patient: the counts in the bundle are multiples of three."""
    found = load_samples(phantoms / "normal", phantoms / "abnormal", None, split="train")
    grouped = [
        Sample(s.path, s.label, f"p{i // 3}") if s.label is Label.NORMAL else s
        for i, s in enumerate(found)
    ]
    training = run(grouped, tmp_path / "b", calibration_fraction=0.4, false_alarm_rate=0.5).training
    assert (training.n_normal, training.n_calibration) == (15, 9)


def test_the_manifest_on_disk_is_the_one_returned(samples: list[Sample], tmp_path: Path) -> None:
    written = run(samples, tmp_path / "b", steps=1)
    assert read_manifest(tmp_path / "b") == written
    assert json.loads((tmp_path / "b" / "bundle.json").read_text())["sha256"] == written.sha256


# --- an unlabelled archive ------------------------------------------------------------------------


def test_an_archive_is_counted_and_its_copies_of_labelled_images_are_not(
    samples: list[Sample], phantoms: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    write_phantoms(archive, normal=20, abnormal=6, size=64, seed=9)
    copies = tmp_path / "copies"
    shutil.copytree(phantoms, copies)
    settings = tiny_config().model_copy(update={"method": PositionalWscxr(rank=8, steps=20)})
    files = [*sorted(archive.glob("*normal/*.png")), *sorted(copies.glob("*normal/*.png"))]
    assert len(files) == 26 + 30
    manifest = train(samples, settings, tmp_path / "b", CPU, unlabelled=files)
    metrics = manifest.training.metrics
    # Of the copies those are left that no draw chose: three of the six abnormal ones.
    assert metrics["unlabelled"] == 26 + 3
    assert 0 <= metrics["unlabelled_picked"] <= 29
    assert "| unlabelled images | 29, of which" in (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert len(manifest.calibration.scores) == 12
    again = train(samples, settings, tmp_path / "c", CPU, unlabelled=files)
    assert folder_content(tmp_path / "b") == folder_content(tmp_path / "c")
    assert again == manifest


def test_methods_without_anomaly_images_learn_from_no_archive(
    samples: list[Sample], tmp_path: Path
) -> None:
    config = TrainConfig(method="patchcore")
    with pytest.raises(ConfigError, match="patchcore learns from no anomaly images"):
        train(samples, config, tmp_path / "b", CPU, unlabelled=[samples[0].path])
