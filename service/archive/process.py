"""A scoring process, as the program that uses it sees it."""

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Self, cast

import pyarrow as pa

from service.archive.errors import ScorerDied, ScorerUnusable
from service.archive.plan import Plan
from service.archive.rows import ITEMS, ScoredBy, batch_of, failed_row, items_of
from wscxr.bundle.identity import ModelIdentity
from wscxr.engines.identity import EngineIdentity

_UNDER_WAY = 2
"""Chunks that a scoring process has at once, so that it reads one while it computes the other."""


class ScoringProcess:
    """A process that loads the bundle once and scores chunk after chunk; see `child`.

    Where it dies at a chunk, another takes its place and gets the items one by one: the one at
    which it dies again gets a row that says so, and nothing else is lost. Use it as a context.

    Parameters
    ----------
    plan
        What to score with.

    Attributes
    ----------
    by
        The bundle that it scores with, and what runs it.

    Raises
    ------
    ScorerUnusable
        It cannot load the bundle.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._closed = False
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """Its number, which another process that takes its place does not keep."""
        return self._process.pid

    def score(self, chunks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score chunks of work items as they come.

        Yields
        ------
        RecordBatch
            Rows of each chunk, in order; see `service.archive.rows.ROWS`.

        Raises
        ------
        ScorerUnusable
            It died, and another cannot load the bundle.
        """
        coming = iter(chunks)
        under_way: deque[pa.RecordBatch] = deque()
        while True:
            while len(under_way) < _UNDER_WAY and (chunk := next(coming, None)) is not None:
                under_way.append(chunk)
                self._send(chunk)
            if not under_way:
                return
            if (rows := self._receive()) is not None:
                under_way.popleft()
                yield rows
                continue
            self._restart()
            while under_way:
                yield from self._one_by_one(under_way.popleft())

    def close(self) -> None:
        """End the process for good, from any thread; `score` then raises `ScorerUnusable`."""
        self._closed = True
        self._process.kill()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):  # what was not sent
            self._stdin.close()
        self._stdout.close()

    def _one_by_one(self, chunk: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        for place in range(chunk.num_rows):
            single = chunk.slice(place, 1)
            self._send(single)
            rows = self._receive()
            if rows is None:
                [item] = items_of(single)
                rows = batch_of([failed_row(item, self.by, ScorerDied.code)])
                self._restart()
            yield rows

    def _start(self) -> None:
        command = [sys.executable, "-m", "service.archive.child"]
        # Both engines, and whatever else computes, keep to it.
        threads = {"OMP_NUM_THREADS": str(self._plan.threads)}
        self._process = subprocess.Popen(  # noqa: S603 - this very program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | threads,
        )
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        try:
            self._stdin.write(json.dumps(asdict(self._plan)).encode() + b"\n")
            self._stdin.flush()
            said = json.loads(self._stdout.readline() or b"{}")
        except BrokenPipeError:
            said = {}
        if self._closed or "model" not in said:
            self._end()
            raise ScorerUnusable(said.get("error"))
        self.by = ScoredBy(ModelIdentity(**said["model"]), EngineIdentity(**said["engine"]))
        self._items = pa.ipc.new_stream(self._stdin, ITEMS)
        self._rows: pa.RecordBatchStreamReader | None = None

    def _restart(self) -> None:
        self._end()
        if self._closed:
            raise ScorerUnusable
        self._start()

    def _send(self, chunk: pa.RecordBatch) -> None:
        try:
            self._items.write_batch(chunk)
            self._stdin.flush()
        except OSError:
            pass  # it died: so says what is received next

    def _receive(self) -> pa.RecordBatch | None:
        try:
            # Not opened before: the head of a stream is written with its first batch.
            self._rows = self._rows or pa.ipc.open_stream(self._stdout)
            return self._rows.read_next_batch()
        except (StopIteration, pa.ArrowException, OSError):
            return None
