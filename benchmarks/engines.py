"""Milliseconds an image by network, engine, precision and batch size, and agreement with PyTorch.

On one device, with weights as shipped where they ship and untrained ones elsewhere: the weights do
not change the work that is done. Agreement is the largest difference of an output from float32 in
PyTorch on the CPU, as a share of the largest output, on phantoms. Every round measures each row
once, one row after another, so that what else the machine does falls on all of them alike; the
table shows the median of the rounds, and on a CPU processor time beside it.

``python -m benchmarks.engines`` measures the CPU, ``--device cuda`` a GPU.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.common import console
from training.phantoms import make_phantom
from wscxr import shipped
from wscxr.anatomy import LungNetwork, shipped_lung_network
from wscxr.anatomy.network import INPUT_SIDE
from wscxr.choices import Intensity, Precision, WeightsSource
from wscxr.device import resolve_device
from wscxr.engines import Blueprint, Network, open_engine
from wscxr.engines.choose import openvino_installed
from wscxr.errors import EngineUnavailable
from wscxr.imaging import InputConfig, Radiograph, to_model_input, to_unit_range
from wscxr.model.backbone import Backbone, BackboneConfig, build_backbone
from wscxr.model.features import feature_blueprint

BATCHES = (1, 8, 32)
P = 5


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with the inputs it is measured on.

    Attributes
    ----------
    inputs
        float32 of shape (32, ...).
    """

    name: str
    blueprint: Blueprint
    inputs: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Measurement:
    """A network on an engine at one batch size, and the seconds that each round took."""

    subject: Subject
    engine: str
    precision: str
    batch: int
    run: Callable[[NDArray[np.float32]], object]
    agreement: float
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def measure(self, calls: int) -> None:
        """Run a few times, and remember the mean seconds an image."""
        batch = self.subject.inputs[: self.batch]
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(calls):
            self.run(batch)
        images = calls * self.batch
        self.processor.append((time.process_time() - processor) / images)
        self.wall.append((time.perf_counter() - wall) / images)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="[%(default)s] cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=7, help="[%(default)s]")
    parser.add_argument("--networks", default="lungs,regnet,densenet", help="[%(default)s]")
    options = parser.parse_args(arguments)
    device = resolve_device(options.device)
    chosen = [subject for subject in subjects() if subject.name in options.networks.split(",")]
    rows = [row for subject in chosen for row in rows_of(subject, device)]
    for number in range(options.rounds + 1):
        for row in rows:
            row.measure(calls=max(1, 8 // row.batch))
            if number == 0:  # warm-up
                row.wall.clear()
                row.processor.clear()
    console.print(f"{device_name(device)}, PyTorch {torch.__version__}")
    console.print(table(rows))


def subjects() -> Iterator[Subject]:
    """The networks of a detector, each with phantoms as it sees them."""
    phantoms = [
        Radiograph(make_phantom(seed, abnormal=seed % 2 == 1, size=256).pixels, "PNG")
        for seed in range(max(BATCHES))
    ]
    pictures = [to_unit_range(one, INPUT_SIDE, Intensity.PERCENTILE) for one in phantoms]
    yield Subject(
        "lungs", LungNetwork.blueprint("shipped", shipped_lung_network), np.stack(pictures)[:, None]
    )
    for name, architecture, source, size in (
        ("regnet", shipped.ARCHITECTURE, WeightsSource.CXR, 160),
        ("densenet", "densenet121", WeightsSource.RANDOM, 256),
    ):
        config = BackboneConfig(architecture=architecture, source=source)
        backbone = build_backbone(config, size)
        inputs = [to_model_input(one, InputConfig(size=size)) for one in phantoms]
        yield Subject(
            name,
            feature_blueprint(config, size, P, name, partial(_same, backbone)),
            np.stack([np.asarray(one) for one in inputs]),
        )


def _same(backbone: Backbone) -> Backbone:
    return backbone


def rows_of(subject: Subject, device: torch.device) -> Iterator[Measurement]:
    """One network on every engine and in every precision that a device has."""
    exact = open_engine("cpu", "torch", "float32").prepare(subject.blueprint)
    [expected] = exact.run(subject.inputs)
    engines = ["torch"]
    if device.type == "cpu" and openvino_installed():
        engines.append("openvino")
    for engine in engines:
        for precision in Precision:
            try:
                network = open_engine(device, engine, precision).prepare(subject.blueprint)
            except EngineUnavailable as error:
                console.print(f"{subject.name}, {engine}, {precision}: {error}")
                continue
            agreement = largest_difference(network, subject.inputs, expected)
            for batch in BATCHES:
                yield Measurement(subject, engine, precision, batch, network.run, agreement)
    if device.type == "cuda":
        # What graphs and the copies around them cost or bring: the same module, as PyTorch runs it.
        yield from eager_rows(subject, device)


def eager_rows(subject: Subject, device: torch.device) -> Iterator[Measurement]:
    """A network on a GPU without CUDA graphs, in bfloat16, in and out of ordinary memory."""
    module = subject.blueprint.build().to(device)

    def run(batch: NDArray[np.float32]) -> object:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            return module(torch.from_numpy(batch).to(device)).float().cpu()

    for batch in BATCHES:
        yield Measurement(subject, "torch eager", Precision.BFLOAT16, batch, run, float("nan"))


def largest_difference(
    network: Network, inputs: NDArray[np.float32], expected: NDArray[np.float32]
) -> float:
    """Largest difference from the expected outputs, as a share of the largest of these."""
    [found] = network.run(inputs)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def table(rows: Sequence[Measurement]) -> Table:
    """Lay out the medians of all rounds."""
    shown = Table(
        "network", "engine", "precision", "batch", "ms an image", "processor ms", "agreement"
    )
    for row in rows:
        shown.add_row(
            row.subject.name,
            row.engine,
            row.precision,
            str(row.batch),
            f"{1000 * median(row.wall):.2f}",
            f"{1000 * median(row.processor):.2f}",
            f"{row.agreement:.1e}",
        )
    return shown


def device_name(device: torch.device) -> str:
    """What computed, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
