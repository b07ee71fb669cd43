"""Teaches the next version of a bundle."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.config import NO_LESIONS, TrainConfig
from training.data.samples import Label, Sample, with_label
from training.data.splits import TrainSplit, draw_split
from training.evaluation.comparison.compare import MARGIN, compare
from training.evaluation.comparison.page import write_comparison
from training.evaluation.comparison.results import BundleComparison
from training.teach.reviews import Reviews, hashes, is_kept_aside, part_reviews
from training.train import train
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.manifest import BundleManifest
from wscxr.bundle.promotion import (
    current_version,
    latest_version,
    next_version,
    set_current,
    versions_of,
)
from wscxr.bundle.store import check_absent, read_manifest
from wscxr.choices import WeightsSource
from wscxr.errors import BundleNotFound, ConfigError, NotEnoughImages, PatientOverlap
from wscxr.files import write_file
from wscxr.options import validated
from wscxr.progress import Track, untracked

KEPT_ASIDE = "kept-aside.csv"
"""Manifest of the images of the comparison, beside its report."""


@dataclass(frozen=True)
class Taught:
    """What teaching did.

    Attributes
    ----------
    path, manifest
        The new bundle.
    reviews
        What it learnt from, and what it was compared on.
    same_data
        Whether the training data given are, by their hash, those of a version of this bundle.
    comparison
        With the former version; None where nothing was kept aside.
    """

    path: Path
    manifest: BundleManifest
    reviews: Reviews
    same_data: bool
    comparison: BundleComparison | None


def teach(
    model: Path,
    base: Sequence[Sample],
    reviews: Sequence[Sample],
    report: Path,
    device: torch.device,
    *,
    source: str | None = None,
    version: str | None = None,
    fraction: float = 0.3,
    calibrate: bool = False,
    margin: float = MARGIN,
    gallery: bool = True,
    unlabelled: Sequence[Path] = (),
    engine: str = "auto",
    precision: str = "auto",
    track: Track = untracked,
) -> Taught:
    """Train the next version on the data of the last one and on reviews, and compare both.

    The settings are those of the last version, and so is the draw of its images: what is new are
    the reviewed images alone. Nothing is promoted: where the model store named no version in use,
    it names the latest one from then on, so that no service starts with the new one by itself.

    Parameters
    ----------
    model
        ``model_store/<name>``.
    base
        The images that the last version was trained with ``wscxr train`` from; reviews that it was
        taught with are among `reviews` again.
    reviews
        From `training.teach.reviews.read_reviews`.
    report
        Folder of the comparison.
    source, version
        The version to teach from, and the one to write; by default the version in use and the next
        number.
    fraction
        Share of the reviewed patients kept aside for the comparison; 0 for no comparison.
    calibrate
        Whether reviewed normals join the calibration set as well, by the share of the settings.
        Right only where the reviewed images were not chosen for looking unusual.
    margin, gallery
        See `compare` and `write_comparison`.
    unlabelled
        The archive that the last version was trained with.
    device, engine, precision
        See `training.train.train`.

    Raises
    ------
    BundleNotFound, BundleExists, ConfigError, DataError, NotEnoughImages
        See `wscxr.errors`.
    NoAbnormalReviews, TooFewReviews
        See `part_reviews`.
    PatientOverlap
        The last version kept fewer patients aside.
    """
    in_use = _in_use(model)
    former = model / (source or in_use)
    manifest = read_manifest(former)
    out = model / (version or next_version(model))
    check_absent(out)
    config = settings_of(manifest, former)
    before = manifest.training.metrics.get("kept_aside")
    if before is not None and fraction > before:
        raise PatientOverlap(
            f"version {former.name} kept {before:g} of the reviewed patients aside, and learnt "
            "from the others: keep no more aside, or teach from an earlier version"
        )
    split = draw_split(base, config)
    archive = [Sample(path, None) for path in unlabelled]
    parted = part_reviews(reviews, base, fraction)
    if current_version(model) is None:
        set_current(model, in_use)
    written = train(
        join(split, parted.taught, config, calibrate=calibrate),
        config,
        out,
        device,
        engine=engine,
        precision=precision,
        embed_backbone="backbone.safetensors" in manifest.files,
        notes=_notes(former, manifest, parted),
        unlabelled=unlabelled,
        metrics={
            "reviewed_abnormal": float(len(with_label(parted.taught, Label.ABNORMAL))),
            "reviewed_normal": float(len(with_label(parted.taught, Label.NORMAL))),
            "kept_aside": fraction,
        },
        track=track,
    )
    comparison = None
    if parted.kept_aside:
        old, new = (Bundle.load(path, device, engine, precision) for path in (former, out))
        comparison = compare(old, new, parted.kept_aside, margin=margin, track=track)
        write_comparison(report, comparison, old, new, gallery=gallery)
        write_file(report / KEPT_ASIDE, _manifest(parted.kept_aside))
    same = _data_sha256([*split.samples, *archive]) in _data_of(model)
    return Taught(out, written, parted, same, comparison)


def settings_of(manifest: BundleManifest, path: Path) -> TrainConfig:
    """The settings a bundle was trained with; networks from files come from the bundle itself.

    Raises
    ------
    ConfigError
        It was written by another version of the program, whose settings are not known here, it
        lacks the backbone that it was trained with, or its method learns from no anomaly images.
    """
    settings: dict[str, Any] = dict(manifest.training.config)
    # What older versions did not write down.
    settings |= {"align": manifest.align, "score_rule": manifest.score_rule}
    if manifest.lesions is None:
        settings["lesions"] = NO_LESIONS
    for name, file in (
        ("weights", "backbone.safetensors"),
        ("lungs", "lungs.safetensors"),
        ("lesions", "lesions.safetensors"),
    ):
        if settings.get(name) == WeightsSource.FILE:
            if not (path / file).is_file():
                raise ConfigError(f"the bundle lacks {file}, with which it was trained")
            settings[name] = str(path / file)
    config = validated(TrainConfig, settings)
    if not config.method.uses_anomalies:
        raise ConfigError(f"{config.method.name} learns from no anomaly images: nothing to teach")
    return config


def join(
    split: TrainSplit, taught: Sequence[Sample], config: TrainConfig, *, calibrate: bool
) -> TrainSplit:
    """Put reviewed images beside those of a training run.

    Abnormal ones join the K, normal ones the normal set; with `calibrate` the share
    ``calibration_fraction`` of the normal patients joins the calibration set in its place.
    Calibration normals of a patient who is learnt from move to the normal set.

    Raises
    ------
    NotEnoughImages
        No calibration image is left.
    """
    abnormal = with_label(taught, Label.ABNORMAL)
    ill = {sample.patient_id for sample in (*split.anomaly, *abnormal)}
    normal: list[Sample] = []
    joined: list[Sample] = []
    for sample in with_label(taught, Label.NORMAL):
        share = config.calibration_fraction if calibrate and sample.patient_id not in ill else 0
        aside = is_kept_aside(f"calibration {sample.patient_id}", share)
        (joined if aside else normal).append(sample)
    learnt = (ill | {sample.patient_id for sample in normal}) - {None}
    calibration = [sample for sample in split.calibration if sample.patient_id not in learnt]
    if not calibration:
        raise NotEnoughImages("no calibration image is of a patient who is not learnt from")
    moved = [sample for sample in split.calibration if sample.patient_id in learnt]
    return TrainSplit(
        normal=[*split.normal, *moved, *normal],
        calibration=[*calibration, *joined],
        anomaly=[*split.anomaly, *abnormal],
    )


def _in_use(model: Path) -> str:
    found = versions_of(model)
    if not found:
        raise BundleNotFound(f"there is no bundle {model.name} in {model.parent}")
    return current_version(model) or latest_version(found)


def _data_of(model: Path) -> set[str]:
    """The hash of the training data of every version."""
    return {read_manifest(model / name).training.data_sha256 for name in versions_of(model)}


def _data_sha256(samples: Sequence[Sample]) -> str:
    """As `training.train` computes it."""
    return hashlib.sha256("".join(sorted(hashes(samples))).encode()).hexdigest()


def _notes(former: Path, manifest: BundleManifest, reviews: Reviews) -> str:
    counts = {label: len(with_label(reviews.taught, label)) for label in Label}
    return (
        "## Reviewed images\n\n"
        f"Taught from {former.parent.name}/{former.name} (SHA-256 `{manifest.sha256[:16]}`): "
        f"{counts[Label.ABNORMAL]} images that readers judged abnormal joined the K, and "
        f"{counts[Label.NORMAL]} that they judged normal the normal images. "
        f"{len(reviews.kept_aside)} reviewed images, of other patients, were kept aside.\n"
    )


def _manifest(samples: Sequence[Sample]) -> bytes:
    """A manifest CSV for ``wscxr bundle compare``."""
    columns = list(dict.fromkeys(column for sample in samples for column in sample.facts))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["path", "label", "patient_id", "view", *columns])
    for sample in samples:
        facts = [sample.facts.get(column, "") for column in columns]
        writer.writerow(
            [sample.path.resolve(), sample.label, sample.patient_id, sample.view or "", *facts]
        )
    return text.getvalue().encode()
