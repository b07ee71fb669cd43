import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.helpers import RecordingTrack, encode, noise, tiny_bundle
from training.data.annotations import read_boxes, read_masks
from training.data.images import BATCH, open_radiograph
from training.data.samples import Label, Sample, load_samples, patient_groups
from training.evaluation.confounders import trivial_features
from training.evaluation.evaluate import evaluate
from training.evaluation.localisation import localise
from training.evaluation.report import write_report
from training.evaluation.results import Evaluation
from training.evaluation.terminal import show
from wscxr.bundle.bundle import Bundle
from wscxr.errors import DataError, NotEnoughImages
from wscxr.imaging import read_radiograph
from wscxr.model.calibration import Decision
from wscxr.prediction import Prediction


@pytest.fixture(scope="module")
def samples(unseen: Path) -> list[Sample]:
    return load_samples(unseen / "normal", unseen / "abnormal", None, split="test")


@pytest.fixture(scope="module")
def found(trained_bundle: Bundle, samples: list[Sample], unseen: Path) -> Evaluation:
    return evaluate(trained_bundle, samples, annotations=read_masks(unseen / "masks"))


def predict(bundle: Bundle, samples: Sequence[Sample]) -> list[Prediction]:
    return [bundle.predict([read_radiograph(s.path.read_bytes())])[0] for s in samples]


def test_every_image_is_scored_as_the_bundle_predicts(
    trained_bundle: Bundle, samples: list[Sample], found: Evaluation
) -> None:
    assert len(samples) > BATCH
    assert [image.path for image in found.images] == [str(sample.path) for sample in samples]
    for image, sample, one in zip(
        found.images, samples, predict(trained_bundle, samples), strict=True
    ):
        assert image.label is sample.label
        assert image.score == pytest.approx(one.score, abs=1e-5)
        assert (image.p_value, image.decision) == (one.p_value, one.decision)
        assert image.ood_score == pytest.approx(one.ood_score, abs=1e-4)


def test_image_level_metrics_are_those_of_the_predictions(
    trained_bundle: Bundle, samples: list[Sample], found: Evaluation
) -> None:
    predictions = predict(trained_bundle, samples)
    labels = np.array([sample.label is Label.ABNORMAL for sample in samples])
    scores = [prediction.score for prediction in predictions]
    called = np.array([prediction.decision is Decision.ABNORMAL for prediction in predictions])
    metrics = found.image_level
    assert (metrics.n_normal, metrics.n_abnormal) == (5, 4)
    assert metrics.auroc.value == pytest.approx(roc_auc_score(labels, scores))
    expected = average_precision_score(labels, scores)
    assert metrics.average_precision.value == pytest.approx(expected)
    assert metrics.auroc.low < metrics.auroc.high
    point = metrics.at_bundle_threshold
    assert point.threshold == trained_bundle.manifest.calibration.threshold
    assert point.accuracy == pytest.approx(np.mean(labels == called))
    assert found.calibration.false_alarm_rate.value == pytest.approx(called[~labels].mean())
    by_p_value = np.mean([p.p_value <= 0.5 for p in np.array(predictions)[~labels]])
    assert found.calibration.achieved[9] == pytest.approx(by_p_value)


def test_the_share_unlike_the_training_images_is_told_for_both_classes(
    trained_bundle: Bundle, samples: list[Sample], tmp_path: Path
) -> None:
    (tmp_path / "noise.png").write_bytes(encode(noise(64, 64)))
    strange = Sample(tmp_path / "noise.png", Label.ABNORMAL)
    normal = [sample for sample in samples if sample.label is Label.NORMAL]
    [abnormal, *_] = [sample for sample in samples if sample.label is Label.ABNORMAL]
    found = evaluate(trained_bundle, [*normal, strange, abnormal])
    flagged = [image.ood_score is not None and image.ood_score > 1 for image in found.images]
    assert flagged[len(normal)]
    assert found.out_of_distribution is not None
    assert found.out_of_distribution.normal == np.mean(flagged[: len(normal)])
    assert found.out_of_distribution.abnormal == np.mean(flagged[len(normal) :])


def test_a_bundle_without_ood_scorer_is_evaluated_and_reported(
    trained_bundle: Bundle, samples: list[Sample], tmp_path: Path
) -> None:
    manifest = trained_bundle.manifest.model_copy(update={"ood": None})
    bundle = tiny_bundle(manifest, trained_bundle.detector, None)
    found = evaluate(bundle, samples)
    assert found.out_of_distribution is None
    assert {image.ood_score for image in found.images} == {None}
    printed = io.StringIO()
    show(found, Console(file=printed, width=200))
    assert "AUROC" in printed.getvalue()
    assert "OOD score" not in printed.getvalue()
    write_report(tmp_path / "report.html", found, bundle, gallery=False)
    assert "Unlike the training images" not in (tmp_path / "report.html").read_text()


def test_trivial_features_are_those_of_the_files(samples: list[Sample], found: Evaluation) -> None:
    labels = [sample.label is Label.ABNORMAL for sample in samples]
    aurocs = {confounder.feature: confounder.auroc for confounder in found.confounders.features}
    sizes = [sample.path.stat().st_size for sample in samples]
    sharpness = [
        trivial_features(read_radiograph(sample.path.read_bytes()), 1).sharpness
        for sample in samples
    ]
    for name, values in (("file size", sizes), ("sharpness", sharpness)):
        auroc = roc_auc_score(labels, values)
        assert aurocs[name] == pytest.approx(max(auroc, 1 - auroc))
    assert "view" not in aurocs
    assert found.confounders.together is None


