"""Mutated DICOM files against the reader: every outcome a radiograph or a coded error.

``python -m benchmarks.fuzz_dicom --data FOLDER --count 20000`` mutates real files (headers, pixel
streams, lengths; cuts and splices) in child processes of limited memory, and says how it went.
A child that dies, or needs 5 s of a processor for one file, or 2 GB, is a failure; the command then
exits with 1.
"""

import argparse
import collections
import multiprocessing
import resource
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from wscxr.errors import ImageError
from wscxr.imaging import Assumed, DicomRules, read_radiograph

_MEMORY = 2 * 2**30
_SECONDS = 5
_PIECE = 250
RULES = DicomRules(assume=Assumed(modality="CR", body_part="CHEST", view="PA"))
"""With these every file gets as far as its pixels."""
_BYTES = np.array([0, 1, 2, 7, 8, 0x10, 0x20, 0x7F, 0x80, 0xDA, 0xE0, 0xFE, 0xFF], np.uint8)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Change a few bytes, most of them in the header; cut or splice now and then."""
    mutated = np.frombuffer(data, np.uint8).copy()
    head = min(len(mutated), 3000)
    for _ in range(int(rng.geometric(0.2))):
        end = head if rng.random() < 0.7 else len(mutated)
        place = int(rng.integers(0, end))
        mutated[place] = rng.choice(_BYTES) if rng.random() < 0.5 else rng.integers(0, 256)
    kind = rng.random()
    if kind < 0.1:
        mutated = mutated[: int(rng.integers(0, len(mutated)))]
    elif kind < 0.2:
        start, stop = sorted(rng.integers(0, head, 2).tolist())
        mutated = np.concatenate([mutated[:start], mutated[stop:]])
    elif kind < 0.25:
        start, stop = sorted(rng.integers(0, head, 2).tolist())
        mutated = np.concatenate([mutated[:stop], mutated[start:]])
    return mutated.tobytes()


def read_many(files: list[Path], first: int, count: int, answers: Connection) -> None:
    """Read so many mutations in this process, each with its number as seed."""
    resource.setrlimit(resource.RLIMIT_AS, (2 * _MEMORY, 2 * _MEMORY))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    originals = [path.read_bytes() for path in files]
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        data = mutate(originals[int(rng.integers(len(originals)))], rng)
        answers.send((number, "", 0.0))
        # Of a processor, not of the clock: other work on the machine is no fault of the reader.
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)
        started = time.process_time()
        try:
            read_radiograph(data, rules=RULES)
            outcome = "radiograph"
        except ImageError as error:
            outcome = error.code
        except MemoryError:
            outcome = "OUT OF MEMORY"
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            outcome = f"UNCODED {type(error).__name__}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.send((number, outcome, time.process_time() - started))


def run(files: list[Path], count: int) -> tuple[collections.Counter[str], float, int, list[int]]:
    """Read all mutations; gives outcomes, slowest second, peak KiB, and numbers that failed."""
    outcomes: collections.Counter[str] = collections.Counter()
    failed: list[int] = []
    slowest, number = 0.0, 0
    context = multiprocessing.get_context("fork")
    while number < count:
        mine, theirs = context.Pipe(duplex=False)
        piece = min(_PIECE, count - number)
        child = context.Process(target=read_many, args=(files, number, piece, theirs))
        child.start()
        theirs.close()
        outcome = ""
        try:
            while True:
                number, outcome, seconds = mine.recv()
                if outcome:
                    outcomes[outcome] += 1
                    slowest = max(slowest, seconds)
                    if outcome.isupper() or " " in outcome:
                        failed.append(number)
        except EOFError:
            child.join()
        if not outcome:
            outcomes[f"DIED {child.exitcode}"] += 1
            failed.append(number)
        number += 1
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return outcomes, slowest, peak, failed


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of DICOM files")
    parser.add_argument("--count", type=int, default=20_000)
    arguments = parser.parse_args()
    files = sorted(arguments.data.glob("*.dcm"))
    outcomes, slowest, peak, failed = run(files, arguments.count)
    for outcome, number in outcomes.most_common():
        print(f"{number:7d}  {outcome}")
    print(f"slowest {slowest:.2f} s, peak {peak / 2**10:.0f} MiB, failed {failed[:20]}")
    return 1 if failed or slowest > _SECONDS or peak > _MEMORY / 2**10 else 0


if __name__ == "__main__":
    sys.exit(main())
