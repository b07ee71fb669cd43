"""The threads that decode images and draw results."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Workers:
    """Threads for work off the event loop; knows for how long each has been at its task.

    A thread cannot be stopped: a decoder that hangs keeps it, long after the request was answered.

    Parameters
    ----------
    count
        Number of threads.
    patience_s
        How long a task may take, in seconds, before its thread counts as stuck.
    """

    def __init__(self, count: int, patience_s: float) -> None:
        self._count = count
        self._patience_s = patience_s
        self._threads = ThreadPoolExecutor(count, "images")
        self._started: dict[int, float] = {}

    @property
    def stuck(self) -> bool:
        """Whether every thread is stuck, so that nothing can be decoded any more."""
        started = list(self._started.values())
        latest = time.monotonic() - self._patience_s
        return len(started) == self._count and max(started) < latest

    async def run(self, work: Callable[[], T]) -> T:
        """Do some work in a thread, once one is free; raises what the work raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._watched, work)

    def shutdown(self) -> None:
        """Start nothing more; what is under way goes on."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _watched(self, work: Callable[[], T]) -> T:
        thread = threading.get_ident()
        self._started[thread] = time.monotonic()
        try:
            return work()
        finally:
            del self._started[thread]
