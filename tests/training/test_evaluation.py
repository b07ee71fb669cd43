from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.helpers import RecordingTrack
from training.evaluation import evaluate, image_metrics
from training.samples import Label, Sample, load_samples
from wscxr.bundle import Bundle
from wscxr.calibration import Decision
from wscxr.errors import DataError, NotEnoughImages
from wscxr.imaging import read_radiograph

KEYS = [
    "auroc",
    "average_precision",
    "accuracy",
    "f1",
    "sensitivity",
    "specificity",
    "threshold",
    "n_normal",
    "n_abnormal",
]


def metrics(normal: list[float], abnormal: list[float], threshold: float) -> dict[str, float]:
    labels = np.array([False] * len(normal) + [True] * len(abnormal))
    return image_metrics(labels, np.array(normal + abnormal), threshold).model_dump()


def test_metrics_by_hand() -> None:
    found = metrics([0.1, 0.2, 0.6, 0.9], [0.3, 0.7, 0.8], 0.5)
    # Called abnormal: 0.6, 0.9 (wrongly), 0.7, 0.8.
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["specificity"] == pytest.approx(2 / 4)
    assert found["accuracy"] == pytest.approx(4 / 7)
    assert found["f1"] == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    # Pairs won by the abnormal image: 2 + 3 + 3 of 12.
    assert found["auroc"] == pytest.approx(8 / 12)
    # Precision at each abnormal image, from the top: 1/2, 2/3, 3/5.
    assert found["average_precision"] == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 3)
    assert (found["threshold"], found["n_normal"], found["n_abnormal"]) == (0.5, 4, 3)
    assert list(found) == KEYS


def test_a_score_at_the_threshold_is_normal() -> None:
    found = metrics([0.5], [0.5], 0.5)
    assert (found["sensitivity"], found["specificity"]) == (0.0, 1.0)
    assert found["auroc"] == 0.5


@pytest.mark.parametrize(
    ("threshold", "sensitivity", "specificity", "f1"), [(9.0, 0, 1, 0), (-9.0, 1, 0, 0.8)]
)
def test_thresholds_off_the_scale(
    threshold: float, sensitivity: float, specificity: float, f1: float
) -> None:
    found = metrics([0.0], [1.0, 2.0], threshold)
    assert found["sensitivity"] == sensitivity
    assert found["specificity"] == specificity
    assert found["f1"] == pytest.approx(f1)
    assert found["auroc"] == 1.0


VALUES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=15)


@settings(deadline=None)
@given(normal=VALUES, abnormal=VALUES, threshold=st.integers(-4, 4).map(float))
def test_metrics_agree_with_counting(
    normal: list[float], abnormal: list[float], threshold: float
) -> None:
    found = metrics(normal, abnormal, threshold)
    hits = sum(score > threshold for score in abnormal)
    false = sum(score > threshold for score in normal)
    pairs = [(a > n) + 0.5 * (a == n) for a in abnormal for n in normal]
    assert found["auroc"] == pytest.approx(sum(pairs) / len(pairs))
    assert found["sensitivity"] == pytest.approx(hits / len(abnormal))
    assert found["specificity"] == pytest.approx(1 - false / len(normal))
    correct = hits + len(normal) - false
    assert found["accuracy"] == pytest.approx(correct / (len(normal) + len(abnormal)))
    expected = 2 * hits / (hits + false + len(abnormal)) if hits else 0.0
    assert found["f1"] == pytest.approx(expected)


@pytest.mark.parametrize(("normal", "abnormal"), [([], [1.0]), ([1.0], []), ([], [])])
def test_both_classes_are_needed(normal: list[float], abnormal: list[float]) -> None:
    with pytest.raises(NotEnoughImages, match=f"{len(normal)} normal and {len(abnormal)} abnormal"):
        metrics(normal, abnormal, 0.5)


def test_a_bundle_is_measured_as_it_predicts(trained_bundle: Bundle, unseen: Path) -> None:
    samples = load_samples(unseen / "normal", unseen / "abnormal", None, split="test")
    track = RecordingTrack()
    found = evaluate(trained_bundle, samples, track)
    assert track.seen == {"reading images": 9}
    predictions = [
        trained_bundle.predict([read_radiograph(s.path.read_bytes())])[0] for s in samples
    ]
    labels = [sample.label is Label.ABNORMAL for sample in samples]
    scores = [prediction.score for prediction in predictions]
    called = [prediction.decision is Decision.ABNORMAL for prediction in predictions]
    assert found.auroc == pytest.approx(roc_auc_score(labels, scores))
    assert found.average_precision == pytest.approx(average_precision_score(labels, scores))
    assert found.accuracy == pytest.approx(np.mean(np.equal(labels, called)))
    assert found.threshold == trained_bundle.manifest.calibration.threshold
    assert (found.n_normal, found.n_abnormal) == (5, 4)


def test_the_order_of_the_images_does_not_matter(trained_bundle: Bundle, unseen: Path) -> None:
    samples = load_samples(unseen / "normal", unseen / "abnormal", None, split="test")
    assert evaluate(trained_bundle, samples[::-1]) == evaluate(trained_bundle, samples)


def test_one_class_is_not_enough(trained_bundle: Bundle, unseen: Path) -> None:
    samples = load_samples(unseen / "normal", unseen / "abnormal", None, split="test")
    with pytest.raises(NotEnoughImages):
        evaluate(trained_bundle, samples[:5])


def test_an_unreadable_image_is_named(trained_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png"):
        evaluate(trained_bundle, [Sample(tmp_path / "none.png", Label.NORMAL)])
