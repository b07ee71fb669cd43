"""Write the image lists that the default bundle and its figures are made with.

Run as ``python scripts/default_splits.py --zhanglab DIR --nih DIR --nih-unlabelled DIR --out DIR``.

``pretrain.csv`` names unlabelled images: ZhangLab's training part without the patients held out
for testing, and NIH images of patients that ``--nih`` has none of. So no figure on either test set
comes from a backbone that saw a test image. ``zhanglab.csv`` and ``nih.csv`` are manifests with
train and test rows that share no patient.
"""

import argparse
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from sklearn.model_selection import GroupShuffleSplit

from training.data.samples import Label, Sample, find_samples
from training.paper.dataset import patients_held_out
from wscxr.imaging import find_images


def main() -> None:
    """Write the lists."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("--zhanglab", "--nih", "--nih-unlabelled", "--out"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)

    pool, test = patients_held_out(arguments.zhanglab.resolve())
    _write_manifest(out / "zhanglab.csv", pool, test)
    nih = [
        Sample(path, label, patient_id=_nih_patient(path))
        for folder, label in (("normal", Label.NORMAL), ("abnormal", Label.ABNORMAL))
        for path in (s.path for s in find_samples(arguments.nih.resolve() / folder, label))
    ]
    boxed = [
        Sample(sample.path, Label.ABNORMAL, patient_id=_nih_patient(sample.path))
        for sample in find_samples(arguments.nih.resolve() / "boxed", Label.ABNORMAL)
    ]
    _write_manifest(out / "nih.csv", *_part(nih, {s.patient_id for s in boxed}, boxed))
    taken = {sample.patient_id for sample in (*nih, *boxed)}
    others = [
        path
        for path in find_images(arguments.nih_unlabelled.resolve())
        if _nih_patient(path) not in taken
    ]
    _write(out / "pretrain.csv", ["path"], ([path] for path in [*(s.path for s in pool), *others]))


def _part(
    samples: Sequence[Sample], boxed_patients: set[str | None], boxed: list[Sample]
) -> tuple[list[Sample], list[Sample]]:
    """A third of the patients for testing, and all patients with lesion boxes."""
    free = [sample for sample in samples if sample.patient_id not in boxed_patients]
    splitter = GroupShuffleSplit(n_splits=1, test_size=1 / 3, random_state=0)
    kept, held_out = next(splitter.split(free, groups=[s.patient_id for s in free]))
    related = [sample for sample in samples if sample.patient_id in boxed_patients]
    return [free[i] for i in kept], [*(free[i] for i in held_out), *related, *boxed]


def _nih_patient(path: Path) -> str:
    """``00000150_002.png`` is the third image of patient 150."""
    return path.name.partition("_")[0]


def _write_manifest(file: Path, train: Iterable[Sample], test: Iterable[Sample]) -> None:
    rows = [
        [sample.path, sample.label, sample.patient_id, split]
        for split, samples in (("train", train), ("test", test))
        for sample in samples
    ]
    _write(file, ["path", "label", "patient_id", "split"], rows)


def _write(file: Path, header: list[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
