"""The shipped bundle over HTTP under load, as ratios to the bare detector in the same run.

The load comes from ``ab`` (Debian: apache2-utils) on the same machine. Printed are, for 224 x 224
and 2500 x 2048 JPEG files, images/s and processor time of a request with 16 clients, median and
99th percentile of one client, and answers at 80 % and 150 % of that rate; with ``--requests`` the
growth of memory over so many; with ``--peer`` the same behind LitServe.
"""

import argparse
import asyncio
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.table import Table

from benchmarks.common import console
from benchmarks.serving import BOUNDARY, full_size_files, ready, server
from training.phantoms import make_phantom
from wscxr import shipped
from wscxr.bundle.bundle import Bundle
from wscxr.imaging import read_radiograph

CLIENTS = 16
SECONDS = 10
"""How long each measurement takes, about."""


@dataclass(frozen=True)
class UnderLoad:
    """What ``ab`` saw, and what the server took."""

    per_s: float
    median_ms: float
    p99_ms: float
    refused: int
    processor_ms: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="[1 2] processes")
    parser.add_argument("--requests", type=int, default=0, help="for the growth of memory")
    parser.add_argument("--peer", action="store_true", help="LitServe too")
    options = parser.parse_args(arguments)
    if shutil.which("ab") is None:
        console.print("[bold red]not measured: there is no ab; apt-get install apache2-utils")
        return
    files = {"224 x 224": small_file(), "2500 x 2048": full_size_files()[0]}
    bare = {name: bare_ms(data) for name, data in files.items()}
    table = Table("", "file", "images/s", "ms of processor", "x bare", "1 client: median", "p99")
    for name, (processor, wall) in bare.items():
        table.add_row("bare detector", name, f"{1000 / wall:.0f}", f"{processor:.1f}", "1.00")
    paced: list[tuple[str, str, float, str]] = []
    for workers in options.workers:
        with server(shipped.model_store(), "--workers", workers) as running:
            pid, port = running.process.pid, running.port
            for name, data in files.items():
                many, one = measure(pid, port, data)
                add(table, f"{workers} worker(s)", name, many, one, bare[name][0])
                for share in (0.8, 1.5):
                    answers = asyncio.run(at_rate(port, form(data), share * many.per_s))
                    paced.append((f"{workers} worker(s)", name, share, answers))
            if options.requests:
                grown(pid, port, files["224 x 224"], options.requests)
    if options.peer:
        for workers in options.workers:
            with peer(workers) as (pid, port):
                for name, data in files.items():
                    add(
                        table,
                        f"LitServe, {workers}",
                        name,
                        *measure(pid, port, data),
                        bare[name][0],
                    )
    console.print(table)
    at_rates = Table("", "file", "share of the greatest rate", "answers")
    for service, name, share, seen in paced:
        at_rates.add_row(service, name, f"{share:.0%}", seen)
    console.print(at_rates)


def add(table: Table, what: str, name: str, many: UnderLoad, one: UnderLoad, bare: float) -> None:
    """Add one row."""
    table.add_row(
        what,
        name,
        f"{many.per_s:.0f}" + (f" ({many.refused} refused)" if many.refused else ""),
        f"{many.processor_ms:.1f}",
        f"{many.processor_ms / bare:.2f}",
        f"{one.median_ms:.0f} ms",
        f"{one.p99_ms:.0f} ms",
    )


def small_file() -> bytes:
    """A phantom of 224 x 224 pixels, as JPEG."""
    buffer = io.BytesIO()
    pixels = make_phantom(0, abnormal=True, size=224).pixels
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def form(data: bytes) -> bytes:
    """The body of a request."""
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=file; filename=x\r\n\r\n"
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def bare_ms(data: bytes) -> tuple[float, float]:
    """Milliseconds of processor and of wall time that an image takes without a service."""
    bundle = Bundle.load(shipped.model_store() / shipped.BUNDLE, "cpu")

    def one() -> None:
        bundle.predict_inputs([bundle.prepare(read_radiograph(data, side=bundle.view_side))])

    for _ in range(20):
        one()
    count, wall, processor = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < SECONDS / 2:
        one()
        count += 1
    return (
        1000 * (time.process_time() - processor) / count,
        1000 * (time.perf_counter() - wall) / count,
    )


