"""Warnings in words: what has changed, and what to do about it."""

from collections.abc import Sequence
from uuid import UUID

from service.records.drift.report import (
    DriftComparison,
    DriftReport,
    DriftRow,
    FalseAlarms,
    Quantity,
    ReferenceKind,
    Warned,
)

_NAMES: dict[Quantity, str] = {
    "score": "Anomaly scores",
    "ood_score": "OOD scores",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
}
_MEANING: dict[Quantity, str] = {
    "score": "Patients, positioning or exposure may have changed.",
    "ood_score": "The images have become less like those of the training, or more alike.",
    "brightness": "Exposure, windowing or the inversion of grey values may have changed.",
    "contrast": "Exposure, processing or the window of the files may have changed.",
    "sharpness": "Noise reduction, edge enhancement, compression or scaling may have changed.",
}
_AGAINST: dict[ReferenceKind, str] = {
    "calibration": "the calibration of the model",
    "first_weeks": "the first weeks here",
}
_RECALIBRATE = "calibrate on 50 or more normal images of today with `wscxr calibrate`"


def drift_warning(found: DriftComparison, analyses: Sequence[str]) -> Warned:
    """Say that a quantity is distributed otherwise than its reference.

    Parameters
    ----------
    found
        A comparison above a limit.
    analyses
        Ids of the images that lie farthest off.
    """
    now, then = found.median, found.reference_median
    if f"{now:.3g}" == f"{then:.3g}":
        moved = f"spread otherwise around {now:.3g}"
    else:
        moved = f"{'higher' if now > then else 'lower'}: median {now:.3g}, was {then:.3g}"
    text = (
        f"{_NAMES[found.quantity]} against {_AGAINST[found.reference]}: {moved} "
        f"(KS {found.ks:.2f}, limit {found.ks_limit:.2f}; PSI {found.psi:.2f}, limit "
        f"{found.psi_limit:.2f}; {found.n} images). {_MEANING[found.quantity]} Look at the "
        f"images; if they are as they should be, {_RECALIBRATE}."
    )
    return Warned(text=text, analyses=[UUID(one) for one in analyses])


def alarms_warning(found: FalseAlarms, promised: float, analyses: Sequence[str]) -> Warned:
    """Say that more normal radiographs are called abnormal than was promised.

    Parameters
    ----------
    found
        Fair counts.
    promised
        The rate that the calibration expects.
    analyses
        Ids of false alarms, the latest ones.
    """
    text = (
        f"False alarms: {found.alarms} of {found.n} radiographs judged normal, {found.rate:.1%} "
        f"({found.low:.1%} to {found.high:.1%}), where {promised:.1%} were promised. Look at the "
        f"false alarms, and {_RECALIBRATE}."
    )
    return Warned(text=text, analyses=[UUID(one) for one in analyses])


def summary(row: DriftRow) -> str:
    """One row as a line of text, with tabs."""
    model = f"{row.model.name}/{row.model.version}"
    shown = [f"{row.week}", model, row.source, device_name(row.manufacturer, row.device)]
    shown += [f"{row.n} images", f"{row.abnormal_share:.1%} abnormal"]
    if (alarms := row.false_alarms) is not None:
        biased = "" if alarms.fair else ", judged selectively"
        shown.append(
            f"false alarms {alarms.alarms} of {alarms.n} ({alarms.low:.1%} to {alarms.high:.1%})"
            f"{biased}"
        )
    if not row.comparisons:
        shown.append("too few to compare")
    else:
        shown.append(f"{len(row.warnings)} warnings")
    return "\t".join(shown)


def warning_lines(report: DriftReport) -> list[str]:
    """Every warning as lines of text, with the ids of the images to look at."""
    lines = []
    for row in report.rows:
        where = f"{row.week} {row.model.name}/{row.model.version} {row.source}"
        for warned in row.warnings:
            device = device_name(row.manufacturer, row.device)
            lines.append(f"WARNING {where} {device}: {warned.text}")
            lines += [f"  analysis {one}" for one in warned.analyses]
    return lines


def device_name(manufacturer: str | None, device: str | None) -> str:
    """Manufacturer and model of a device, as far as a header says."""
    return " ".join(part for part in (manufacturer, device) if part) or "device unknown"
