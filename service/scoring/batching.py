"""Micro-batching: computes images together that arrive at the same time."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from service.errors import InferenceFailed, QueueFull, ShuttingDown
from service.prometheus import Metrics
from wscxr.anatomy import ModelInput
from wscxr.prediction import Prediction

Scorer = Callable[[list[ModelInput]], Sequence[Prediction]]
"""Model inputs -> as many predictions."""


@dataclass(frozen=True, eq=False)
class Scored:
    """A prediction, with the seconds it waited and the seconds its batch took."""

    prediction: Prediction
    queue_s: float
    inference_s: float


@dataclass(eq=False)
class Ticket:
    """A place for one image.

    Attributes
    ----------
    arriving
        Whether the image is still on its way: admitted, but neither queued nor given up.
    """

    arriving: bool = True


@dataclass(frozen=True, eq=False)
class _Entry:
    image: ModelInput
    scored: asyncio.Future[Scored]
    queued_at: float = field(default_factory=time.perf_counter)


class Batcher:
    """Groups the images of one model into batches and computes one batch at a time.

    A batch starts as soon as the detector is free. It waits for more images only when some are
    known to be on their way (admitted and being decoded), so a lone request never waits.

    Parameters
    ----------
    model
        The model's name, for metrics.
    score
        Computes a batch; called in `executor`, the single inference thread.
    max_batch
        Most images in a batch.
    max_wait_s
        How long a batch waits for images on their way, in seconds.
    capacity
        Most images admitted at once.
    """

    def __init__(
        self,
        model: str,
        score: Scorer,
        executor: Executor,
        metrics: Metrics,
        *,
        max_batch: int,
        max_wait_s: float,
        capacity: int,
    ) -> None:
        self._score = score
        self._executor = executor
        self._metrics = metrics
        self._model = model
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._capacity = capacity
        self._queue: deque[_Entry] = deque()
        self._unanswered: set[asyncio.Future[Scored]] = set()
        self._admitted = 0
        self._arriving = 0
        self._closing = False
        self._changed = asyncio.Event()
        self._loop = asyncio.create_task(self._run())

    @property
    def depth(self) -> int:
        """How many images wait for a batch."""
        return len(self._queue)

    @contextmanager
    def admit(self, count: int) -> Iterator[list[Ticket]]:
        """Take places for images before any work is done on them, all or none.

        Raises
        ------
        QueueFull
            There are not that many places.
        ShuttingDown
            The batcher is being closed.
        """
        if self._closing:
            raise ShuttingDown
        if self._admitted + count > self._capacity:
            raise QueueFull
        tickets = [Ticket() for _ in range(count)]
        self._admitted += count
        self._arriving += count
        try:
            yield tickets
        finally:
            self._admitted -= count
            for ticket in tickets:
                self.settle(ticket)

    def settle(self, ticket: Ticket) -> None:
        """Stop expecting the image of a ticket: it is queued, or it will never come."""
        if ticket.arriving:
            ticket.arriving = False
            self._arriving -= 1
            self._changed.set()

    async def score(self, ticket: Ticket, image: ModelInput) -> Scored:
        """Score one image in the next batch; when cancelled in time, the image is not computed.

        Parameters
        ----------
        ticket
            From `admit`; good for one image.
        image
            Its model input.

        Raises
        ------
        InferenceFailed
            The detector failed on this image, or its score is not finite.
        ShuttingDown
            The batcher was closed before the image's turn.
        """
        entry = _Entry(image, asyncio.get_running_loop().create_future())
        self._unanswered.add(entry.scored)
        self._queue.append(entry)
        self._metrics.set_queue_depth(self._model, len(self._queue))
        self.settle(ticket)
        try:
            return await entry.scored
        finally:
            self._unanswered.discard(entry.scored)

    async def close(self, timeout_s: float) -> None:
        """Refuse new work, finish what is under way in a limited time, then stop.

        Parameters
        ----------
        timeout_s
            The limit, in seconds; what is not computed by then fails with `ShuttingDown`.
        """
        self._closing = True
        self._changed.set()
        await asyncio.wait([self._loop], timeout=timeout_s)
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)
        for scored in self._unanswered:
            if not scored.done():
                scored.set_exception(ShuttingDown())

    async def _run(self) -> None:
        while batch := await self._next_batch():
            await self._compute(batch)

    async def _next_batch(self) -> list[_Entry]:
        """Wait for work; an empty batch means that none will come."""
        while True:
            while not self._queue:
                if self._closing and not self._arriving:
                    return []
                await self._change()
            try:
                async with asyncio.timeout(self._max_wait_s):
                    while self._arriving and len(self._queue) < self._max_batch:
                        await self._change()
            except TimeoutError:
                pass  # those on their way take the next batch
            batch: list[_Entry] = []
            while self._queue and len(batch) < self._max_batch:
                entry = self._queue.popleft()
                # Done means cancelled: the client has gone or the deadline has passed.
                if not entry.scored.done():
                    batch.append(entry)
            self._metrics.set_queue_depth(self._model, len(self._queue))
            if batch:
                return batch

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _compute(self, batch: list[_Entry]) -> None:
        started = time.perf_counter()
        job = asyncio.get_running_loop().run_in_executor(
            self._executor, self._score, [entry.image for entry in batch]
        )
        try:
            await asyncio.wait([job])
        finally:
            job.cancel()  # only matters when the batcher closes during a batch
        seconds = time.perf_counter() - started
        error = job.exception()
        if error is not None and len(batch) > 1:
            # One image broke the batch: compute each alone, so that the others succeed.
            for entry in batch:
                if not entry.scored.done():
                    await self._compute([entry])
            return
        self._metrics.batch_size.labels(self._model).observe(len(batch))
        self._metrics.inference.labels(self._model).observe(seconds)
        for place, entry in enumerate(batch):
            self._metrics.queue.labels(self._model).observe(started - entry.queued_at)
            if entry.scored.done():
                continue
            if error is not None:
                failure = InferenceFailed()
                failure.__cause__ = error
                entry.scored.set_exception(failure)
            elif not _is_finite(prediction := job.result()[place]):
                entry.scored.set_exception(InferenceFailed())
            else:
                entry.scored.set_result(Scored(prediction, started - entry.queued_at, seconds))


def _is_finite(prediction: Prediction) -> bool:
    return math.isfinite(prediction.score) and bool(np.isfinite(prediction.anomaly_map).all())
