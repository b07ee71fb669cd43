"""The watcher beside a real Orthanc against the bare detector on the same bytes, in one run.

Studies of one radiograph each (2500 x 2048, 12 bits, native), DenseNet121 at 256 px on the CPU. The
watcher pulls each, the service decodes and scores it and makes a secondary capture and a structured
report, the watcher stores both and reads them back. Orthanc, service, watcher and, before them, the
bare detector have the whole machine.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks.common import console, run_wscxr, train_densenet
from benchmarks.serving import HEIGHT, WIDTH, measure_bare, server
from tests.dicom_files import dataset, written
from tests.service.pacs.orthanc import Orthanc
from tests.service.pacs.processes import WatcherProcess, get
from tests.service.pacs.scorer import Scorer
from tests.service.serving import free_port
from training.phantoms import make_phantom

STUDIES = 40
PICTURES = 8
RESULTS = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4, help="WSCXR_PACS_WORKERS")
    workers = parser.parse_args(arguments).workers
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run_wscxr("phantoms", root / "phantoms", "--normal", 100, "--abnormal", 16)
        bundle_path = root / "store/bench/1"
        train_densenet(root / "phantoms", bundle_path, "--steps", 100)
        files = radiographs(STUDIES)
        bare = measure_bare(bundle_path, files[:PICTURES]).per_s
        orthanc = Orthanc(root / "orthanc")
        orthanc.start()
        try:
            orthanc.stow(files)
            with server(root / "store") as running:
                seconds = watch(orthanc, f"http://127.0.0.1:{running.port}", root, workers)
            stored = len(orthanc.sops())
        finally:
            orthanc.kill()
    if stored != STUDIES * (1 + RESULTS):
        raise RuntimeError(f"{stored} instances in the archive")
    rate = STUDIES / seconds
    console.print(
        f"bare detector {bare:.2f}/s; watcher end to end {rate:.2f}/s "
        f"({workers} workers); ratio {rate / bare:.2f}"
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


def watch(orthanc: Orthanc, service_url: str, root: Path, workers: int) -> float:
    """Seconds a watcher needs for all that lies in the archive, its own start left out."""
    port = free_port()
    watcher = WatcherProcess(
        orthanc,
        Scorer(),  # only its address is asked for, and replaced
        root / "watcher",
        service_url=service_url,
        workers=str(workers),
        metrics_port=str(port),
    )
    try:
        while '"watching"' not in watcher.output.read_text():
            time.sleep(0.005)
        started = time.perf_counter()
        while stored(port) < STUDIES:
            time.sleep(0.02)
        return time.perf_counter() - started
    finally:
        watcher.stop()


def stored(port: int) -> float:
    """Instances whose results were stored and read back."""
    try:
        lines = get(port, "/metrics").text.splitlines()
    except httpx.HTTPError:
        return 0
    name = 'wscxr_pacs_instances_total{code="",outcome="stored"}'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
