"""Weeks compared with the calibration and with the first weeks, in both databases."""

from typing import Any
from uuid import UUID

import numpy as np
import pytest

from service.records.drift.report import DriftReport, DriftRow
from service.records.drift.weekly import drift_report
from service.records.record import Filter, NewReview, Order, Verdict
from service.records.store import Records
from tests.helpers import tiny_detector, tiny_manifest
from tests.service.records.drift.streams import CALIBRATION, SHA256, images, week_of
from wscxr.bundle.manifest import BundleManifest
from wscxr.bundle.reference import Reference
from wscxr.imaging.statistics import ImageStatistics

WEEKS = 6


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def manifest() -> BundleManifest:
    """A bundle with that calibration, and a reference of the same kind of images."""
    rng = np.random.default_rng(2)
    rows = list(images(0, 199, rng))
    statistics = [
        ImageStatistics(row["brightness"], row["contrast"], row["sharpness"]) for row in rows
    ]
    ood = np.array([row["ood_score"] for row in rows])
    reference = Reference.of(np.ones(199, dtype=np.bool_), ood, statistics)
    return tiny_manifest(tiny_detector()).model_copy(
        update={"calibration": CALIBRATION, "reference": reference}
    )


def report(records: Records, manifest: BundleManifest | None, weeks: int = WEEKS) -> DriftReport:
    observed, left_out = records.observed(week_of(weeks + 2))
    bundles = {} if manifest is None else {SHA256: manifest}
    return drift_report(observed, bundles, week_of(weeks - 1).date(), left_out=left_out)


def latest(found: DriftReport, **wanted: Any) -> DriftRow:
    rows = [
        row
        for row in found.rows
        if all(getattr(row, name) == value for name, value in wanted.items())
    ]
    return rows[-1]


def test_a_change_is_seen_where_it_is_and_nowhere_else(
    records: Records, manifest: BundleManifest, rng: np.random.Generator
) -> None:
    for ago in range(WEEKS - 1, -1, -1):
        records.add([*images(ago, 120, rng, manufacturer="ACME", device="A", source="pacs")])
        sharpness = 0.03 if ago == 0 else 0.02
        records.add([*images(ago, 120, rng, sharpness=sharpness, manufacturer="ACME", device="B")])
    found = report(records, manifest)
    assert len(found.rows) == 2 * WEEKS
    assert [row for row in found.rows if row.warnings] == [latest(found, device="B")]
    warned = latest(found, device="B")
    assert {(one.quantity, one.reference) for one in warned.comparisons if one.drifted} == {
        ("sharpness", "calibration"),
        ("sharpness", "first_weeks"),
    }
    text = warned.warnings[0].text
    assert text.startswith("Sharpness against the calibration of the model: higher")
    assert "`wscxr calibrate`" in text
    # The images to look at are the sharpest ones.
    items, _ = records.page(Filter(), Order.NEWEST, 120, None)
    newest = {item.id for item in items}
    assert set(warned.warnings[0].analyses) <= newest
    assert found.notes == []


def test_nobody_is_warned_of_what_is_as_it_was(
    records: Records, manifest: BundleManifest, rng: np.random.Generator
) -> None:
    for ago in range(WEEKS - 1, -1, -1):
        records.add([*images(ago, 150, rng)])
    found = report(records, manifest)
    assert [row.warnings for row in found.rows] == [[]] * WEEKS
    # Two weeks hold the first 200 images; from the third on both comparisons are made.
    assert [len(row.comparisons) for row in found.rows] == [5, 5, 10, 10, 10, 10]
    assert {row.abnormal_share for row in found.rows} <= {n / 150 for n in range(20)}


def test_without_a_reference_scores_alone_are_compared_with_the_calibration(
    records: Records, manifest: BundleManifest, rng: np.random.Generator
) -> None:
    for ago in range(2, -1, -1):
        records.add([*images(ago, 120, rng, sharpness=0.03)])
    without = manifest.model_copy(update={"reference": None})
    found = report(records, without)
    said = {(one.quantity, one.reference) for row in found.rows for one in row.comparisons}
    assert {quantity for quantity, kind in said if kind == "calibration"} == {"score"}
    assert len([1 for _, kind in said if kind == "first_weeks"]) == 5
    assert any("was written before" in note for note in found.notes)
    unknown = report(records, None)
    assert {one.reference for row in unknown.rows for one in row.comparisons} == {"first_weeks"}
    assert any("is not served here" in note for note in unknown.notes)


def test_weeks_of_few_images_are_joined(
    records: Records, manifest: BundleManifest, rng: np.random.Generator
) -> None:
    for ago in range(WEEKS - 1, -1, -1):
        records.add([*images(ago, 20, rng)])
    found = report(records, manifest)
    assert [(row.n, row.weeks) for row in found.rows] == [(20, 4), (20, 4), *[(20, 3)] * 4]
    assert [bool(row.comparisons) for row in found.rows] == [False, False, True, True, True, True]
    assert any("fewer than 200" in note for note in found.notes)


def test_pictures_of_one_patient_count_once(
    records: Records, manifest: BundleManifest, rng: np.random.Generator
) -> None:
    rows = list(images(0, 200, rng))
    for number, row in enumerate(rows):
        row["patient_hash"] = f"p{number % 60}"
    records.add(rows)
    [found] = report(records, manifest).rows
    assert (found.n, max(one.n for one in found.comparisons) <= 60) == (200, True)


def judge(records: Records, row: dict[str, Any], verdict: Verdict) -> None:
    review = NewReview(verdict=verdict, revision=0)
    records.review(UUID(row["id"]), review, "dr-a")


def test_false_alarms_have_an_exact_interval_and_a_warning(
    records: Records, manifest: BundleManifest, rng: np.random.Generator
) -> None:
    rows = [*images(0, 70, rng, decision="normal"), *images(0, 20, rng, decision="abnormal")]
    records.add(rows)
    for row in rows:
        judge(records, row, Verdict.NORMAL)
    [found] = report(records, manifest).rows
    alarms = found.false_alarms
    assert alarms is not None
    assert (alarms.alarms, alarms.n, alarms.fair) == (20, 90, True)
    assert alarms.promised == pytest.approx(0.05)
    assert (alarms.low, alarms.high) == pytest.approx((0.1413, 0.3221), abs=1e-4)
    [warned] = [one for one in found.warnings if one.text.startswith("False alarms: 20 of 90")]
    assert set(warned.analyses) <= {UUID(one["id"]) for one in rows[70:]}


def test_judging_alarms_alone_proves_nothing(
    records: Records, manifest: BundleManifest, rng: np.random.Generator
) -> None:
    rows = [*images(0, 70, rng, decision="normal"), *images(0, 20, rng, decision="abnormal")]
    records.add(rows)
    for one in rows[60:]:
        judge(records, one, Verdict.NORMAL)
    [found] = report(records, manifest).rows
    assert found.false_alarms is not None
    assert not found.false_alarms.fair
    assert not any("False alarms" in each.text for each in found.warnings)


def test_the_smallest_of_many_devices_are_left_out(
    records: Records, manifest: BundleManifest, rng: np.random.Generator
) -> None:
    for number in range(52):
        count = 1 if number < 2 else 2
        records.add([*images(0, count, rng, device=f"D{number}")])
    found = report(records, manifest)
    assert len(found.rows) == 50
    assert not {row.device for row in found.rows} & {"D0", "D1"}
    assert any(note.startswith("2 more devices") for note in found.notes)
