"""Compares two bundles on labelled images that the training of neither has seen."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from training.data.samples import Label, Sample, patient_groups
from training.evaluation.bootstrap import estimate_areas, estimate_difference
from training.evaluation.comparison.criteria import criteria
from training.evaluation.comparison.results import (
    AreaDifference,
    BundleComparison,
    Calibrations,
    Change,
    ComparedBundle,
    ComparedImage,
    DecisionChanges,
    Group,
    OldNew,
)
from training.evaluation.evaluate import evaluate
from training.evaluation.metrics import exact_rate
from training.evaluation.results import Estimate, Evaluation
from wscxr.bundle.bundle import Bundle
from wscxr.errors import ConfigError
from wscxr.model.calibration import Decision
from wscxr.progress import Track, untracked

SUBGROUPS = ("sex", "age_band", "view", "manufacturer", "device")
"""Columns of a manifest whose values are subgroups, unless others are named."""

MARGIN = 0.02
"""How much lower the AUROC may be, unless another margin is given."""


def compare(
    old: Bundle,
    new: Bundle,
    samples: Sequence[Sample],
    *,
    subgroups: Sequence[str] = (),
    margin: float = MARGIN,
    track: Track = untracked,
) -> BundleComparison:
    """Score the same images with two bundles, and measure the difference.

    Parameters
    ----------
    old, new
        The bundle in use, and the one that may take its place.
    samples
        Normal and abnormal images of patients whom the training of neither has seen.
    subgroups
        Columns of the manifest; those of `SUBGROUPS` that it has, where none is named.
    margin
        How much lower the AUROC may be, as a fraction.

    Raises
    ------
    ConfigError
        Both are the same bundle, or a column is not in the manifest.
    NotEnoughImages
        One of the classes is missing.
    DataError
        A file cannot be read; the message names it.
    """
    if old.identity.sha256 == new.identity.sha256:
        raise ConfigError("both are the same bundle; give two versions")
    columns = _columns(samples, subgroups)
    found = [evaluate(bundle, samples, track=track) for bundle in (old, new)]
    images = tuple(_images(*found))
    overall = _group(images, samples, None, None)
    groups = tuple(
        _group(
            [image for image, own in zip(images, values, strict=True) if own == value],
            [sample for sample, own in zip(samples, values, strict=True) if own == value],
            column,
            value,
        )
        for column, values in columns.items()
        for value in sorted(set(values))
    )
    calibration = Calibrations(old=found[0].calibration, new=found[1].calibration)
    judged = criteria(overall, groups, calibration, found[1].image_level.n_normal, margin)
    return BundleComparison(
        old=_compared(old),
        new=_compared(new),
        changes=tuple(_changes(old, new)),
        overall=overall,
        subgroups=groups,
        calibration=calibration,
        confounders=found[1].confounders.warnings,
        criteria=judged,
        accepted=all(one.met for one in judged),
        images=images,
    )


def _columns(samples: Sequence[Sample], wanted: Sequence[str]) -> dict[str, list[str]]:
    """The value of each image in each column, ``unknown`` where there is none."""
    found: dict[str, list[str]] = {}
    for column in wanted or SUBGROUPS:
        values = [
            sample.view if column == "view" else sample.facts.get(column) for sample in samples
        ]
        if any(values):
            found[column] = [value or "unknown" for value in values]
        elif wanted:
            raise ConfigError(f"the manifest has no column {column}, or it is empty")
    return found


def _images(old: Evaluation, new: Evaluation) -> Iterator[ComparedImage]:
    for before, after in zip(old.images, new.images, strict=True):
        yield ComparedImage(
            path=before.path,
            label=before.label,
            old_score=before.score,
            new_score=after.score,
            old_p_value=before.p_value,
            new_p_value=after.p_value,
            old_decision=before.decision,
            new_decision=after.decision,
        )


def _group(
    images: Sequence[ComparedImage],
    samples: Sequence[Sample],
    column: str | None,
    value: str | None,
) -> Group:
    patients = patient_groups(samples)
    return Group(
        column=column,
        value=value,
        n_patients=len(set(patients)),
        auroc=_areas(images, patients),
        abnormal=_decisions([image for image in images if image.label is Label.ABNORMAL]),
        normal=_decisions([image for image in images if image.label is Label.NORMAL]),
    )


def _areas(images: Sequence[ComparedImage], patients: Sequence[str]) -> AreaDifference | None:
    abnormal = np.array([image.label is Label.ABNORMAL for image in images], dtype=np.bool_)
    if abnormal.all() or not abnormal.any():
        return None
    old, new = (
        np.array([getattr(image, name) for image in images], dtype=np.float64)
        for name in ("old_score", "new_score")
    )
    paired = estimate_difference(abnormal, old, new, groups=patients)
    return AreaDifference(
        old=estimate_areas(abnormal, old, groups=patients)[0],
        new=estimate_areas(abnormal, new, groups=patients)[0],
        difference=paired.difference,
        p_value=paired.p_value,
    )


def _decisions(images: Sequence[ComparedImage]) -> DecisionChanges | None:
    if not images:
        return None
    old, new = (
        np.array([getattr(image, name) is Decision.ABNORMAL for image in images])
        for name in ("old_decision", "new_decision")
    )
    up, down = int((new & ~old).sum()), int((old & ~new).sum())
    return DecisionChanges(
        n=len(images),
        abnormal=OldNew(old=_share(old), new=_share(new)),
        to_abnormal=up,
        to_normal=down,
        p_value=float(binomtest(up, up + down).pvalue) if up + down else 1.0,
    )


def _share(called: NDArray[np.bool_]) -> Estimate:
    return exact_rate(int(called.sum()), len(called))


def _compared(bundle: Bundle) -> ComparedBundle:
    return ComparedBundle(
        identity=bundle.identity,
        training=bundle.manifest.training,
        threshold=bundle.manifest.calibration.threshold,
        warnings=tuple(bundle.manifest.warnings),
    )


def _changes(old: Bundle, new: Bundle) -> Iterator[Change]:
    before, after = _facts(old), _facts(new)
    for what in dict.fromkeys([*before, *after]):
        values = before.get(what, "none"), after.get(what, "none")
        if values[0] != values[1]:
            yield Change(what=what, old=values[0], new=values[1])


def _facts(bundle: Bundle) -> dict[str, str]:
    """What a bundle was made from and with, as text."""
    manifest, training = bundle.manifest, bundle.manifest.training
    networks = {
        f"{name.partition('.')[0]} network": sha256[:16]
        for name, sha256 in manifest.files.items()
        if name in ("lungs.safetensors", "lesions.safetensors")
    }
    return {
        "normal images for training": str(training.n_normal),
        "normal images for calibration": str(training.n_calibration),
        "anomaly images (K)": str(training.k),
        "training data SHA-256": training.data_sha256[:16],
        "threshold": f"{manifest.calibration.threshold:.4f}",
        "calibrated on": "the training's normal images"
        if manifest.site is None
        else f"a site's {manifest.site.n} {manifest.site.images} images",
        "backbone weights SHA-256": manifest.backbone_sha256[:16],
        **networks,
        **{f"setting {name}": value for name, value in _flat(training.config)},
        **{f"version of {name}": value for name, value in training.versions},
        "engine": "unknown" if training.engine is None else training.engine.name,
    }


def _flat(config: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)
