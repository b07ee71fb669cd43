"""Every week of every stream against its references, with limits for how many images there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.records.drift import statistics
from service.records.drift.advice import alarms_warning, device_name, drift_warning
from service.records.drift.observed import Images, Observed, Stream, monday
from service.records.drift.report import (
    QUANTITIES,
    DriftComparison,
    DriftReport,
    DriftRow,
    FalseAlarms,
    Quantity,
    ReferenceKind,
)
from service.records.store import Records
from wscxr.bundle.manifest import BundleManifest
from wscxr.bundle.store import read_manifests

CHANCE = 0.001
"""Of any warning about a model in a week in which nothing has changed, over all its rows."""

LEAST_IMAGES = 50
"""A week with fewer is compared together with the weeks before it ..."""

JOINED_WEEKS = 4
"""... up to so many weeks. Judged normals, of which there are few, are counted over so many."""

BASELINE = 200
"""Images that the first weeks must hold."""

_LEAST_COMPARED = 20
_FAIR = 0.8
_SHOWN = 5


class _Test(NamedTuple):
    quantity: Quantity
    kind: ReferenceKind
    images: Images
    reference: NDArray[np.float64]

    @property
    def sample(self) -> NDArray[np.float64]:
        return self.images.values[self.quantity]


@dataclass(frozen=True, eq=False)
class _Week:
    stream: Stream
    week: np.datetime64
    window: Images
    weeks: int
    images: Images
    judged: Images
    tests: list[_Test] = field(default_factory=list)


def look_for_drift(records: Records, store: Path, weeks: int) -> DriftReport:
    """Compare the latest weeks of a record, this one among them.

    Parameters
    ----------
    records
        The record; errors as for all its methods.
    store
        Model store with the bundles that gave the answers.
    weeks
        How many weeks to report, at least 1.
    """
    since = monday(datetime.now(UTC)) - timedelta(weeks=weeks - 1)
    # The first of these weeks may need those before it.
    start = since - timedelta(weeks=JOINED_WEEKS - 1)
    observed, left_out = records.observed(datetime.combine(start, time(), UTC))
    return drift_report(observed, read_manifests(store), since, left_out=left_out)


def drift_report(
    observed: Sequence[Observed],
    bundles: Mapping[str, BundleManifest],
    since: date,
    *,
    left_out: int = 0,
) -> DriftReport:
    """Compare the weeks of all streams.

    Parameters
    ----------
    observed
        From `service.records.drift.observed.read_streams`, with the `JOINED_WEEKS` - 1 weeks before
        `since`.
    bundles
        Manifests of the bundles that are known, by their sha256.
    since
        Monday of the first week to report.
    left_out
        Streams that were not read.
    """
    notes = [f"{left_out} more devices have too few images to be shown."] if left_out else []
    weeks: list[_Week] = []
    for one in observed:
        weeks += _weeks(one, bundles.get(one.stream.model.sha256), np.datetime64(since))
    notes += _notes(observed, bundles)
    tests: dict[tuple[str, np.datetime64], int] = {}
    for week in weeks:
        key = week.stream.model.sha256, week.week
        # Two measures of each quantity, and the false alarms.
        tests[key] = tests.get(key, 0) + 2 * len(week.tests) + 1
    rows = [
        _row(
            week,
            bundles.get(week.stream.model.sha256),
            CHANCE / tests[week.stream.model.sha256, week.week],
        )
        for week in weeks
    ]
    return DriftReport(rows=sorted(rows, key=lambda row: row.week), notes=notes)


def _notes(observed: Sequence[Observed], bundles: Mapping[str, BundleManifest]) -> list[str]:
    notes = []
    for model in dict.fromkeys(one.stream.model for one in observed):
        manifest = bundles.get(model.sha256)
        name = f"{model.name} {model.version}"
        if manifest is None:
            notes.append(
                f"{name} is not served here, so its calibration is not known: its images are "
                "compared with the first weeks here alone."
            )
        elif manifest.reference is None:
            notes.append(
                f"{name} was written before bundles held a reference of OOD scores and image "
                "statistics: scores are compared with its calibration, all else with the first "
                "weeks here alone. `wscxr calibrate` adds the reference."
            )
    for one in observed:
        if _baseline(one.first) is None:
            model, source, *device = one.stream
            notes.append(
                f"{model.name} {model.version}, {source}, {device_name(*device)}: fewer than "
                f"{BASELINE} images so far, so there are no first weeks to compare with."
            )
    return notes


def _weeks(
    observed: Observed, manifest: BundleManifest | None, since: np.datetime64
) -> list[_Week]:
    recent = observed.recent
    baseline = _baseline(observed.first)
    found = []
    for week in np.unique(recent.weeks[recent.weeks >= since]):
        window, weeks = _window(recent, week)
        judged = recent[(recent.weeks <= week) & (recent.weeks > _before(week, JOINED_WEEKS))]
        of_week = recent[recent.weeks == week]
        one = _Week(observed.stream, week, window, weeks, of_week, judged)
        if len(window) >= LEAST_IMAGES:
            if manifest is not None:
                one.tests.extend(_against_calibration(window, manifest))
            if baseline is not None and window.weeks.min() > baseline.weeks.max():
                one.tests.extend(_against_first_weeks(window, baseline))
        found.append(one)
    return found


def _window(images: Images, week: np.datetime64) -> tuple[Images, int]:
    """The images of a week, with those of the weeks before it where it has few."""
    for weeks in range(1, JOINED_WEEKS + 1):
        chosen = (images.weeks <= week) & (images.weeks > _before(week, weeks))
        window = images[chosen].one_a_patient()
        if len(window) >= LEAST_IMAGES:
            break
    return window, weeks


def _before(week: np.datetime64, weeks: int) -> np.datetime64:
    return week - np.timedelta64(7 * weeks, "D")


def _baseline(first: Images) -> Images | None:
    """The first whole weeks that hold `BASELINE` images; None where there are not as many yet."""
    single = first.one_a_patient()
    if len(single) < BASELINE:
        return None
    return single[single.weeks <= single.weeks[BASELINE - 1]]


def _against_calibration(window: Images, manifest: BundleManifest) -> list[_Test]:
    """Images called normal, against calibration normals that are called so.

    Among all images there are abnormal ones, and they would look like drift.
    """
    scores = np.asarray(manifest.calibration.scores)
    known: dict[Quantity, NDArray[np.float64]] = {
        "score": scores[scores <= manifest.calibration.threshold]
    }
    if (reference := manifest.reference) is not None:
        known |= {
            "ood_score": np.asarray(reference.ood_scores),
            "brightness": np.asarray(reference.brightness),
            "contrast": np.asarray(reference.contrast),
            "sharpness": np.asarray(reference.sharpness),
        }
    return _tests(window[~window.abnormal], known, "calibration")


def _against_first_weeks(window: Images, baseline: Images) -> list[_Test]:
    return _tests(window, baseline.values, "first_weeks")


def _tests(
    images: Images, references: Mapping[Quantity, NDArray[np.float64]], kind: ReferenceKind
) -> list[_Test]:
    found = []
    for quantity, values in references.items():
        known = images[np.isfinite(images.values[quantity])]
        finite = values[np.isfinite(values)]
        if min(len(known), len(finite)) >= _LEAST_COMPARED:
            found.append(_Test(quantity, kind, known, finite))
    return sorted(found, key=lambda test: QUANTITIES.index(test.quantity))


def _row(week: _Week, manifest: BundleManifest | None, chance: float) -> DriftRow:
    warnings = []
    comparisons = []
    for test in week.tests:
        comparison = _compare(test, chance)
        comparisons.append(comparison)
        if comparison.drifted:
            # Those that lie farthest in the direction in which the others went.
            order = np.argsort(test.sample, kind="stable")
            rose = comparison.median >= comparison.reference_median
            shown = order[::-1][:_SHOWN] if rose else order[:_SHOWN]
            warnings.append(drift_warning(comparison, test.images.ids[shown].tolist()))
    alarms = _false_alarms(week.judged, manifest)
    if alarms is not None and alarms.fair and alarms.promised is not None:
        by_luck = statistics.chance_of_at_least(alarms.alarms, alarms.n, alarms.promised)
        if by_luck < chance:
            called = week.judged.abnormal & (week.judged.verdicts == "normal")
            shown_ids = week.judged.ids[called][::-1][:_SHOWN].tolist()
            warnings.append(alarms_warning(alarms, alarms.promised, shown_ids))
    stream = week.stream
    return DriftRow(
        week=week.week.astype(date),
        model=stream.model,
        source=stream.source,
        manufacturer=stream.manufacturer,
        device=stream.device,
        n=len(week.images),
        weeks=week.weeks,
        abnormal_share=float(week.images.abnormal.mean()),
        comparisons=comparisons,
        false_alarms=alarms,
        warnings=warnings,
    )


def _compare(test: _Test, chance: float) -> DriftComparison:
    n, m = len(test.sample), len(test.reference)
    return DriftComparison(
        quantity=test.quantity,
        reference=test.kind,
        n=n,
        n_reference=m,
        median=float(np.median(test.sample)),
        reference_median=float(np.median(test.reference)),
        ks=statistics.ks(test.sample, test.reference),
        ks_limit=max(statistics.LEAST_KS, statistics.ks_limit(n, m, chance)),
        psi=statistics.psi(test.sample, test.reference),
        psi_limit=max(statistics.LEAST_PSI, statistics.psi_limit(n, m, chance)),
    )


def _false_alarms(images: Images, manifest: BundleManifest | None) -> FalseAlarms | None:
    normal = images.verdicts == "normal"
    n, alarms = int(normal.sum()), int((normal & images.abnormal).sum())
    if n == 0:
        return None
    judged = images.verdicts != ""
    called_abnormal, called_normal = (
        float(judged[chosen].mean()) if chosen.any() else 1.0
        for chosen in (images.abnormal, ~images.abnormal)
    )
    low, high = statistics.exact_interval(alarms, n)
    return FalseAlarms(
        alarms=alarms,
        n=n,
        rate=alarms / n,
        low=low,
        high=high,
        promised=None if manifest is None else manifest.calibration.expected_false_alarm_rate,
        fair=called_normal >= _FAIR * called_abnormal,
    )
