"""Whole archives: `wscxr archive score` against the bare engine, and Ray against one machine.

The engine is as many processes as score, each doing nothing but read, prepare and compute. Rates
count the whole run, loading included; processor time is that of all processes of a run together,
so that two runs compare even where the machine does other work as well. The phantoms are few and
linked under many names, so files come from the page cache; each is read and decoded as often as it
is named.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

import wscxr
from benchmarks.common import console, run_wscxr
from benchmarks.process_tree import Watch
from service.archive.local import score_locally
from service.archive.plan import Plan
from service.archive.rows import SHARD
from service.archive.shards import WORK, Shards
from service.archive.sources import in_folders
from service.archive.worklist import RowIds, WorkList
from wscxr.bundle.bundle import Bundle
from wscxr.imaging import read_radiograph
from wscxr.shipped import default_bundle

BATCH = 16


def main(arguments: Sequence[str] | None = None) -> None:
    """Print images a second, processor time an image, memory, and the overhead of Ray."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="[%(default)s]")
    parser.add_argument("--distinct", type=int, default=200, help="phantoms [%(default)s]")
    parser.add_argument("--size", type=int, default=512, help="pixels a side [%(default)s]")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="[one a core]")
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="[what ships]")
    parser.add_argument("--engine", default="auto", help="[%(default)s]")
    parser.add_argument("--precision", default="auto", help="[%(default)s]")
    parser.add_argument("--only", choices=("engine", "local", "ray"), action="append")
    parser.add_argument("--engine-process", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.engine_process:
        files, part = given.engine_process
        loaded = wscxr.load(given.bundle, "cpu", given.engine, given.precision)
        engine_process(loaded, Path(files), part)
        return
    wanted = given.only or ["engine", "local", "ray"]
    plan = Plan(
        bundle=str(given.bundle),
        device="cpu",
        engine=given.engine,
        precision=given.precision,
        threads=1,
        lateral="refuse",
        maps=False,
        pacs=None,
    )
    taken: dict[str, Taken] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = archive(Path(folder), given.images, given.distinct, given.size)
        for way in wanted:
            if way == "engine":
                taken[way] = engine(given, files)
            else:
                work = worklist(Path(folder) / f"{way}.parquet", files)
                with sources(way, plan, work, given.processes) as batches:
                    taken[way] = drain(batches, Path(folder) / f"{way}-rows")
            console.print(f"{way}: {taken[way]}")
    for way, other in (("local", "engine"), ("ray", "local")):
        if {way, other} <= taken.keys():
            console.print(
                f"{way} / {other}: {taken[way].rate / taken[other].rate:.3f} of its images/s; "
                f"{taken[way].core_ms / taken[other].core_ms:.3f} of its processor time an image"
            )


@dataclass(frozen=True)
class Taken:
    """What a run over all images took.

    Attributes
    ----------
    images
        How many there were.
    seconds, first_s
        Until the last row, and until the first ones, in seconds.
    watch
        Processor time and memory of all processes.
    """

    images: int
    seconds: float
    first_s: float
    watch: Watch

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def core_ms(self) -> float:
        """Milliseconds of a core that an image takes."""
        return 1000 * self.watch.seconds / self.images

    def __str__(self) -> str:
        quarters = ", ".join(f"{value / 1e9:.2f}" for value in self.watch.quarters())
        return (
            f"{self.images} images, {self.rate:.2f}/s; {self.core_ms:.1f} ms of a core an image; "
            f"first rows after {self.first_s:.1f} s; largest memory of all processes by quarters "
            f"of the run {quarters} GB"
        )


def archive(folder: Path, images: int, distinct: int, size: int) -> Path:
    """Write some phantoms, and link them under as many names as there are to be images."""
    run_wscxr("phantoms", folder / "made", "--normal", distinct, "--abnormal", 0, "--size", size)
    made = sorted((folder / "made" / "normal").iterdir())
    for number in range(images):
        target = folder / "archive" / f"{number // 1000:04d}" / f"{number:07d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(made[number % distinct])
    return folder / "archive"


def worklist(file: Path, files: Path) -> WorkList:
    """The work list of a first run."""
    return WorkList(file, in_folders([files]), (), RowIds(None))


@contextmanager
def sources(
    way: str, plan: Plan, work: WorkList, processes: int
) -> Iterator[Iterable[pa.RecordBatch]]:
    """Rows as they come: of this machine, or of a Ray cluster of one node with as many cores."""
    if way == "local":
        yield score_locally([plan] * processes, work)
        return
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", os.urandom(32).hex())
    # As all other processes here have it; by default Ray's yield to whatever else there is.
    os.environ.setdefault("RAY_worker_niceness", "0")
    from ray.cluster_utils import Cluster

    from service.archive.cluster import score_on_ray

    options = {"num_cpus": processes, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    try:
        yield score_on_ray(plan, work, cluster.address, processes)
    finally:
        cluster.shutdown()


def drain(batches: Iterable[pa.RecordBatch], out: Path) -> Taken:
    """Write all rows as a run does."""
    shards: Shards | None = None
    images, first_s, started = 0, 0.0, time.perf_counter()
    with Watch() as watch:
        for rows in batches:
            images += rows.num_rows
            if shards is None:
                first_s = time.perf_counter() - started
                (out / WORK).mkdir(parents=True)
                shards = Shards(out, "names", rows["model_sha256"][0].as_py(), 20_000)
            shards.add(rows.select(SHARD.names))
        seconds = time.perf_counter() - started
    return Taken(images, seconds, first_s, watch)


def engine(given: argparse.Namespace, files: Path) -> Taken:
    """Have bare processes compute all images, each its part."""
    command = [sys.executable, "-m", "benchmarks.archive", "--bundle", str(given.bundle)]
    command += ["--engine", given.engine, "--precision", given.precision]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    with Watch() as watch:
        running = [
            subprocess.Popen(
                [*command, "--engine-process", str(files), f"{number}/{given.processes}"],
                env=environment,
            )
            for number in range(given.processes)
        ]
        for process in running:
            if process.wait():
                sys.exit(process.returncode)
        seconds = time.perf_counter() - started
    return Taken(given.images, seconds, 0.0, watch)


def engine_process(loaded: Bundle, files: Path, part: str) -> None:
    """Read, prepare and compute one part of the images; nothing is written or sent."""
    number, parts = map(int, part.split("/"))
    paths = iter(sorted(files.rglob("*.png"))[number::parts])
    while batch := list(islice(paths, BATCH)):
        loaded.predict_inputs(
            [loaded.prepare(read_radiograph(p.read_bytes(), side=loaded.view_side)) for p in batch]
        )


if __name__ == "__main__":
    main()
