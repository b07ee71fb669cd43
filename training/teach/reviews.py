"""Reviewed images: which of them are taught, and which are kept aside for the comparison.

A patient is always on the same side, in every round, whoever else was reviewed: a hash of the
patient decides. So a version never meets, in a comparison, a patient whom an earlier one learnt
from.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.data.samples import Label, Sample, read_samples, with_label
from wscxr.errors import (
    DataError,
    ImagesNotKept,
    NoAbnormalReviews,
    NoReviews,
    TooFewReviews,
)

MANIFEST = "reviews.csv"
"""Name of the manifest in the folder that ``wscxr reviews export`` writes."""


@dataclass(frozen=True)
class Reviews:
    """Reviewed images in two parts without a common patient.

    Attributes
    ----------
    taught
        What the next version learns from.
    kept_aside
        What both versions are compared on; empty where nothing is kept aside.
    known
        How many reviewed images the training data holds already; they are in neither part.
    """

    taught: list[Sample]
    kept_aside: list[Sample]
    known: int


def read_reviews(path: Path) -> list[Sample]:
    """Read what readers judged.

    Parameters
    ----------
    path
        The folder that ``wscxr reviews export`` wrote, or a manifest CSV like the one in it. An
        image without a patient is a patient of its own.

    Raises
    ------
    NoReviews
        There is none.
    ImagesNotKept
        An image is not there.
    DataError
        The manifest cannot be read, or one image has both verdicts.
    """
    manifest = path / MANIFEST if path.is_dir() else path
    samples = read_samples(manifest, "train")
    if not samples:
        raise NoReviews(f"{manifest} holds no image that was judged abnormal or normal")
    if missing := sum(not sample.path.is_file() for sample in samples):
        raise ImagesNotKept(
            f"{missing} of {len(samples)} reviewed images are not there: export the reviews again, "
            "from a record that keeps images"
        )
    found: dict[str, Sample] = {}
    for sample, sha256 in zip(samples, hashes(samples), strict=True):
        known = found.setdefault(sha256, replace(sample, patient_id=sample.patient_id or sha256))
        if known.label is not sample.label:
            raise DataError(f"{sample.path} is reviewed as normal and as abnormal")
    return list(found.values())


def part_reviews(reviews: Sequence[Sample], base: Sequence[Sample], fraction: float) -> Reviews:
    """Keep some patients aside.

    Parameters
    ----------
    reviews
        From `read_reviews`.
    base
        All images that the former version may have learnt from.
    fraction
        Share of the patients to keep aside, in [0, 1); 0 keeps nobody aside. Patients of the
        training data are never kept aside.

    Raises
    ------
    NoAbnormalReviews
        No image that was judged abnormal is left to learn from.
    TooFewReviews
        What is kept aside lacks a class.
    DataError
        A reviewed image has another label in the training data.
    """
    labels = dict(zip(hashes(base), (sample.label for sample in base), strict=True))
    fresh = []
    for sample, sha256 in zip(reviews, hashes(reviews), strict=True):
        if labels.get(sha256, sample.label) is not sample.label:
            raise DataError(
                f"{sample.path} was judged {sample.label}, but the training data has it as "
                f"{labels[sha256]}: correct one of them"
            )
        if sha256 not in labels:
            fresh.append(sample)
    patients = {sample.patient_id for sample in base}
    aside = [
        sample.patient_id not in patients and is_kept_aside(str(sample.patient_id), fraction)
        for sample in fresh
    ]
    taught = [sample for sample, kept in zip(fresh, aside, strict=True) if not kept]
    kept_aside = [sample for sample, kept in zip(fresh, aside, strict=True) if kept]
    if not with_label(taught, Label.ABNORMAL):
        raise NoAbnormalReviews(
            f"of {len(reviews)} reviewed images none that was judged abnormal is new and not kept "
            "aside: judge more"
        )
    if fraction > 0:
        counts = [len(with_label(kept_aside, label)) for label in Label]
        if not all(counts):
            raise TooFewReviews(
                f"{counts[0]} normal and {counts[1]} abnormal reviewed images are kept aside, too "
                "few to compare the versions on: judge more, or keep nothing aside with "
                "--kept-aside 0 and compare them on other images"
            )
    return Reviews(taught, kept_aside, len(reviews) - len(fresh))


def is_kept_aside(patient: str, fraction: float) -> bool:
    """Whether a patient is kept aside: with a larger fraction the same patients, and others."""
    digest = hashlib.sha256(b"kept aside\0" + patient.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < fraction


def hashes(samples: Sequence[Sample]) -> list[str]:
    """SHA-256 of each image file.

    Raises
    ------
    DataError
        A file cannot be read; the message names it.
    """
    found = []
    for sample in samples:
        try:
            with sample.path.open("rb") as file:
                found.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise DataError(f"{sample.path}: {error.strerror}") from error
    return found
