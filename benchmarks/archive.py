"""Whole archives: `wscxr archive score` against the bare engine, and Ray against one machine.

The engine is as many processes as score, each doing nothing but read, prepare and compute. All
rates are those after loading. The phantoms are few and linked under many names, so files come from
the page cache; each is read and decoded as often as it is named.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa

import wscxr
from benchmarks.common import console, run_wscxr
from service.archive.local import score_locally
from service.archive.plan import Plan
from service.archive.rows import SHARD
from service.archive.shards import Shards
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
        files, count = given.engine_process
        loaded = wscxr.load(given.bundle, "cpu", given.engine, given.precision)
        engine_process(loaded, Path(files), int(count))
        return
    wanted = given.only or ["engine", "local", "ray"]
    with tempfile.TemporaryDirectory() as folder:
        files = archive(Path(folder), given.images, given.distinct, given.size)
        rates = {}
        if "engine" in wanted:
            rates["engine"] = engine(given, files)
            console.print(f"engine: {rates['engine']:.2f} images/s, {given.processes} processes")
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
        for way in ("local", "ray"):
            if way in wanted:
                work = worklist(Path(folder) / f"{way}.parquet", files)
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                with sources(way, plan, work, given.processes) as batches:
                    timed = drain(batches, Path(folder) / f"{way}-rows")
                rates[way] = timed.rate
                console.print(f"{way}: {timed}")
                if way == "local":
                    after = resource.getrusage(resource.RUSAGE_CHILDREN)
                    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                    console.print(f"local: {1000 * spent / given.images:.1f} ms of a core an image")
    if {"engine", "local"} <= rates.keys():
        console.print(f"local / engine: {rates['local'] / rates['engine']:.3f}")
    if {"local", "ray"} <= rates.keys():
        console.print(f"overhead of Ray: {100 * (rates['local'] / rates['ray'] - 1):.1f} %")


@dataclass
class Timed:
    """What draining all rows took."""

    rows: int = 0
    seconds: float = 0.0
    first_s: float = 0.0
    first_rows: int = 0
    memory: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Images a second after the first rows."""
        return (self.rows - self.first_rows) / (self.seconds - self.first_s)

    def __str__(self) -> str:
        quarters = [max(part) for part in quartered(self.memory)]
        return (
            f"{self.rate:.2f} images/s; first rows after {self.first_s:.1f} s, all {self.rows} "
            f"after {self.seconds:.1f} s; memory by quarters of the run "
            f"{', '.join(f'{value / 1e9:.2f}' for value in quarters)} GB"
        )


def quartered(values: Sequence[int]) -> Iterator[Sequence[int]]:
    """Cut a series into four parts of about the same length."""
    for part in range(4):
        start, end = len(values) * part // 4, len(values) * (part + 1) // 4
        yield values[start : max(end, start + 1)] or [0]


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
    from ray.cluster_utils import Cluster

    from service.archive.cluster import score_on_ray

    options = {"num_cpus": processes, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    try:
        yield score_on_ray(plan, work, cluster.address, processes)
    finally:
        cluster.shutdown()


def drain(batches: Iterable[pa.RecordBatch], out: Path) -> Timed:
    """Write all rows as a run does, and watch the memory meanwhile."""
    timed = Timed()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(1):
            timed.memory.append(scorers_memory())

    watcher = threading.Thread(target=watch)
    started = time.perf_counter()
    sha256 = ""
    shards: Shards | None = None
    watcher.start()
    try:
        for rows in batches:
            timed.rows += rows.num_rows
            timed.seconds = time.perf_counter() - started
            if not timed.first_rows:
                timed.first_rows, timed.first_s = rows.num_rows, timed.seconds
                sha256 = rows["model_sha256"][0].as_py()
                (out / ".work").mkdir(parents=True)
                shards = Shards(out, "names", sha256, 20_000)
            if shards is not None:
                shards.add(rows.select(SHARD.names))
    finally:
        stop.set()
        watcher.join()
    return timed


def scorers_memory() -> int:
    """Resident memory of all scoring processes on this machine and of this one, in bytes."""
    total = resident(Path("/proc/self"))
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"service.archive.child" in (entry / "cmdline").read_bytes():
                total += resident(entry)
        except OSError:
            continue  # it ended meanwhile
    return total


def resident(entry: Path) -> int:
    """Resident memory of a process, in bytes (Linux)."""
    return int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def engine(given: argparse.Namespace, files: Path) -> float:
    """Images a second of bare processes, all together."""
    command = [sys.executable, "-m", "benchmarks.archive", "--bundle", str(given.bundle)]
    command += ["--engine", given.engine, "--precision", given.precision]
    command += ["--engine-process", str(files), str(given.images // given.processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        for _ in range(given.processes)
    ]
    return sum(float(process.communicate()[0]) for process in running)


def engine_process(loaded: Bundle, files: Path, images: int) -> None:
    """Read, prepare and compute, and print images a second; nothing is written or sent."""
    paths = islice(sorted(files.rglob("*.png")), images)
    started = time.perf_counter()
    done = 0
    while batch := list(islice(paths, BATCH)):
        loaded.predict_inputs(
            [loaded.prepare(read_radiograph(p.read_bytes(), side=loaded.view_side)) for p in batch]
        )
        done += len(batch)
    print(done / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
