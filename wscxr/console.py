"""What commands print to standard error: progress and warnings."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

stderr = Console(stderr=True)


class Tracker:
    """Shows each piece of long work as a progress bar on standard error."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, items: Iterable[T], description: str, total: int) -> Iterable[T]:
        """Pass the items through; see `wscxr.progress.Track`."""
        return self._progress.track(items, total=total, description=description)


def progress_bars() -> Progress:
    """Bars for `Tracker`, one for each piece of long work."""
    return Progress(
        TextColumn("{task.description:>26}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=stderr,
    )


def warn(warnings: list[str]) -> None:
    """Print warnings where they stand out."""
    for warning in warnings:
        stderr.print(f"WARNING: {warning}", style="bold yellow", markup=False, soft_wrap=True)
