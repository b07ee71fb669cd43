"""How many images unlike its training images a bundle flags, by an OOD score above 1.

``python -m benchmarks.out_of_distribution BUNDLE DIR ...``: each folder of images as it is, and the
first 60 of each as negatives, upside down and on their side; then patches of photographs (those of
scikit-learn) and noise.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_sample_images

from wscxr.bundle.bundle import Bundle
from wscxr.imaging import Radiograph, find_images, read_radiograph
from wscxr.results.png import display_grey

CHANGED = 60
CHANGES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "negatives": lambda pixels: 255 - pixels,
    "upside down": lambda pixels: pixels[::-1],
    "on their side": lambda pixels: np.rot90(pixels),
}


def as_radiograph(pixels: NDArray[np.uint8]) -> Radiograph:
    """A picture as if it had been read from a file."""
    return Radiograph(np.ascontiguousarray(pixels), "PNG")


def read(files: Iterable[Path]) -> Iterator[Radiograph]:
    """Read files one after another."""
    for file in files:
        yield read_radiograph(file.read_bytes())


def photographs(rng: np.random.Generator) -> Iterator[Radiograph]:
    """Patches of 100 to 400 px of two photographs, in grey."""
    for picture in load_sample_images().images:
        grey = np.asarray(Image.fromarray(picture).convert("L"))
        for _ in range(13):
            side = int(rng.integers(100, 400))
            top, left = (int(rng.integers(0, length - side)) for length in grey.shape)
            yield as_radiograph(grey[top : top + side, left : left + side])


def noise(rng: np.random.Generator) -> Iterator[Radiograph]:
    """Pixels that have nothing to do with each other."""
    for _ in range(20):
        yield as_radiograph(rng.integers(0, 256, (256, 256), dtype=np.uint8))


def main() -> None:
    """Score all of them, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    arguments = parser.parse_args()
    bundle = Bundle.load(arguments.bundle, "cpu")
    table = Table("images", "number", "OOD score above 1, %", "above the threshold, %")

    def row(name: str, radiographs: Iterable[Radiograph]) -> None:
        found = [bundle.predict(radiograph) for radiograph in radiographs]
        strange, alarms = (
            100 * float(np.mean(flags))
            for flags in (
                [one.out_of_distribution for one in found],
                [one.score > one.threshold for one in found],
            )
        )
        table.add_row(name, str(len(found)), f"{strange:.1f}", f"{alarms:.1f}")

    for folder in arguments.folders:
        files = find_images(folder)
        row(folder.name, read(files))
        for name, change in CHANGES.items():
            row(
                f"{folder.name}, {name}",
                (
                    as_radiograph(change(np.asarray(display_grey(radiograph))))
                    for radiograph in read(files[:CHANGED])
                ),
            )
    rng = np.random.default_rng(0)
    row("photographs", photographs(rng))
    row("noise", noise(rng))
    Console().print(table)


if __name__ == "__main__":
    main()
