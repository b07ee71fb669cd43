import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from tests.helpers import CPU, one_line_error, run_cli, tiny_config
from training.data.samples import Label, Sample, load_samples, read_samples
from training.evaluation.bootstrap import estimate_difference
from training.evaluation.comparison.compare import compare
from training.evaluation.comparison.criteria import criteria
from training.evaluation.comparison.page import render_comparison
from training.evaluation.comparison.results import AreaDifference, BundleComparison, Group
from training.evaluation.results import Estimate
from training.train import train
from wscxr.bundle.bundle import Bundle
from wscxr.errors import ConfigError, NotEnoughImages

# --- the paired difference of AUROCs ------------------------------------------------------------


def delong(
    abnormal: NDArray[np.bool_], old: NDArray[np.float64], new: NDArray[np.float64]
) -> tuple[float, float]:
    """Standard deviation of the difference, and p-value, by DeLong, DeLong and Clarke-Pearson."""
    places = []
    for scores in (old, new):
        above = scores[abnormal][:, None] - scores[~abnormal][None]
        order = (above > 0) + (above == 0) / 2
        places.append((order.mean(axis=1), order.mean(axis=0)))
    differences = [places[1][side] - places[0][side] for side in (0, 1)]
    deviation = np.sqrt(sum(part.var(ddof=1) / len(part) for part in differences))
    value = roc_auc_score(abnormal, new) - roc_auc_score(abnormal, old)
    return float(deviation), float(2 * norm.sf(abs(value) / deviation))


@pytest.mark.parametrize("seed", range(4))
def test_the_paired_bootstrap_agrees_with_delong(seed: int) -> None:
    rng = np.random.default_rng(seed)
    abnormal = rng.random(240) < 0.4
    shared = rng.normal(size=240) + 1.2 * abnormal
    old, new = shared + rng.normal(size=240), shared + rng.normal(size=240) + 0.1 * abnormal
    found = estimate_difference(abnormal, old, new)
    deviation, p_value = delong(abnormal, old, new)
    assert found.difference.value == pytest.approx(
        roc_auc_score(abnormal, new) - roc_auc_score(abnormal, old)
    )
    half = (found.difference.high - found.difference.low) / 2
    assert half == pytest.approx(1.96 * deviation, rel=0.12)
    assert found.p_value == pytest.approx(p_value, abs=0.06)


def test_images_of_one_patient_are_worth_less_than_they_count() -> None:
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(40), 5)
    abnormal = patient >= 20
    own = rng.normal(size=(2, 40))[:, patient] + abnormal
    by_image = estimate_difference(abnormal, own[0], own[1])
    by_patient = estimate_difference(abnormal, own[0], own[1], groups=patient.tolist())
    widths = [one.difference.high - one.difference.low for one in (by_image, by_patient)]
    assert widths[1] > 1.6 * widths[0]


def test_the_order_of_the_images_has_no_influence() -> None:
    rng = np.random.default_rng(1)
    abnormal = rng.random(60) < 0.5
    old, new = rng.normal(size=(2, 60)) + abnormal
    patients = rng.integers(0, 30, 60)
    order = rng.permutation(60)
    one = estimate_difference(abnormal, old, new, groups=patients.tolist())
    other = estimate_difference(
        abnormal[order], old[order], new[order], groups=patients[order].tolist()
    )
    assert one == other


def test_two_perfect_separations_are_not_known_to_be_equal() -> None:
    abnormal = np.arange(20) >= 10
    one = np.arange(20.0)
    other = np.where(abnormal, 40 - one, one)
    found = estimate_difference(abnormal, one, other).difference
    # Of ten disjoint pairs all are in order.
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert (found.value, found.low) == (0, -found.high)
    same = estimate_difference(abnormal, one, 3 * one).difference
    assert (same.low, same.high) == (0, 0)


def test_a_single_abnormal_patient_says_nothing() -> None:
    abnormal = np.array([True, False, False, False])
    found = estimate_difference(abnormal, np.array([1.0, 0, 2, 3]), np.array([4.0, 0, 2, 3]))
    assert (found.difference.low, found.difference.high, found.p_value) == (-1, 1, 1)


