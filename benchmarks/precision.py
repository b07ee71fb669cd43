"""What bfloat16 changes on labelled radiographs: AUROC, decisions, scores; beside float32.

Each set is a folder with one folder of normal images and one of abnormal ones. ``python -m
benchmarks.precision --sets SET ...`` measures the bundle that ships; the table of the documentation
is its output. Every image is decoded once and scored three times.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.common import console
from training.data.images import in_batches, open_radiograph
from wscxr.bundle.bundle import Bundle
from wscxr.imaging import find_images
from wscxr.shipped import default_bundle

ENGINES = (("torch", "float32"), ("openvino", "float32"), ("openvino", "bfloat16"))
"""The first is what the others are compared with."""


ABNORMAL = ("abnormal", "pneumonia")
"""Names of the folder of abnormal images."""


@dataclass(frozen=True)
class ScoreChange:
    """How one engine's answers differ from those of PyTorch in float32.

    Attributes
    ----------
    auroc
        Its AUROC less theirs, in points.
    decisions
        Decisions that differ, of a thousand.
    score
        Largest difference of a score.
    """

    auroc: float
    decisions: float
    score: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path, nargs="+", required=True, metavar="SET")
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="[%(default)s]")
    parser.add_argument("--limit", type=int, default=1000, help="[%(default)s] images of a class")
    options = parser.parse_args(arguments)
    bundles = [Bundle.load(options.bundle, "cpu", *engine) for engine in ENGINES]
    table = Table("set", "images", "engine", "AUROC", "decisions of 1,000", "largest change")
    for folder in options.sets:
        normal, abnormal = class_folders(folder)
        images = [find_images(place)[: options.limit] for place in (normal, abnormal)]
        labels = np.repeat([False, True], [len(part) for part in images])
        scores = score_all(bundles, [file for part in images for file in part])
        threshold = bundles[0].manifest.calibration.threshold
        reference = float(roc_auc_score(labels, scores[0]))
        table.add_row(folder.name, str(len(labels)), " ".join(ENGINES[0]), f"{reference:.4f}")
        for engine, found in zip(ENGINES[1:], scores[1:], strict=True):
            change = compare(labels, scores[0], found, threshold)
            table.add_row(
                "",
                "",
                " ".join(engine),
                f"{change.auroc:+.3f} points",
                f"{change.decisions:.2f}",
                f"{change.score:.1e}",
            )
    console.print(table)


def class_folders(folder: Path) -> tuple[Path, Path]:
    """The folder of normal images of a set, and that of abnormal ones."""
    [abnormal] = [folder / name for name in ABNORMAL if (folder / name).is_dir()]
    return folder / "normal", abnormal


def score_all(bundles: Sequence[Bundle], files: Sequence[Path]) -> NDArray[np.float64]:
    """Scores of files by each bundle: float64 of shape (bundles, files)."""
    found: list[list[float]] = []

    def load(file: Path) -> list[float]:
        radiograph, _ = open_radiograph(file)
        return [bundle.predict(radiograph).score for bundle in bundles]

    for batch in in_batches(files, load):
        found += batch
    return np.array(found).T


def compare(
    abnormal: NDArray[np.bool_],
    reference: NDArray[np.float64],
    found: NDArray[np.float64],
    threshold: float,
) -> ScoreChange:
    """Compare scores of the same images.

    Parameters
    ----------
    abnormal
        Which images are, bool of shape (n,).
    reference, found
        Scores, float64 of shape (n,).
    threshold
        Scores above it are called abnormal.
    """
    return ScoreChange(
        auroc=100 * float(roc_auc_score(abnormal, found) - roc_auc_score(abnormal, reference)),
        decisions=1000 * float(((found > threshold) != (reference > threshold)).mean()),
        score=float(np.abs(found - reference).max()),
    )


if __name__ == "__main__":
    main()