def measure(pid: int, port: int, data: bytes) -> tuple[UnderLoad, UnderLoad]:
    """Many clients, and one."""
    ab(pid, port, data, CLIENTS, 5 * CLIENTS)
    probe = ab(pid, port, data, CLIENTS, 10 * CLIENTS)
    many = ab(pid, port, data, CLIENTS, max(200, int(SECONDS * probe.per_s)))
    return many, ab(pid, port, data, 1, max(100, int(SECONDS / 2 * probe.per_s)))


def ab(pid: int, port: int, data: bytes, clients: int, requests: int) -> UnderLoad:
    """Post a file so many times."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(form(data))
        body.flush()
        before = processor_s(pid)
        done = subprocess.run(
            [
                *("ab", "-q", "-k", "-l", "-c", str(clients), "-n", str(requests), "-p", body.name),
                *("-T", f"multipart/form-data; boundary={BOUNDARY}"),
                f"http://127.0.0.1:{port}/v1/predict",
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        took = processor_s(pid) - before

    def number(pattern: str) -> float:
        found = re.search(pattern, done)
        return float(found[1]) if found else 0.0

    return UnderLoad(
        per_s=number(r"Requests per second:\s+([\d.]+)"),
        median_ms=number(r"50%\s+(\d+)"),
        p99_ms=number(r"99%\s+(\d+)"),
        refused=int(number(r"Non-2xx responses:\s+(\d+)")),
        processor_ms=1000 * took / requests,
    )


def tree(pid: int) -> Iterator[int]:
    """A process and all below it (Linux)."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield from tree(int(child))


def processor_s(pid: int) -> float:
    """Processor time of a process and all below it, in seconds."""
    ticks = 0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory of a process and all below it, what they share counted once (PSS)."""
    total = 0
    for each in tree(pid):
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{each}/smaps_rollup").read_text(), re.M)
        total += int(found[1]) if found else 0
    return total / 1024


async def at_rate(port: int, body: bytes, per_s: float) -> str:
    """Send requests at a rate, whatever becomes of them; describe the answers."""
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    took: dict[str, list[float]] = {}

    async def post() -> None:
        started = time.perf_counter()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + body)
            answer = await reader.read()
            writer.close()
            status = answer[9:12].decode() or "closed"
        except OSError:
            status = "closed"
        took.setdefault(status, []).append(1000 * (time.perf_counter() - started))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(SECONDS * per_s)):
            await asyncio.sleep(max(0.0, started + number / per_s - time.perf_counter()))
            group.create_task(post())
    return "; ".join(
        f"{status}: {len(times)}, p50 {np.percentile(times, 50):.0f} ms, "
        f"p99 {np.percentile(times, 99):.0f} ms"
        for status, times in sorted(took.items())
    )


def grown(pid: int, port: int, data: bytes, requests: int) -> None:
    """Print the memory after a tenth of the requests, and after all of them."""
    ab(pid, port, data, CLIENTS, requests // 10)
    before = resident_mb(pid)
    ab(pid, port, data, CLIENTS, requests - requests // 10)
    console.print(
        f"memory: {before:.0f} MB after {requests // 10} requests, {resident_mb(pid):.0f} MB "
        f"after {requests}"
    )


@contextmanager
def peer(workers: int) -> Iterator[tuple[int, int]]:
    """Run LitServe for a while; its process and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.serving_peer", str(port), str(workers)]
    # Its processes outlive the first one, so that they are ended as a group.
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            while not ready(port):
                if process.poll() is not None:
                    raise RuntimeError("LitServe ended before it was ready: is it installed?")
                time.sleep(0.1)
            yield process.pid, port
        finally:
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
