"""What the benchmarks share: commands, phantoms, and a bundle to serve."""

import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

console = Console()

WSCXR = [sys.executable, "-m", "wscxr"]


@dataclass(frozen=True)
class Finished:
    """What a command took.

    Attributes
    ----------
    seconds
        Wall time, interpreter start included.
    peak_bytes
        Largest resident memory of any command so far in this process.
    """

    seconds: float
    peak_bytes: int


def run_wscxr(*arguments: object) -> Finished:
    """Run one `wscxr` command to its end."""
    started = time.perf_counter()
    subprocess.run(
        [*WSCXR, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return Finished(seconds, peak)


def train_densenet(folder: Path, out: Path, *options: object) -> Finished:
    """Train the paper's settings on the phantoms in a folder, with an untrained DenseNet121.

    The weights do not change the work that is done.
    """
    return run_wscxr(
        "train",
        *("--normal", folder / "normal", "--abnormal", folder / "abnormal"),
        *("--preset", "paper", "-k", 16, "--weights", "random", "--device", "cpu"),
        *("--out", out, *options),
    )
