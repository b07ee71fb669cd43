"""Attempts made in child processes, which may die without harm."""

import logging
import multiprocessing
import resource
import signal
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.fuzz.doors import FAILED, LoggedErrors, opened

SECONDS = 5
"""Most processor time of one attempt."""

MEMORY = 10**9
"""Most memory of its own that a process may have, in bytes."""
_ADDRESS_SPACE = 8 * 2**30


@dataclass
class Piece:
    """Some attempts at one door, each with its number as seed, and how they ended.

    Attributes
    ----------
    base_bytes, peak_bytes
        Memory of its own that the process that made them had, before the first and at its largest.
        What was mapped from files before the first is left out: programs share it, and how large
        the libraries of PyTorch are depends on its build.
    slowest_s
        Most processor time of an attempt.
    failed
        Numbers and outcomes of attempts that failed.
    """

    door: str
    first: int
    count: int
    outcomes: dict[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0
    base_bytes: int = 0
    peak_bytes: int = 0
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, number: int, outcome: str, seconds: float, peak: int) -> None:
        """Count one attempt."""
        if outcome.startswith(FAILED):
            self.failed[number] = outcome
            outcome = FAILED
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.slowest_s = max(self.slowest_s, seconds)
        self.peak_bytes = max(self.peak_bytes, peak)


def attempts(door: str, first: int, count: int, data: Path | None, answers: Connection) -> None:
    """Make attempts in this process, and send the outcome of each."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    logged = LoggedErrors()
    logging.getLogger().addHandler(logged)
    with tempfile.TemporaryDirectory() as scratch, opened(door, Path(scratch), data) as attempt:
        mapped = _mapped_bytes()
        answers.send(_peak_bytes() - mapped)
        for number in range(first, first + count):
            answers.send((number, "", 0.0, 0))
            # Of a processor, not of the clock: other work on the machine is no fault of the door.
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            started = time.process_time()
            try:
                outcome = attempt(np.random.default_rng(number))
            except MemoryError:
                outcome = f"{FAILED}: out of memory"
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                outcome = f"{FAILED}: {type(error).__name__}: {error}"[:300]
            signal.setitimer(signal.ITIMER_PROF, 0)
            if logged.found:
                outcome = f"{FAILED}: logged {logged.found}"
                logged.found.clear()
            answers.send((number, outcome, time.process_time() - started, _peak_bytes() - mapped))
        answers.send(None)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _mapped_bytes() -> int:
    """Resident memory that is mapped from files (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssFile:")[2].split()[0]) * 1024


def work(piece: Piece, data: Path | None) -> Piece:
    """Make the attempts of a piece in a child process, and in another one when it dies."""
    context = multiprocessing.get_context("spawn")
    number, end = piece.first, piece.first + piece.count
    while number < end:
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(
            target=attempts, args=(piece.door, number, end - number, data, theirs)
        )
        child.start()
        theirs.close()
        begun = False
        try:
            piece.base_bytes = mine.recv()
            begun = True
            while (message := mine.recv()) is not None:
                number, outcome, seconds, peak = message
                if outcome:
                    piece.add(number, outcome, seconds, peak)
                    number += 1
        except EOFError:
            if not begun:
                raise RuntimeError(f"the door {piece.door} does not open") from None
            child.join()
            piece.add(number, f"{FAILED}: the process ended with {child.exitcode}", 0.0, 0)
            number += 1
        child.join()
    return piece
