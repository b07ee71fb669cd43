"""The watcher beside a real Orthanc, in both its forms, against the bare detector, in one run.

Studies of one radiograph each (2500 x 2048, 12 bits, native), scored by the bundle that ships, on
the CPU. The watcher pulls each; a capture and a report are made of it, stored and read back. In the
one form the watcher sends the radiograph to the service over HTTP, in the other it scores it
itself. The bare detector reads and scores the same bytes with one thread. Orthanc has the same
machine, and its processor time is shown apart.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import torch
from PIL import Image

from benchmarks.common import console
from benchmarks.serving import HEIGHT, WIDTH, server
from tests.dicom_files import dataset, written
from tests.service.pacs.orthanc import Orthanc
from tests.service.pacs.processes import WatcherProcess, get
from tests.service.pacs.scorer import Scorer
from tests.service.serving import free_port
from training.phantoms import make_phantom
from wscxr import shipped
from wscxr.bundle.bundle import Bundle
from wscxr.imaging import read_radiograph

PICTURES = 8
WARM = 8
"""Studies that are worked on before the measurement: what comes first loads modules and tables."""

RESULTS = 2
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Watched:
    """What a form of the watcher took; processor time and seconds of a study, memory in bytes."""

    per_s: float
    outside_s: float
    orthanc_s: float
    watcher_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Print rates and processor times of both forms, and their ratios to the bare detector's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4, help="WSCXR_PACS_WORKERS")
    parser.add_argument("--studies", type=int, default=60, help="studies in the archive")
    given = parser.parse_args(arguments)
    files = radiographs(given.studies)
    bare_s = bare(files[:PICTURES])
    console.print(f"bare detector: {1000 * bare_s:.0f} ms of processor time a radiograph")
    store = shipped.model_store()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with server(store) as running:
            url, pid = f"http://127.0.0.1:{running.port}", running.process.pid
            show("two processes", watch(root / "two", files, given.workers, url, [pid]), bare_s)
        show("one process", watch(root / "one", files, given.workers, None, []), bare_s)


def show(form: str, took: Watched, bare_s: float) -> None:
    """Print one form."""
    console.print(
        f"{form}: {took.per_s:.2f} studies/s; processor time a study {1000 * took.outside_s:.0f} "
        f"ms outside Orthanc, {took.outside_s / bare_s:.1f} x the bare detector's, and "
        f"{1000 * took.orthanc_s:.0f} ms in Orthanc; watcher {took.watcher_bytes / 1e6:.0f} MB"
    )


def radiographs(count: int) -> list[bytes]:
    """Phantoms of a radiograph's size as DICOM files, each a study of its own."""
    pictures = []
    for seed in range(PICTURES):
        small = Image.fromarray(make_phantom(seed, abnormal=seed % 2 == 1, size=1024).pixels)
        grey = np.asarray(small.resize((WIDTH, HEIGHT)), dtype=np.uint16) << 4
        noise = np.random.default_rng(seed).integers(0, 16, grey.shape, dtype=np.uint16)
        pictures.append(grey | noise)
    day = f"{datetime.now(UTC):%Y%m%d}"
    return [
        written(dataset(pictures[number % PICTURES], seed=number, StudyDate=day))
        for number in range(count)
    ]


def bare(files: Sequence[bytes]) -> float:
    """Processor time of reading and scoring one file, with one thread."""
    bundle = Bundle.load(shipped.model_store() / shipped.BUNDLE, torch.device("cpu"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def once() -> None:
        for data in files:
            bundle.predict([read_radiograph(data)])

    once()
    started = time.process_time()
    once()
    torch.set_num_threads(threads)
    return (time.process_time() - started) / len(files)


def watch(
    root: Path, files: Sequence[bytes], workers: int, url: str | None, others: list[int]
) -> Watched:
    """Have a watcher work on all that lies in an archive; its start and the first are left out.

    Parameters
    ----------
    root
        Folder for archive and watcher.
    url
        Address of the service; None for a watcher that scores itself.
    others
        Processes whose time counts, beside the watcher's.
    """
    root.mkdir()
    port = free_port()
    with archive(root / "orthanc", files) as orthanc:
        settings = {"workers": str(workers), "metrics_port": str(port), "poll_s": "2"}
        settings |= {"in_process": "true"} if url is None else {"service_url": url}
        # Of the stand-in for the service only the address is asked for, and replaced.
        watcher = WatcherProcess(orthanc, Scorer(), root / "watcher", own=None, **settings)
        try:
            while '"watching"' not in watcher.output.read_text():
                time.sleep(0.005)
            outside = [watcher.process.pid, *others]
            while (first := stored(port)) < WARM:
                time.sleep(0.1)
            before = sum(map(processor_s, outside)), processor_s(orthanc.pid)
            started = time.perf_counter()
            while stored(port) < len(files):
                time.sleep(0.5)  # a look costs the watcher some milliseconds
            seconds = time.perf_counter() - started
            outside_s = sum(map(processor_s, outside)) - before[0]
            orthanc_s = processor_s(orthanc.pid) - before[1]
            memory = resident_bytes(port)
        finally:
            watcher.stop()
        if len(orthanc.sops()) != len(files) * (1 + RESULTS):
            raise RuntimeError(f"{len(orthanc.sops())} instances in the archive")
    count = len(files) - first
    return Watched(count / seconds, outside_s / count, orthanc_s / count, memory)


@contextmanager
def archive(folder: Path, files: Sequence[bytes]) -> Iterator[Orthanc]:
    """An Orthanc with these files, until the block ends."""
    orthanc = Orthanc(folder)
    orthanc.start()
    try:
        orthanc.stow(files)
        yield orthanc
    finally:
        orthanc.kill()


def processor_s(pid: int) -> float:
    """Processor time of a process so far, in seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def stored(port: int) -> float:
    """Instances whose results were stored and read back."""
    return metric(port, 'wscxr_pacs_instances_total{code="",outcome="stored"}')


def resident_bytes(port: int) -> int:
    """Resident memory of a watcher."""
    return int(metric(port, "process_resident_memory_bytes"))


def metric(port: int, name: str) -> float:
    """A number that the watcher exposes; 0 where it does not yet."""
    try:
        lines = get(port, "/metrics").text.splitlines()
    except httpx.HTTPError:
        return 0
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
