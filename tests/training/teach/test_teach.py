import csv
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import CPU, folder_content, one_line_error, run_cli, tiny_config
from training.config import TrainConfig
from training.data.samples import Label, Sample, load_samples, read_samples, with_label
from training.data.splits import TrainSplit, draw_split
from training.phantoms import write_phantoms
from training.teach.reviews import is_kept_aside, part_reviews, read_reviews
from training.teach.run import Taught, join, settings_of, teach
from training.train import train
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.promotion import current_version, next_version
from wscxr.bundle.store import read_manifest
from wscxr.errors import (
    BundleExists,
    BundleNotFound,
    ConfigError,
    DataError,
    ImagesNotKept,
    NoAbnormalReviews,
    NoReviews,
    PatientOverlap,
    TooFewReviews,
)


def write_reviews(folder: Path, rows: Iterable[Sequence[object]]) -> Path:
    """A manifest as `wscxr reviews export` writes it."""
    file = folder / "reviews.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "patient_id", "analysis_id", "sex"])
        writer.writerows(rows)
    return file


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Judged phantoms, 18 normal and 18 abnormal, two of each patient."""
    folder = tmp_path_factory.mktemp("reviewed")
    write_phantoms(folder, normal=18, abnormal=18, size=64, seed=5)
    write_reviews(
        folder,
        [
            [path.relative_to(folder), label, f"{label}{number // 2}", number, "FM"[number % 2]]
            for label in ("normal", "abnormal")
            for number, path in enumerate(sorted((folder / label).iterdir()))
        ],
    )
    return folder


@pytest.fixture(scope="module")
def base(phantoms: Path) -> list[Sample]:
    return load_samples(phantoms / "normal", phantoms / "abnormal", None, split="train")


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    """A model store of its own with version 1, in which no version is named."""
    folder = tmp_path / "store" / "chest"
    shutil.copytree(trained, folder / "1")
    return folder


# --- reviews ------------------------------------------------------------------------------------


def test_a_patient_is_on_one_side_and_stays_there(reviewed: Path, base: list[Sample]) -> None:
    reviews = read_reviews(reviewed)
    parted = part_reviews(reviews, base, 0.3)
    taught, aside = (
        {sample.patient_id for sample in part} for part in (parted.taught, parted.kept_aside)
    )
    assert not taught & aside
    assert len(parted.taught) + len(parted.kept_aside) == 36
    # Whoever else is reviewed, and whatever the order.
    fewer = part_reviews(reviews[::-1][:30], base, 0.3)
    assert {sample.patient_id for sample in fewer.kept_aside} <= aside
    more = part_reviews(reviews, base, 0.5)
    assert aside < {sample.patient_id for sample in more.kept_aside}


def test_the_share_that_is_kept_aside_is_that_asked_for() -> None:
    for fraction in (0.0, 0.1, 0.3, 0.9):
        kept = sum(is_kept_aside(f"patient {number}", fraction) for number in range(4000))
        assert kept / 4000 == pytest.approx(fraction, abs=0.025)


def test_patients_of_the_training_data_are_not_kept_aside(
    reviewed: Path, base: list[Sample]
) -> None:
    reviews = read_reviews(reviewed)
    known = part_reviews(reviews, base, 0.3).kept_aside[0]
    parted = part_reviews(reviews, [replace(base[0], patient_id=known.patient_id), *base], 0.3)
    assert known in parted.taught


def test_images_that_the_training_data_holds_are_left_out(
    reviewed: Path, base: list[Sample]
) -> None:
    parted = part_reviews([*read_reviews(reviewed), replace(base[0], patient_id="x")], base, 0.3)
    assert parted.known == 1
    assert base[0].path not in {sample.path for sample in parted.taught + parted.kept_aside}


def test_a_verdict_against_the_training_data_is_reported(
    reviewed: Path, base: list[Sample]
) -> None:
    turned = replace(base[0], label=Label.ABNORMAL)
    with pytest.raises(DataError, match="judged abnormal, but the training data has it as normal"):
        part_reviews([*read_reviews(reviewed), turned], base, 0.3)


def test_an_image_without_a_patient_is_a_patient_of_its_own(reviewed: Path, tmp_path: Path) -> None:
    files = sorted((reviewed / "abnormal").iterdir())[:2]
    found = read_reviews(write_reviews(tmp_path, [[path, "abnormal", "", 1, ""] for path in files]))
    assert len({sample.patient_id for sample in found}) == 2
    assert all(sample.patient_id for sample in found)


def test_reviews_that_cannot_be_used(reviewed: Path, base: list[Sample], tmp_path: Path) -> None:
    normal, abnormal = (sorted((reviewed / kind).iterdir()) for kind in ("normal", "abnormal"))
    with pytest.raises(NoReviews):
        read_reviews(write_reviews(tmp_path, []))
    gone = [[normal[0], "normal", "a", 1, ""], ["gone.png", "abnormal", "b", 2, ""]]
    with pytest.raises(ImagesNotKept, match="1 of 2"):
        read_reviews(write_reviews(tmp_path, gone))
    twice = [[normal[0], kind, "a", 1, ""] for kind in ("normal", "abnormal")]
    with pytest.raises(DataError, match="reviewed as normal and as abnormal"):
        read_reviews(write_reviews(tmp_path, twice))
    healthy = [[path, "normal", number, 1, ""] for number, path in enumerate(normal)]
    with pytest.raises(NoAbnormalReviews):
        part_reviews(read_reviews(write_reviews(tmp_path, healthy)), base, 0.3)
    ill = [[path, "abnormal", number, 1, ""] for number, path in enumerate(abnormal)]
    with pytest.raises(TooFewReviews, match="0 normal"):
        part_reviews(read_reviews(write_reviews(tmp_path, ill)), base, 0.3)
    assert part_reviews(read_reviews(tmp_path), base, 0.0).kept_aside == []


# --- the images of the next version -------------------------------------------------------------


def samples(label: Label, *patients: str) -> list[Sample]:
    return [Sample(Path(f"{label}-{patient}.png"), label, patient) for patient in patients]


SPLIT = TrainSplit(
    normal=samples(Label.NORMAL, "a", "b"),
    calibration=samples(Label.NORMAL, "c", "d", "e"),
    anomaly=samples(Label.ABNORMAL, "f"),
)


def test_reviewed_images_join_those_of_the_last_version() -> None:
    reviews = samples(Label.NORMAL, "x", "y") + samples(Label.ABNORMAL, "z")
    found = join(SPLIT, reviews, tiny_config(), calibrate=False)
    assert found.normal == SPLIT.normal + reviews[:2]
    assert found.anomaly == [*SPLIT.anomaly, reviews[2]]
    # Images that were judged because they look unusual do not say what is usual.
    assert found.calibration == SPLIT.calibration


def test_reviewed_normals_calibrate_where_that_is_asked_for() -> None:
    reviews = samples(Label.NORMAL, *(f"n{number}" for number in range(400)))
    config = tiny_config(calibration_fraction=0.2)
    found = join(SPLIT, reviews, config, calibrate=True)
    joined = len(found.calibration) - len(SPLIT.calibration)
    assert 50 < joined < 110
    assert len(found.normal) == len(SPLIT.normal) + 400 - joined


def test_a_patient_who_is_learnt_from_does_not_calibrate() -> None:
    reviews = samples(Label.ABNORMAL, "c") + samples(Label.NORMAL, "d")
    for calibrate in (False, True):
        found = join(SPLIT, reviews, tiny_config(), calibrate=calibrate)
        learnt = {sample.patient_id for sample in (*found.normal, *found.anomaly)}
        assert "c" in learnt
        assert not learnt & {sample.patient_id for sample in found.calibration}


def test_the_settings_are_those_of_the_last_version(trained: Path) -> None:
    config = settings_of(read_manifest(trained), trained)
    assert config == tiny_config()


def test_networks_from_files_come_from_the_bundle(
    trained: Path, base: list[Sample], tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    shutil.copy(trained / "backbone.safetensors", file)
    out = tmp_path / "store" / "own" / "1"
    train(base, tiny_config(weights=str(file)), out, CPU)
    file.unlink()
    config = settings_of(read_manifest(out), out)
    assert config.weights_file == out / "backbone.safetensors"
    train(base, config, tmp_path / "again" / "1", CPU)
    assert folder_content(tmp_path / "again" / "1") == folder_content(out)


def test_a_method_without_anomaly_images_has_nothing_to_learn(trained: Path) -> None:
    manifest = read_manifest(trained)
    settings = TrainConfig(method="patchcore").model_dump(mode="json")
    training = manifest.training.model_copy(update={"config": settings})
    with pytest.raises(ConfigError, match="patchcore learns from no anomaly images"):
        settings_of(manifest.model_copy(update={"training": training}), trained)


# --- teaching -----------------------------------------------------------------------------------


def run(model: Path, base: list[Sample], reviewed: Path, report: Path, **options: Any) -> Taught:
    return teach(model, base, read_reviews(reviewed), report, CPU, **options)


def test_the_next_version_stands_beside_the_last(
    model: Path, base: list[Sample], reviewed: Path, tmp_path: Path
) -> None:
    before = folder_content(model / "1")
    done = run(model, base, reviewed, tmp_path / "report")
    assert done.path == model / "2"
    assert folder_content(model / "1") == before
    # Nothing is promoted: a service that starts now takes version 1.
    assert current_version(model) == "1"
    counts = {label: len(with_label(done.reviews.taught, label)) for label in Label}
    training = Bundle.load(model / "2", CPU).manifest.training
    split = draw_split(base, tiny_config())
    assert training.k == 3 + counts[Label.ABNORMAL]
    assert training.n_normal == len(split.normal) + counts[Label.NORMAL]
    assert training.n_calibration == len(split.calibration)
    assert training.config == read_manifest(model / "1").training.config
    assert training.metrics["kept_aside"] == 0.3
    card = (model / "2" / "MODEL_CARD.md").read_text()
    assert f"{counts[Label.ABNORMAL]} images that readers judged abnormal" in card
    assert done.same_data

    assert done.comparison is not None
    assert len(done.comparison.images) == len(done.reviews.kept_aside)
    document = json.loads((tmp_path / "report" / "comparison.json").read_text())
    assert document["new"]["identity"]["version"] == "2"
    assert "chest/1 and chest/2 compared" in (tmp_path / "report" / "comparison.html").read_text()
    # The comparison can be done again, and on subgroups.
    again = read_samples(tmp_path / "report" / "kept-aside.csv", "test")
    assert [one.path for one in again] == [one.path for one in done.reviews.kept_aside]
    assert {one.column for one in done.comparison.subgroups} == {"sex"}


def test_the_same_reviews_give_the_same_bundle(
    model: Path, base: list[Sample], reviewed: Path, tmp_path: Path
) -> None:
    run(model, base, reviewed, tmp_path / "report", fraction=0.3)
    shutil.move(model / "2", tmp_path / "first")
    run(model, base, reviewed, tmp_path / "report", fraction=0.3)
    assert folder_content(model / "2") == folder_content(tmp_path / "first")


def test_rounds_follow_each_other(
    model: Path, base: list[Sample], reviewed: Path, tmp_path: Path
) -> None:
    """The training data stay those of version 1; the export holds the former reviews, too."""
    everything = read_reviews(reviewed)
    first = teach(model, base, everything[:8] + everything[-20:], tmp_path / "a", CPU)
    second = teach(model, base, everything, tmp_path / "b", CPU, source="2")
    assert current_version(model) == "1"
    assert second.path.name == "3"
    assert second.same_data
    learnt = {sample.patient_id for sample in first.reviews.taught}
    assert not learnt & {sample.patient_id for sample in second.reviews.kept_aside}
    with pytest.raises(PatientOverlap, match=r"version 3 kept 0\.3"):
        teach(model, base, everything, tmp_path / "c", CPU, source="3", fraction=0.5)
    assert not (model / "4").exists()


def test_an_earlier_version_teaches_and_the_one_in_use_stays(
    model: Path, base: list[Sample], reviewed: Path, tmp_path: Path
) -> None:
    shutil.copytree(model / "1", model / "2")
    done = run(model, base, reviewed, tmp_path / "report", source="1", fraction=0.0)
    assert done.path.name == "3"
    # Without the file a service would take version 2, the latest.
    assert current_version(model) == "2"


def test_other_training_data_are_noticed(
    model: Path, base: list[Sample], reviewed: Path, tmp_path: Path
) -> None:
    done = run(model, base[1:], reviewed, tmp_path / "report", fraction=0.0)
    assert not done.same_data
    assert done.comparison is None
    assert not (tmp_path / "report").exists()


def test_versions_that_are_not_there_or_there_already(
    model: Path, base: list[Sample], reviewed: Path, tmp_path: Path
) -> None:
    reviews = read_reviews(reviewed)
    with pytest.raises(BundleNotFound, match="no bundle other"):
        teach(model.parent / "other", base, reviews, tmp_path, CPU)
    with pytest.raises(BundleNotFound):
        teach(model, base, reviews, tmp_path, CPU, source="7")
    with pytest.raises(BundleExists):
        teach(model, base, reviews, tmp_path, CPU, version="1")
    (model / "1").rename(model / "1.2.0")
    with pytest.raises(ConfigError, match="not whole numbers"):
        next_version(model)


# --- the command --------------------------------------------------------------------------------


def test_wscxr_teach(model: Path, phantoms: Path, reviewed: Path, tmp_path: Path) -> None:
    data = ("--normal", phantoms / "normal", "--abnormal", phantoms / "abnormal")
    store = ("--model-store", model.parent)
    ran = run_cli(
        *("teach", "chest", "--reviews", reviewed, *data, *store, "--report", tmp_path / "report")
    )
    assert ran.code == 0, ran.err
    assert "chest/1 -> chest/2" in ran.out
    assert "wscxr bundle promote chest/2" in ran.out
    assert "not those of any version" not in ran.err
    empty = write_reviews(tmp_path, [])
    failed = run_cli("teach", "chest", "--reviews", empty, *data, *store)
    one_line_error(failed, 3, "no_reviews")
    named = run_cli("teach", "chest/1", "--reviews", reviewed, *data, *store)
    one_line_error(named, 2, "invalid_config")
