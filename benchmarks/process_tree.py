"""What this process and all that it starts take of the machine, by Linux' ``/proc``."""

import os
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Self

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Watch:
    """Samples processor time and memory of this process and its descendants, twice a second.

    Use it as a context.

    Attributes
    ----------
    seconds
        Processor time since the context began, in seconds; that of processes that ended is part of
        it where their parent lives on.
    memory
        Resident memory of all of them in bytes, one number a sample; what they share counts once
        (proportional set size).
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.memory: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._before = 0.0

    def __enter__(self) -> Self:
        self._before = _processor_s(os.getpid())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def peak(self) -> int:
        """Largest of `memory`."""
        return max(self.memory, default=0)

    def quarters(self) -> list[int]:
        """Largest memory in each quarter of the time, in bytes: the same where it is flat."""
        series = self.memory or [0]
        edges = [len(series) * part // 4 for part in range(5)]
        return [max(series[start : max(end, start + 1)]) for start, end in pairwise(edges)]

    def _sample(self) -> None:
        while not self._stop.wait(0.5):
            # Where a process ends together with its parent, what it took would be lost.
            self.seconds = max(self.seconds, _processor_s(os.getpid()) - self._before)
            self.memory.append(sum(map(_resident, _tree(os.getpid()))))


def _tree(root: int) -> Iterator[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if fields := _stat(int(entry.name)):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for one in found:
        yield one
        found += children.get(one, [])


def _processor_s(root: int) -> float:
    ticks = 0
    for pid in _tree(root):
        # Its own time in user and system mode, and that of the children it has waited for.
        ticks += sum(map(int, _stat(pid)[11:15]))
    return ticks / _TICKS_A_SECOND


def _stat(pid: int) -> list[str]:
    """Fields of ``/proc/PID/stat`` behind the name, the state first; none where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it ended meanwhile
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
