"""The service over HTTP against the bare detector on the same bytes, in one run.

Full-size radiographs (2500 x 2048, JPEG), DenseNet121 at 256 px, on the CPU.
"""

import argparse
import http.client
import io
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from PIL import Image

from benchmarks.common import WSCXR, console, run_wscxr, train_densenet
from training.phantoms import make_phantom
from wscxr.bundle.bundle import Bundle
from wscxr.imaging import read_radiograph

WIDTH, HEIGHT = 2048, 2500
FILES = 8
REQUESTS = 40
CLIENTS = 16
MAX_BATCH = 8
BOUNDARY = "wscxr-benchmark"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print latency, throughput, start-up time and memory of the service."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run_wscxr("phantoms", root / "phantoms", "--normal", 100, "--abnormal", 16)
        bundle_path = root / "store/bench/1"
        train_densenet(root / "phantoms", bundle_path, "--steps", 100)
        files = full_size_files()
        bare = measure_bare(bundle_path, files)
        with server(root / "store") as running:
            served = measure_served(running.port, files)
            memory = peak_memory(running.process.pid)
    console.print(
        f"one at a time: bare {1000 * bare.latency_s:.0f} ms, HTTP {1000 * served.latency_s:.0f} "
        f"ms, ratio {served.latency_s / bare.latency_s:.2f}"
    )
    console.print(
        f"throughput: bare batches of {MAX_BATCH} {bare.per_s:.2f}/s, {CLIENTS} clients over HTTP "
        f"{served.per_s:.2f}/s, ratio {served.per_s / bare.per_s:.2f}"
    )
    console.print(f"start to ready: {running.start_s:.1f} s; peak memory {memory / 1e9:.2f} GB")


@dataclass(frozen=True)
class Speed:
    """Median seconds of one request alone, and requests per second when there are many."""

    latency_s: float
    per_s: float


@dataclass(frozen=True, eq=False)
class Running:
    """A server that is ready, and the seconds it took to be."""

    process: "subprocess.Popen[bytes]"
    port: int
    start_s: float


def full_size_files() -> list[bytes]:
    """Phantoms of a radiograph's size, as JPEG files."""
    files = []
    for seed in range(FILES):
        picture = Image.fromarray(make_phantom(seed, abnormal=seed % 2 == 1, size=1024).pixels)
        buffer = io.BytesIO()
        picture.resize((WIDTH, HEIGHT)).save(buffer, format="JPEG", quality=95)
        files.append(buffer.getvalue())
    return files


def measure_bare(path: Path, files: Sequence[bytes]) -> Speed:
    """Decode and score in this process: one by one, then in batches decoded on all cores."""
    bundle = Bundle.load(path, torch.device("cpu"))

    def one(data: bytes) -> None:
        bundle.predict([read_radiograph(data)])

    latency = median_seconds(lambda number: one(files[number % FILES]))
    with ThreadPoolExecutor() as pool:

        def batch() -> None:
            decoded = list(pool.map(lambda data: bundle.prepare(read_radiograph(data)), files))
            bundle.predict_inputs(decoded)

        batch()
        started = time.perf_counter()
        for _ in range(REQUESTS // FILES):
            batch()
        seconds = time.perf_counter() - started
    return Speed(latency, REQUESTS / seconds)


def measure_served(port: int, files: Sequence[bytes]) -> Speed:
    """Post over HTTP: one at a time, then from many clients at once."""

    def post(connection: http.client.HTTPConnection, number: int) -> None:
        body = (
            f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=file; filename=x\r\n\r\n"
        ).encode() + files[number % FILES]
        body += f"\r\n--{BOUNDARY}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection.request("POST", "/v1/predict", body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(answer.decode())

    connection = http.client.HTTPConnection("127.0.0.1", port)
    latency = median_seconds(lambda number: post(connection, number))

    def client(number: int) -> None:
        own = http.client.HTTPConnection("127.0.0.1", port)
        for request in range(REQUESTS // FILES):
            post(own, number + request)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
        started = time.perf_counter()
        list(pool.map(client, range(CLIENTS)))
        seconds = time.perf_counter() - started
    return Speed(latency, CLIENTS * (REQUESTS // FILES) / seconds)


def median_seconds(work: Callable[[int], None]) -> float:
    """Median time of a call, the first ones thrown away."""
    times = []
    for number in range(REQUESTS):
        started = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - started)
    return median(times[REQUESTS // 4 :])


@contextmanager
def server(store: Path, *more: object) -> Iterator[Running]:
    """Run the real server for a while."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = time.perf_counter()
    options = ["--model-store", str(store), "--device", "cpu", "--port", str(port)]
    options += map(str, more)
    with subprocess.Popen([*WSCXR, "serve", *options], stderr=subprocess.DEVNULL) as process:
        try:
            while not ready(port):
                if process.poll() is not None:
                    raise RuntimeError("the server ended before it was ready")
                time.sleep(0.05)
            yield Running(process, port, time.perf_counter() - started)
        finally:
            process.terminate()


def ready(port: int) -> bool:
    """Whether the server says that it is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except ConnectionError:
        return False
    finally:
        connection.close()


def peak_memory(pid: int) -> int:
    """Peak resident memory of a process in bytes (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell peak memory")


if __name__ == "__main__":
    main()
