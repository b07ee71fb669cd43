"""Mutated files and requests at every door: each must end in a result or a coded refusal.

``python -m benchmarks.fuzz --count 100000 --record fuzz.jsonl`` makes so many attempts, spread over
PNG, JPEG, DICOM, bundles, multipart uploads and the Open Inference Protocol, in child processes of
limited memory. The record has a line for each piece of work; run again with the same record, the
command goes on where it was. An attempt that ends its process, raises what has no code, answers
500, logs an error or needs more than 5 s of processor time fails; more than 1 GB of memory fails,
too. The exit code is then 1. ``--repeat DOOR NUMBER`` makes one attempt again, in this process.
"""

import argparse
import collections
import json
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.fuzz.doors import DOORS, opened
from benchmarks.fuzz.pieces import MEMORY, SECONDS, Piece, work

SHARES = {"png": 20, "jpeg": 20, "dicom": 25, "bundle": 5, "multipart": 15, "oip": 15}
"""Percent of all attempts."""

_PIECE = 1000


def pieces(count: int, doors: list[str]) -> list[Piece]:
    """Spread attempts over the doors; first a piece of each, then the next."""
    total = sum(SHARES[door] for door in doors)
    found = []
    for door in doors:
        own = count * SHARES[door] // total
        found += [Piece(door, at, min(_PIECE, own - at)) for at in range(0, own, _PIECE)]
    return sorted(found, key=lambda piece: piece.first)


def read_record(path: Path) -> list[Piece]:
    """The pieces that a record says are done."""
    if not path.exists():
        return []
    return [Piece(**json.loads(line)) for line in path.read_text().splitlines()]


def report(done: list[Piece]) -> bool:
    """Print what happened at each door; whether nothing failed."""
    for door in DOORS:
        own = [piece for piece in done if piece.door == door]
        if not own:
            continue
        outcomes: collections.Counter[str] = collections.Counter()
        for piece in own:
            outcomes.update(piece.outcomes)
        print(
            f"{door}: {outcomes.total()} attempts, slowest {max(p.slowest_s for p in own):.2f} s, "
            f"memory {max(p.base_bytes for p in own) / 1e6:.0f} MB before, "
            f"{max(p.peak_bytes for p in own) / 1e6:.0f} MB at most"
        )
        for outcome, number in outcomes.most_common():
            print(f"{number:8d}  {outcome}")
        for piece in own:
            for attempt, outcome in piece.failed.items():
                print(f"          {attempt}: {outcome}")
    return all(
        not piece.failed and piece.slowest_s <= SECONDS and piece.peak_bytes <= MEMORY
        for piece in done
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="attempts in all [%(default)s]")
    parser.add_argument("--doors", default=",".join(DOORS), help="[%(default)s]")
    parser.add_argument("--data", type=Path, help="folder of real files to mutate as well")
    parser.add_argument("--record", type=Path, help="file to write what is done to, and go on from")
    parser.add_argument("--processes", type=int, default=1, help="at once [%(default)s]")
    parser.add_argument("--repeat", nargs=2, metavar=("DOOR", "NUMBER"), help="make one again")
    options = parser.parse_args()
    if options.repeat:
        door, number = options.repeat[0], int(options.repeat[1])
        with (
            tempfile.TemporaryDirectory() as scratch,
            opened(door, Path(scratch), options.data) as attempt,
        ):
            print(attempt(np.random.default_rng(number)))
        return 0
    done = read_record(options.record) if options.record else []
    known = {(piece.door, piece.first) for piece in done}
    wanted = pieces(options.count, options.doors.split(","))
    writing = threading.Lock()

    def one(piece: Piece) -> None:
        work(piece, options.data)
        with writing:
            done.append(piece)
            if options.record:
                with options.record.open("a") as file:
                    file.write(json.dumps(asdict(piece)) + "\n")

    with ThreadPoolExecutor(options.processes) as pool:
        list(pool.map(one, [each for each in wanted if (each.door, each.first) not in known]))
    return 0 if report(done) else 1


if __name__ == "__main__":
    sys.exit(main())
