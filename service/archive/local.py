"""A run on this machine: some scoring processes, and a thread for each."""

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import pyarrow as pa

from service.archive.plan import Plan
from service.archive.process import ScoringProcess
from service.archive.rows import chunks_of


def score_locally(
    plans: Sequence[Plan], items: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Score work items in several processes.

    Parameters
    ----------
    plans
        What each process scores with.
    items
        Batches of work items; they are taken as they are needed.

    Yields
    ------
    RecordBatch
        Rows, in the order in which they are ready.

    Raises
    ------
    ScorerUnusable
        A process cannot load the bundle.
    """
    chunks = _Shared(chunks_of(iter(items)))
    ready: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(2 * len(plans))
    stop = threading.Event()
    running: list[ScoringProcess] = []

    def put(what: pa.RecordBatch | BaseException | None) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put(what, timeout=0.5)
                return

    def work(plan: Plan) -> None:
        try:
            with ScoringProcess(plan) as process:
                running.append(process)
                for rows in process.score(chunks):
                    put(rows)
        except BaseException as error:  # noqa: BLE001 - raised where the rows are taken
            put(error)
        put(None)

    threads = [threading.Thread(target=work, args=[plan]) for plan in plans]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            while (rows := ready.get()) is not None:
                if isinstance(rows, BaseException):
                    raise rows
                yield rows
    finally:
        stop.set()
        for process in running:
            process.close()
        for thread in threads:
            thread.join()


class _Shared(Iterator[pa.RecordBatch]):
    """An iterator that several threads take from."""

    def __init__(self, items: Iterator[pa.RecordBatch]) -> None:
        self._items = items
        self._lock = threading.Lock()

    def __next__(self) -> pa.RecordBatch:
        with self._lock:
            return next(self._items)
