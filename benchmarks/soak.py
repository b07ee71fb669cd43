"""The service for an hour, at a share of what it can do, with hostile files among the others.

``python -m benchmarks.soak --minutes 60 --load 0.8`` starts ``wscxr serve`` with the bundle that
ships, measures what it can do, and then posts radiographs at that share of it, whether the answers
come or not; 5 % of the files are hostile. Every minute it prints memory, threads and descriptors of
the service, and the answer times. They must be as flat at the end as after the first quarter.

The load is a share of what was measured at the beginning: where something else runs on the machine,
say so beside the figures. ``--rate`` gives the requests a second directly.
"""

import argparse
import itertools
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np

from benchmarks.common import console
from benchmarks.fuzz.mutations import mutate
from benchmarks.serving import full_size_files, server
from tests.service import pictures
from wscxr import shipped

HOSTILE = 0.05
"""Share of hostile files."""

CLIENTS = 64
MEMORY_GROWTH = 1.1
SLOWER = 1.5


@dataclass(frozen=True)
class Exchange:
    """How one request ended: when, after how long, and with which status."""

    ended: float
    seconds: float
    status: int
    hostile: bool


@dataclass(frozen=True)
class Minute:
    """One minute of the service.

    Attributes
    ----------
    memory_mb, threads, descriptors
        Of the service's process, at the end of the minute. Memory is what is resident of its own;
        what is mapped from files comes and goes with the memory that the machine has left.
    p50_s, p99_s
        Seconds until the answer of sound files, hostile ones among them in the queue.
    statuses
        Answers by status; 0 where none came.
    """

    minute: int
    memory_mb: float
    threads: int
    descriptors: int
    p50_s: float
    p99_s: float
    statuses: dict[int, int]


def hostile_files() -> list[bytes]:
    """Files that are damaged, too large, or no picture; each must be refused with a code."""
    sound = full_size_files()[0]
    rng = np.random.default_rng(0)
    bombs = [pictures.png_of_zeros(20_000, 20_000, rows=2000), pictures.text_bomb()]
    return [
        *bombs,
        pictures.animated_png(),
        sound[: len(sound) // 2],
        b"%PDF-1.7 no picture",
        *(mutate(sound, rng) for _ in range(20)),
    ]


class Clients:
    """Posts files, and remembers the answers."""

    def __init__(self, port: int) -> None:
        self.answers: list[Exchange] = []
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            timeout=60,
            limits=httpx.Limits(max_connections=CLIENTS),
        )

    def post(self, file: bytes, *, hostile: bool) -> None:
        """Post one file."""
        started = time.monotonic()
        try:
            status = self._client.post("/v1/predict", files={"file": file}).status_code
        except httpx.TransportError:
            status = 0
        ended = time.monotonic()
        self.answers.append(Exchange(ended, ended - started, status, hostile))


def capacity(clients: Clients, files: Sequence[bytes], seconds: float) -> float:
    """Requests a second with eight clients that post without pause."""
    end = time.monotonic() + seconds

    def post(number: int) -> int:
        count = 0
        while time.monotonic() < end:
            clients.post(files[(number + count) % len(files)], hostile=False)
            count += 1
        return count

    with ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(post, range(8)))
    return done / seconds


def arrivals(rate: float, minutes: float) -> Iterator[tuple[float, bool]]:
    """Seconds from the start at which requests are posted, and whether they are hostile."""
    rng = np.random.default_rng(0)
    at = 0.0
    while (at := at + float(rng.exponential(1 / rate))) < 60 * minutes:
        yield at, bool(rng.random() < HOSTILE)


def observe(pid: int, minute: int, answers: Sequence[Exchange]) -> Minute:
    """What a minute was like (Linux)."""
    process = Path(f"/proc/{pid}")
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    sound = [answer.seconds for answer in answers if not answer.hostile]
    p50, p99 = np.quantile(sound, (0.5, 0.99)) if sound else (float("nan"),) * 2
    return Minute(
        minute=minute,
        memory_mb=int(status["RssAnon"].split()[0]) / 1000,
        threads=int(status["Threads"]),
        descriptors=len(list((process / "fd").iterdir())),
        p50_s=round(float(p50), 3),
        p99_s=round(float(p99), 3),
        statuses=dict(Counter(answer.status for answer in answers)),
    )


def verdict(minutes: Sequence[Minute]) -> list[str]:
    """What is not as flat as it must be: the last quarter against the second."""
    quarter = len(minutes) // 4
    if not quarter:
        return ["too few minutes to say anything"]
    before, after = minutes[quarter : 2 * quarter], minutes[-quarter:]
    wrong = []
    for name, most in (("memory_mb", MEMORY_GROWTH), ("descriptors", SLOWER), ("p99_s", SLOWER)):
        first, last = (float(np.median([getattr(m, name) for m in m_s])) for m_s in (before, after))
        console.print(f"{name}: {first:.3g} in the second quarter, {last:.3g} in the last")
        if last > most * first:
            wrong.append(f"{name} grew")
    statuses = sum((Counter(minute.statuses) for minute in minutes), Counter[int]())
    console.print(f"answers by status: {dict(statuses)}")
    wrong += [f"{statuses[status]} answers {status}" for status in (0, 500) if statuses[status]]
    return wrong


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60, help="[%(default)s]")
    parser.add_argument("--load", type=float, default=0.8, help="share of capacity [%(default)s]")
    parser.add_argument("--rate", type=float, help="requests a second, in place of a share")
    parser.add_argument("--record", type=Path, help="file for a line of JSON each minute")
    options = parser.parse_args()
    sound, hostile = full_size_files(), hostile_files()
    with server(shipped.model_store()) as running:
        clients = Clients(running.port)
        can = capacity(clients, sound, 30)
        rate = options.rate or options.load * can
        console.print(f"capacity {can:.2f}/s; load {rate:.2f}/s, {rate / can:.0%} of it")
        minutes: list[Minute] = []
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(60):
                since = time.monotonic() - 60
                recent = [answer for answer in clients.answers if answer.ended >= since]
                minutes.append(observe(running.process.pid, len(minutes) + 1, recent))
                line = json.dumps(asdict(minutes[-1]))
                console.print(line, soft_wrap=True)
                if options.record:
                    with options.record.open("a") as file:
                        file.write(line + "\n")

        watching = threading.Thread(target=watch)
        watching.start()
        files, bad = itertools.cycle(sound), itertools.cycle(hostile)
        started = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            for at, is_hostile in arrivals(rate, options.minutes):
                time.sleep(max(0.0, started + at - time.monotonic()))
                pool.submit(clients.post, next(bad if is_hostile else files), hostile=is_hostile)
        stop.set()
        watching.join()
        wrong = verdict(minutes)
        if running.process.poll() is not None:
            wrong.append("the service ended")
    for each in wrong:
        console.print(f"NOT HELD: {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
