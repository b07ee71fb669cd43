"""What decoding at a fraction of the size saves, and what it changes.

Time: one core's milliseconds from the bytes of a 2500 x 2048 JPEG or DICOM file to the model input,
against decoding all of it. With ``--data``, a folder of radiographs in two folders, ``normal`` and
``abnormal`` or ``pneumonia``: bundles of several seeds are trained on half of them; the others are
enlarged to 2500 x 2048, saved as JPEG, and scored from all their pixels and from the smaller
picture. Printed are both AUROCs, and how far scores move beside how far the seed moves them.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.common import console, run_wscxr
from benchmarks.dicom_decoding import make_file
from benchmarks.serving import HEIGHT, WIDTH, full_size_files
from wscxr.anatomy import ModelInput
from wscxr.bundle.bundle import Bundle
from wscxr.imaging import InputConfig, Radiograph, find_images, read_radiograph, to_model_input
from wscxr.shipped import BUNDLE, model_store

RUNS = 15
SEEDS = (0, 1, 2)
ABNORMAL = ("abnormal", "pneumonia")
TESTED = 150
"""Images of each class that are scored, at most."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, action="append", default=[], metavar="DIR")
    options = parser.parse_args(arguments)
    times()
    for folder in options.data:
        scores(folder)


def times() -> None:
    """Print milliseconds of one core."""
    bundle = Bundle.load(model_store() / BUNDLE, "cpu")
    table = Table("2500 x 2048", "KB", "to model input, ms", "all pixels first, ms", "ratio")
    for name, data in (
        ("JPEG", full_size_files()[0]),
        ("DICOM, 12 of 16 bits", make_file(ExplicitVRLittleEndian)),
    ):
        ours, whole = (
            milliseconds(work)
            for work in (
                lambda: bundle.prepare(read_radiograph(data, side=bundle.view_side)),  # noqa: B023 - run before the next turn
                lambda: to_model_input(read_radiograph(data), bundle.manifest.input),  # noqa: B023 - run before the next turn
            )
        )
        table.add_row(
            name, str(len(data) // 1000), f"{ours:.1f}", f"{whole:.1f}", f"{ours / whole:.2f}"
        )
    console.print(table)


def milliseconds(work: Callable[[], object]) -> float:
    """Median processor time of this thread for one call; the first is thrown away."""
    found = []
    for _ in range(RUNS + 1):
        started = time.thread_time()
        work()
        found.append(1000 * (time.thread_time() - started))
    return median(found[1:])


def whole_input(prepared: ModelInput, radiograph: Radiograph, config: InputConfig) -> ModelInput:
    """The same model input, but from all pixels."""
    frame = prepared.frame
    box = (frame.left, frame.top, frame.right, frame.bottom)
    return replace(prepared, tensor=to_model_input(radiograph, config, box))


def scores(folder: Path) -> None:
    """Print AUROC, and how far scores move, on one set of radiographs."""
    [abnormal] = [folder / name for name in ABNORMAL if (folder / name).is_dir()]
    normal_files, abnormal_files = (find_images(path) for path in (folder / "normal", abnormal))
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for name, files in (("normal", normal_files), ("abnormal", abnormal_files)):
            (root / name).mkdir()
            for file in files[::2]:
                (root / name / file.name).symlink_to(file.resolve())
        for seed in SEEDS:
            run_wscxr(
                *("train", "--normal", root / "normal", "--abnormal", root / "abnormal"),
                *("-k", 16, "--seed", seed, "--device", "cpu", "--out", root / f"store/x/{seed}"),
            )
        bundles = [Bundle.load(root / f"store/x/{seed}", "cpu") for seed in SEEDS]
    tested = [files[1::2][:TESTED] for files in (normal_files, abnormal_files)]
    labels = [0] * len(tested[0]) + [1] * len(tested[1])
    found = np.array([both(bundles, enlarged(file)) for files in tested for file in files])
    whole, ours = found[:, 0], found[:, 1]
    table = Table("set", "images", "AUROC, all pixels", "AUROC", "scores move", "by the seed")
    table.add_row(
        folder.name,
        str(len(labels)),
        *(
            " ".join(f"{roc_auc_score(labels, column):.4f}" for column in part.T)
            for part in (whole, ours)
        ),
        f"median {np.median(np.abs(ours - whole)):.4f}, largest {np.abs(ours - whole).max():.4f}",
        f"standard deviation: median {np.median(whole.std(axis=1, ddof=1)):.4f}",
    )
    console.print(table)


def enlarged(file: Path) -> bytes:
    """The radiograph at 2500 x 2048, as JPEG of quality 90."""
    picture = Image.fromarray(read_radiograph(file.read_bytes()).pixels)
    buffer = io.BytesIO()
    picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def both(bundles: Sequence[Bundle], data: bytes) -> list[list[float]]:
    """Scores by each bundle, from all pixels and from the view that it takes."""
    radiograph = read_radiograph(data)
    prepared = bundles[0].prepare(radiograph)
    inputs = [whole_input(prepared, radiograph, bundles[0].manifest.input), prepared]
    return [[bundle.predict_inputs([one])[0].score for bundle in bundles] for one in inputs]


if __name__ == "__main__":
    main()
