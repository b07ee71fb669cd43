"""Watcher, service and archive (Orthanc) killed at random with SIGKILL while studies arrive.

At the end each study must have exactly one result set, and after each kill the watcher's health
must say what is wrong before the program is started again; else the run fails.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import console
from tests.service.pacs.chaos import survive
from wscxr import shipped


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what was killed, and what the operator saw meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=100, help="studies that arrive")
    parser.add_argument("--kills", type=int, default=30, help="programs that are killed")
    parser.add_argument("--seed", type=int, default=0, help="of victims and moments")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        store = shipped.model_store()
        survived = survive(Path(folder), store, given.studies, given.kills, given.seed)
    killed = ", ".join(f"{name} {count}" for name, count in sorted(survived.kills.items()))
    seen = ", ".join(f"{code} {count}" for code, count in survived.health.most_common())
    console.print(
        f"{given.studies} studies, each with exactly one result set; killed: {killed}; "
        f"{survived.seconds:.0f} s; health, look by look: {seen}"
    )


if __name__ == "__main__":
    main()