def test_views_are_checked_where_they_are_known(
    trained_bundle: Bundle, samples: list[Sample]
) -> None:
    views: dict[Label | None, str] = {Label.NORMAL: "PA", Label.ABNORMAL: "AP"}
    seen = [replace(sample, view=views[sample.label]) for sample in samples]
    first = evaluate(trained_bundle, seen).confounders.features[0]
    assert (first.feature, first.auroc) == ("view", 1)


def test_lesions_are_looked_for_in_the_maps_of_their_images(
    trained_bundle: Bundle, samples: list[Sample], unseen: Path, found: Evaluation
) -> None:
    masks = read_masks(unseen / "masks")
    abnormal = [sample for sample in samples if sample.label is Label.ABNORMAL]
    maps = [prediction.anomaly_map for prediction in predict(trained_bundle, abnormal)]
    lesions = [masks.lesions(sample.path) for sample in abnormal]
    expected = localise(maps, lesions)
    assert found.localisation is not None
    assert found.localisation.n_images == 4
    assert found.localisation.model.model_dump() == pytest.approx(
        expected.model.model_dump(), abs=1e-5
    )
    assert found.localisation.location_prior == expected.location_prior

    # In another order each image keeps its own lesions.
    mixed = [samples[i] for i in (8, 0, 5, 1, 7, 2, 3, 6, 4)]
    again = evaluate(trained_bundle, mixed, annotations=masks).localisation
    assert again is not None
    assert again.model.model_dump() == pytest.approx(expected.model.model_dump(), abs=1e-5)


def test_only_annotated_abnormal_images_are_localised_on(
    trained_bundle: Bundle, samples: list[Sample], tmp_path: Path
) -> None:
    file = tmp_path / "boxes.csv"
    lines = [f"{samples[i].path},{x},10,20,20" for i, x in ((0, 5), (6, 10), (6, 40), (8, 30))]
    file.write_text("file,x,y,w,h\n" + "\n".join(lines))
    found = evaluate(trained_bundle, samples, annotations=read_boxes(file)).localisation
    assert found is not None
    assert (found.n_images, found.n_lesions) == (2, 3)

    file.write_text("file,x,y,w,h\n" + lines[0])
    with pytest.raises(NotEnoughImages, match="none of the abnormal images"):
        evaluate(trained_bundle, samples, annotations=read_boxes(file))


def test_without_annotations_nothing_is_localised(
    trained_bundle: Bundle, samples: list[Sample], found: Evaluation
) -> None:
    alone = evaluate(trained_bundle, samples)
    assert alone == found.model_copy(update={"localisation": None})


def test_the_bundle_is_named(trained_bundle: Bundle, found: Evaluation) -> None:
    manifest = trained_bundle.manifest
    assert found.bundle.sha256 == manifest.sha256
    assert found.bundle.method == "wscxr"
    assert found.bundle.backbone == "resnet18 layer1"
    assert found.bundle.warnings == tuple(manifest.warnings)
    assert "RANDOM BACKBONE" in found.bundle.warnings[0]
    assert found.bundle.training == manifest.training


def test_it_survives_json(found: Evaluation) -> None:
    document = found.model_dump_json()
    assert Evaluation.model_validate_json(document) == found
    json.loads(document, parse_constant=pytest.fail)  # neither NaN nor Infinity


def test_the_document_has_the_headline_numbers_flat(found: Evaluation) -> None:
    document = json.loads(found.document())
    assert document["auroc"] == found.image_level.auroc.value
    assert document["threshold"] == found.image_level.at_bundle_threshold.threshold
    assert document["accuracy"] == found.image_level.at_bundle_threshold.accuracy
    assert document["n_abnormal"] == found.image_level.n_abnormal
    assert document.items() >= json.loads(found.model_dump_json()).items()


def test_each_file_is_read_once_and_told_of(
    trained_bundle: Bundle, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def spy(path: Path) -> object:
        read.append(path)
        return open_radiograph(path)

    monkeypatch.setattr("training.evaluation.evaluate.open_radiograph", spy)
    track = RecordingTrack()
    evaluate(trained_bundle, samples, track=track)
    assert sorted(read) == sorted(sample.path for sample in samples)
    assert track.seen == track.totals == {"reading images": 9}


def test_the_order_of_the_images_does_not_matter(
    trained_bundle: Bundle, samples: list[Sample], found: Evaluation
) -> None:
    back = evaluate(trained_bundle, samples[::-1])
    one, other = (e.image_level.model_dump_json() for e in (back, found))
    assert json.loads(one)["auroc"] == pytest.approx(json.loads(other)["auroc"], abs=1e-9)
    assert back.calibration == found.calibration
    for image, same in zip(back.images[::-1], found.images, strict=True):
        assert (image.path, image.decision) == (same.path, same.decision)
        assert image.score == pytest.approx(same.score, abs=1e-5)


def test_patients_are_the_units_of_the_intervals(
    trained_bundle: Bundle, samples: list[Sample], found: Evaluation
) -> None:
    related = [replace(sample, patient_id=str(i // 3)) for i, sample in enumerate(samples)]
    assert len(set(patient_groups(related))) == 3
    auroc = evaluate(trained_bundle, related).image_level.auroc
    assert auroc.value == found.image_level.auroc.value
    assert auroc != found.image_level.auroc


def test_one_class_is_not_enough_and_no_file_is_read_for_it(
    trained_bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(NotEnoughImages, match="1 normal and 0 abnormal"):
        evaluate(trained_bundle, [Sample(tmp_path / "none.png", Label.NORMAL)])


def test_an_unreadable_image_is_named(
    trained_bundle: Bundle, samples: list[Sample], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"none\.png"):
        evaluate(trained_bundle, [*samples, Sample(tmp_path / "none.png", Label.NORMAL)])
