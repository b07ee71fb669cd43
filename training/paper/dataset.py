"""The images of a table: a pool to train on, and held-out test images."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from training.data.samples import (
    Label,
    Sample,
    find_samples,
    patient_groups,
    read_samples,
    with_label,
)
from training.data.splits import TrainSplit
from wscxr.errors import DataError

POOL_NORMALS = 625
"""Normals to draw from: with a fifth kept aside for calibration, the paper's 500 for training."""

ARCHIVE = 1000
"""Images of an unlabelled archive, where there are so many."""

_TEST_NORMALS, _TEST_ABNORMALS = 240, 390
"""About the size of ZhangLab's official test part."""

_PATIENT = re.compile(r"person(\d+)|IM-(\d+)")


@dataclass(frozen=True)
class TableData:
    """The images of a table.

    Attributes
    ----------
    pool
        Images that every draw takes its training and calibration images from.
    test
        Images of other patients, used by every run and by nothing else.
    description
        One sentence for the reader of the table.
    other_normals
        Normal images of the training part beyond the pool's, for unlabelled archives.
    """

    pool: list[Sample]
    test: list[Sample]
    description: str
    other_normals: list[Sample] = field(default_factory=list)

    def archive(self, split: TrainSplit, share: float, seed: int) -> list[Sample]:
        """Draw an unlabelled archive from the training part: no patient of the split is in it.

        Parameters
        ----------
        split
            The labelled images of a run.
        share
            Of abnormal images, in [0, 1).
        seed
            The same seed gives the same archive.

        Returns
        -------
        list of Sample
            `ARCHIVE` images, or fewer where there are not enough normal ones; without labels.
        """
        known = {sample.patient_id for sample in split.samples} - {None}
        labelled = set(split.samples)
        rng = np.random.default_rng(seed)
        normal, abnormal = (
            [samples[i] for i in rng.permutation(len(samples))]
            for samples in (
                [one for one in group if one.patient_id not in known and one not in labelled]
                for group in (self.other_normals, with_label(self.pool, Label.ABNORMAL))
            )
        )
        n_normal = min(len(normal), round(ARCHIVE * (1 - share)))
        chosen = normal[:n_normal] + abnormal[: round(n_normal * share / (1 - share))]
        return [replace(one, label=None) for one in chosen]


def read_table_data(path: Path) -> TableData:
    """Find the images of a table.

    Parameters
    ----------
    path
        One of: the ZhangLab folder as published (``train/NORMAL``, ``train/PNEUMONIA``, and the
        same below ``test``), whose official test part is then used; a folder of its training part
        alone (``normal``, ``pneumonia``), of which patients are held out; or a manifest CSV with
        rows of split ``train`` and ``test``.

    Raises
    ------
    DataError
        It is none of these, or a file name of ZhangLab carries no patient.
    """
    if path.is_file():
        pool, test = read_samples(path, "train"), read_samples(path, "test")
        source = "the manifest's own test rows"
    elif (path / "train" / "NORMAL").is_dir():
        pool, test = (_official_part(path / part) for part in ("train", "test"))
        source = "ZhangLab's official test part"
    elif (path / "normal").is_dir() and (path / "pneumonia").is_dir():
        pool, test = patients_held_out(path)
        source = "patients held out from ZhangLab's training part, not its official test part"
    else:
        raise DataError(
            f"{path} is not a manifest CSV, and holds neither train/NORMAL nor normal and pneumonia"
        )
    normal = with_label(pool, Label.NORMAL)
    kept = np.random.default_rng(0).permutation(len(normal))[:POOL_NORMALS]
    others = [normal[i] for i in np.sort(np.setdiff1d(np.arange(len(normal)), kept))]
    pool = [normal[i] for i in np.sort(kept)] + with_label(pool, Label.ABNORMAL)
    n_normal = len(with_label(test, Label.NORMAL))
    return TableData(
        pool,
        test,
        f"{n_normal} normal and {len(test) - n_normal} abnormal test images: {source}.",
        others,
    )


def _official_part(folder: Path) -> list[Sample]:
    return _zhanglab(folder / "NORMAL", Label.NORMAL) + _zhanglab(
        folder / "PNEUMONIA", Label.ABNORMAL
    )


def patients_held_out(folder: Path) -> tuple[list[Sample], list[Sample]]:
    """Part ZhangLab's training part into a pool and a test set without a common patient.

    Always the same way.

    Raises
    ------
    DataError
        A folder is missing, or a file name carries no patient.
    """
    pool: list[Sample] = []
    test: list[Sample] = []
    for name, label, size in (
        ("normal", Label.NORMAL, _TEST_NORMALS),
        ("pneumonia", Label.ABNORMAL, _TEST_ABNORMALS),
    ):
        samples = _zhanglab(folder / name, label)
        # A set too small for the full test size is halved.
        share = min(0.5, size / len(samples))
        splitter = GroupShuffleSplit(n_splits=1, test_size=share, random_state=0)
        kept, held_out = next(splitter.split(samples, groups=patient_groups(samples)))
        pool += [samples[i] for i in kept]
        test += [samples[i] for i in held_out]
    return pool, test


def _zhanglab(folder: Path, label: Label) -> list[Sample]:
    return [_with_patient(sample) for sample in find_samples(folder, label)]


def _with_patient(sample: Sample) -> Sample:
    """Read the patient from a file name: ``person12_...`` or ``...IM-0115-...``."""
    match = _PATIENT.search(sample.path.name)
    if match is None:
        raise DataError(f"{sample.path}: a ZhangLab file name carries a patient")
    return replace(sample, patient_id=match.group())
