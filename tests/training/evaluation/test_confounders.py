from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import convolve2d
from sklearn.metrics import roc_auc_score

from tests.helpers import noise
from training.evaluation.confounders import (
    MIN_PATIENTS,
    TrivialFeatures,
    check_confounders,
    trivial_features,
)
from training.evaluation.results import ConfounderCheck
from wscxr.imaging import Radiograph


def radiograph(pixels: np.ndarray) -> Radiograph:
    return Radiograph(pixels=pixels, format="PNG")


def test_features_by_hand() -> None:
    pixels = np.full((40, 60), 51, np.uint8)
    pixels[2:-2, 3:-3] = 102  # all but the outermost 5 % of each side
    inner, frame = 36 * 54, 40 * 60 - 36 * 54
    found = trivial_features(radiograph(pixels), 1234)
    assert (found.file_size, found.width, found.height) == (1234, 60, 40)
    mean = (0.4 * inner + 0.2 * frame) / (40 * 60)
    assert found.mean == pytest.approx(mean)
    variance = (inner * (0.4 - mean) ** 2 + frame * (0.2 - mean) ** 2) / (40 * 60)
    assert found.contrast == pytest.approx(np.sqrt(variance))
    assert found.border_brightness == pytest.approx(0.2)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    pixels = noise(30, 50)
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    expected = convolve2d(np.pad(pixels / 255, 1, "edge"), kernel, mode="valid").var()
    assert trivial_features(radiograph(pixels), 1).sharpness == pytest.approx(expected, rel=1e-5)
    ramp = np.tile(np.arange(0, 200, 4, dtype=np.uint8), (30, 1))
    assert trivial_features(radiograph(ramp), 1).sharpness < expected / 100


def test_a_depth_of_16_bits_gives_the_same_features() -> None:
    pixels = noise()
    deep = trivial_features(radiograph(pixels.astype(np.uint16) * 257), 7)
    shallow = trivial_features(radiograph(pixels), 7)
    assert vars(deep) == pytest.approx(vars(shallow), rel=1e-5)


@pytest.mark.parametrize("shape", [(2, 2), (2, 90), (9, 9)])
def test_small_images_have_a_frame_of_one_pixel(shape: tuple[int, int]) -> None:
    pixels = np.zeros(shape, np.uint8)
    pixels[[0, -1]] = pixels[:, [0, -1]] = 255
    assert trivial_features(radiograph(pixels), 1).border_brightness == (
        1 if shape != (2, 90) else pytest.approx(1)
    )


N = 60
ABNORMAL = np.arange(N) >= N // 2
RNG = np.random.default_rng(0)
NOISE = {name: RNG.normal(size=N) for name in ("mean", "contrast", "sharpness")}


def check(
    model_auroc: float = 0.9,
    abnormal: NDArray[np.bool_] = ABNORMAL,
    views: list[str | None] | None = None,
    groups: list[Any] | None = None,
    **features: Any,
) -> ConfounderCheck:
    """Features that tell nothing, but for those given."""
    n = len(abnormal)
    columns = {
        "file_size": np.full(n, 100),
        "border_brightness": np.full(n, 0.5),
        "width": np.full(n, 64),
        "height": np.full(n, 64),
    }
    columns |= {name: values[:n] for name, values in NOISE.items()} | features
    return check_confounders(
        [TrivialFeatures(**{key: columns[key][i] for key in columns}) for i in range(n)],
        views or [None] * n,
        abnormal,
        model_auroc,
        list(range(n)) if groups is None else groups,
    )


def by_name(found: ConfounderCheck) -> dict[str, float]:
    return {confounder.feature: confounder.auroc for confounder in found.features}


def test_every_feature_is_measured_in_its_better_direction() -> None:
    size = -1000.0 * ABNORMAL + RNG.normal(0, 700, N)
    found = check(file_size=size)
    expected = roc_auc_score(ABNORMAL, size)
    assert expected < 0.3
    aurocs = by_name(found)
    assert aurocs["file size"] == pytest.approx(1 - expected)
    assert aurocs["width"] == aurocs["height"] == aurocs["border brightness"] == 0.5
    assert aurocs.keys() == {
        "file size",
        "mean",
        "contrast",
        "border brightness",
        "sharpness",
        "width",
        "height",
    }
    assert found.features[0].feature == "file size"
    assert [f.auroc for f in found.features] == sorted(aurocs.values(), reverse=True)


def test_features_that_tell_only_together_are_found() -> None:
    shared = RNG.normal(0, 5, N)
    found = check(mean=shared + ABNORMAL, contrast=shared - ABNORMAL)
    assert max(by_name(found).values()) < 0.75
    assert found.together is not None
    assert found.together > 0.9
    [warning] = found.warnings
    assert "together" in warning


def test_no_patient_is_on_both_sides_of_a_fold() -> None:
    # Here a view tells the patient, and hence the label of the patient's other images.
    patient = np.arange(N) // 2
    views: list[str | None] = [f"view {number}" for number in patient]
    apart = check(views=views, groups=patient.tolist()).together
    mixed = check(views=views).together
    assert apart is not None
    assert mixed is not None
    assert apart < 0.7
    assert mixed > 0.9


def test_a_view_counts_where_it_is_known() -> None:
    assert "view" not in by_name(check())
    views: list[str | None] = ["PA"] * 30 + ["AP"] * 24 + ["PA"] * 3 + [None] * 3
    found = check(views=views)
    # Shares of abnormal images: PA 3/33, AP 1, unknown 1. Ties: 3 abnormal x 30 normal.
    assert by_name(found)["view"] == pytest.approx((27 * 30 + 3 * 30 / 2) / 900)
    assert found.together is not None
    assert found.together > 0.9


@pytest.mark.parametrize(("patients", "enough"), [(MIN_PATIENTS - 1, False), (MIN_PATIENTS, True)])
def test_together_needs_enough_patients(patients: int, enough: bool) -> None:
    groups = [*range(30), *[100 + i % patients for i in range(30)]]
    assert (check(groups=groups).together is not None) == enough


def test_few_images_are_measured_one_feature_at_a_time() -> None:
    found = check(abnormal=np.array([False, True]), mean=np.array([0.1, 0.2]))
    assert found.together is None
    assert by_name(found)["mean"] == 1


@pytest.mark.parametrize(
    ("model", "warned"), [(0.99, False), (0.89, False), (0.86, True), (0.7, True), (0.4, True)]
)
def test_a_feature_that_comes_near_the_model_is_warned_of(model: float, warned: bool) -> None:
    size = ABNORMAL.astype(int)
    size[:12] = 1  # two fifths of the normal images: AUROC 0.8, near 0.875 and less
    warnings = check(model, file_size=size).warnings
    alone = [warning for warning in warnings if "file size alone" in warning]
    assert len(alone) == warned
    if warned:
        assert "AUROC 0.800" in alone[0]
        assert f"the model {model:.3f}" in alone[0]


def test_beside_a_model_that_finds_nothing_only_what_tells_something_is_warned_of() -> None:
    assert by_name(check(0.5))["mean"] > 0.6
    flat = np.zeros(N)
    found = check(0.5, mean=flat, contrast=flat, sharpness=np.arange(N) % 7)
    assert max(by_name(found).values()) > 0.5
    assert found.warnings == ()