# --- two bundles --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def newer(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As version 2 of `trained`: one anomaly image more, and another seed."""
    out = tmp_path_factory.mktemp("newer_store") / "compared" / "2"
    samples = load_samples(phantoms / "normal", phantoms / "abnormal", None, split="train")
    train(samples, tiny_config(k=4, seed=3, false_alarm_rate=0.4), out, CPU)
    return out


@pytest.fixture(scope="module")
def manifest(unseen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unseen phantoms as a manifest with columns of its own."""
    file = tmp_path_factory.mktemp("compared") / "test.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "patient_id", "sex", "analysis_id"])
        for label in ("normal", "abnormal"):
            for number, path in enumerate(sorted((unseen / label).iterdir())):
                writer.writerow([path, label, f"{label}{number}", "FM"[number % 2], number])
    return file


@pytest.fixture(scope="module")
def bundles(trained: Path, newer: Path) -> tuple[Bundle, Bundle]:
    return Bundle.load(trained, CPU), Bundle.load(newer, CPU)


@pytest.fixture(scope="module")
def found(bundles: tuple[Bundle, Bundle], manifest: Path) -> BundleComparison:
    return compare(*bundles, read_samples(manifest, "test"))


def test_every_number_follows_from_the_images(found: BundleComparison) -> None:
    assert len(found.images) == 9
    abnormal = np.array([image.label is Label.ABNORMAL for image in found.images])
    areas = found.overall.auroc
    assert areas is not None
    old, new = (
        roc_auc_score(abnormal, [getattr(image, name) for image in found.images])
        for name in ("old_score", "new_score")
    )
    assert (areas.old.value, areas.new.value) == pytest.approx((old, new))
    assert areas.difference.value == pytest.approx(new - old)
    for label, changes in (("abnormal", found.overall.abnormal), ("normal", found.overall.normal)):
        own = [image for image in found.images if image.label == label]
        assert changes is not None
        assert changes.n == len(own)
        up = [one for one in own if (one.old_decision, one.new_decision) == ("normal", "abnormal")]
        down = [one for one in own if one.changed and one not in up]
        assert (changes.to_abnormal, changes.to_normal) == (len(up), len(down))
        share = sum(one.new_decision == "abnormal" for one in own) / len(own)
        assert changes.abnormal.new.value == share
    # A rate of 0.4 was asked for: some decision on these images must change.
    assert any(image.changed for image in found.images)


def test_subgroups_are_the_known_columns_of_the_manifest(found: BundleComparison) -> None:
    assert [(one.column, one.value) for one in found.subgroups] == [("sex", "F"), ("sex", "M")]
    assert sum(one.n_patients for one in found.subgroups) == found.overall.n_patients == 9


def test_any_column_can_be_asked_for(bundles: tuple[Bundle, Bundle], manifest: Path) -> None:
    samples = read_samples(manifest, "test")
    by_id = compare(*bundles, samples, subgroups=["analysis_id"])
    assert [one.value for one in by_id.subgroups] == ["0", "1", "2", "3", "4"]
    last = by_id.subgroups[-1]  # only normal images have this value
    assert (last.auroc, last.abnormal) == (None, None)
    with pytest.raises(ConfigError, match="no column colour"):
        compare(*bundles, samples, subgroups=["colour"])


def test_what_changed_is_listed_and_what_did_not_is_not(found: BundleComparison) -> None:
    changes = {change.what: (change.old, change.new) for change in found.changes}
    assert changes["anomaly images (K)"] == ("3", "4")
    assert changes["setting seed"] == ("0", "3")
    assert changes["setting false_alarm_rate"] == ("0.05", "0.4")
    assert "training data SHA-256" in changes
    assert not {"setting method.steps", "version of torch", "setting backbone"} & changes.keys()


def test_a_bundle_is_not_compared_with_itself(
    bundles: tuple[Bundle, Bundle], manifest: Path
) -> None:
    with pytest.raises(ConfigError, match="same bundle"):
        compare(bundles[0], bundles[0], read_samples(manifest, "test"))


def test_both_classes_are_needed(bundles: tuple[Bundle, Bundle], manifest: Path) -> None:
    normal = [one for one in read_samples(manifest, "test") if one.label is Label.NORMAL]
    with pytest.raises(NotEnoughImages, match="needs both classes"):
        compare(*bundles, normal)


# --- criteria -----------------------------------------------------------------------------------


def group(low: float, p_value: float = 0.5, value: float = 0.0) -> Group:
    same = Estimate(value=0.9, low=0.8, high=0.95)
    difference = Estimate(value=value, low=low, high=0.1)
    areas = AreaDifference(old=same, new=same, difference=difference, p_value=p_value)
    return Group(column="sex", value="F", n_patients=9, auroc=areas, abnormal=None, normal=None)


def met(
    found: BundleComparison, *groups: Group, low: float = 0.0, margin: float = 0.02
) -> list[bool]:
    judged = criteria(group(low), groups, found.calibration, 5, margin)
    return [one.met for one in judged]


def test_the_auroc_may_be_lower_by_the_margin(found: BundleComparison) -> None:
    assert met(found, low=-0.019)[0]
    assert not met(found, low=-0.021)[0]
    assert met(found, low=-0.021, margin=0.03)[0]


def test_false_alarms_must_be_explained_by_chance(found: BundleComparison) -> None:
    check = found.calibration.new.model_copy(
        update={
            "promised_false_alarm_rate": 0.05,
            "false_alarm_rate": Estimate(value=1.0, low=0.5, high=1.0),
            "n": 99,
        }
    )
    calibration = found.calibration.model_copy(update={"new": check})
    assert not criteria(group(0.0), (), calibration, 5, 0.02)[1].met


def test_one_subgroup_of_many_may_be_worse_by_chance(found: BundleComparison) -> None:
    worse = group(-0.3, p_value=0.02, value=-0.2)
    assert not met(found, worse)[2]
    assert met(found, worse, group(0.0), group(0.0))[2]
    better = group(-0.3, p_value=1e-6, value=0.2)
    assert met(found, better)[2]


# --- report -------------------------------------------------------------------------------------


def test_the_report_shows_every_image_whose_decision_changes(
    found: BundleComparison, bundles: tuple[Bundle, Bundle]
) -> None:
    html = render_comparison(found, *bundles)
    changed = sum(image.changed for image in found.images)
    assert html.count("data:image/jpeg") == 3 * changed
    assert "This file holds images of patients" in html
    without = render_comparison(found, *bundles, gallery=False)
    assert "data:image/jpeg" not in without
    assert render_comparison(found, *bundles) == html
    for page in (html, without):
        assert "<script" not in page
        assert re.search(r'(src|href)="(?!data:|#)', page) is None
        for heading in ("1. What changed", "2. How it was tested", "3. What the change means"):
            assert heading in page


def test_what_others_wrote_is_shown_as_text(
    bundles: tuple[Bundle, Bundle], manifest: Path, unseen: Path, tmp_path: Path
) -> None:
    evil = tmp_path / "<script>alert(1)<_script>.png"
    shutil.copy(next((unseen / "normal").iterdir()), evil)
    samples: list[Sample] = [
        replace(one, facts={"sex": "<img src=x>"}) for one in read_samples(manifest, "test")
    ]
    samples.append(Sample(evil, Label.NORMAL, facts={"sex": "F"}))
    html = render_comparison(compare(*bundles, samples), *bundles)
    assert "<script" not in html
    assert "<img src=x>" not in html


def test_a_comparison_of_other_bundles_is_refused(
    found: BundleComparison, bundles: tuple[Bundle, Bundle]
) -> None:
    with pytest.raises(ConfigError, match="other bundles"):
        render_comparison(found, *reversed(bundles))


# --- the command --------------------------------------------------------------------------------


def test_bundle_compare(trained: Path, newer: Path, manifest: Path, tmp_path: Path) -> None:
    arguments: list[Any] = ["bundle", "compare", trained, newer, "--manifest", manifest]
    ran = run_cli(*arguments, "--out", tmp_path / "report", "--no-gallery")
    assert ran.code == 0, ran.err
    assert "chest/1 -> compared/2, 9 images of 9 patients" in ran.out
    document = json.loads((tmp_path / "report" / "comparison.json").read_text())
    assert BundleComparison.model_validate(document).overall.n_patients == 9
    assert (tmp_path / "report" / "comparison.html").stat().st_size < 400_000
    same = run_cli("bundle", "compare", trained, trained, "--manifest", manifest)
    assert "same bundle" in one_line_error(same, 2, "invalid_config")
