"""Follows an archive: works on all that arrives, and finishes it in the order of arrival."""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import deque
from dataclasses import dataclass

from service.pacs.bridge import Bridge, Ending, Outcome
from service.pacs.errors import (
    InstanceGone,
    PacsError,
    Refused,
    ServerFault,
    StateError,
    StateUnwritable,
)
from service.pacs.feeds import Arrival, Feed
from service.pacs.monitor import PacsMetrics
from service.pacs.retries import Retries, Stopping
from service.pacs.state import State

logger = logging.getLogger(__name__)

_AHEAD = 256
"""Most arrivals held at once; the archive keeps the rest."""


@dataclass(frozen=True)
class _Pending:
    arrival: Arrival
    seen: float
    task: asyncio.Task[None]


class Watcher:
    """Works on what arrives until it is stopped.

    Parameters
    ----------
    workers
        Instances under way at once.
    poll_s
        Pause when nothing arrived, in seconds.
    """

    def __init__(
        self,
        feed: Feed,
        bridge: Bridge,
        state: State,
        metrics: PacsMetrics,
        retries: Retries,
        *,
        workers: int,
        poll_s: float,
    ) -> None:
        self._feed = feed
        self._bridge = bridge
        self._state = state
        self._metrics = metrics
        self._retries = retries
        self._places = asyncio.Semaphore(workers)
        self._poll_s = poll_s
        self._pending: deque[_Pending] = deque()

    async def run(self, stop: asyncio.Event, grace_s: float) -> None:
        """Watch until stopped; then let work under way end.

        Parameters
        ----------
        stop
            Set to stop; the event that also ends the pauses of the retries.
        grace_s
            How long work under way may still take, in seconds.
        """
        try:
            while not stop.is_set():
                await self._round()
        except Stopping:
            pass
        finally:
            await self._drain(grace_s)

    async def work_on(self, key: str) -> Outcome:
        """Do all there is to do for one instance; if it fails for good, record that.

        Raises
        ------
        ServerUnavailable
            A server cannot be used, and the retries are not patient.
        Stopping
            The program ends.
        """
        study = None

        async def work() -> Outcome:
            nonlocal study
            instance = await self._feed.locate(key)
            study = instance.study
            return await self._bridge.process(instance)

        try:
            outcome = await self._retries.run(work, self._bridge.probe)
        except InstanceGone:
            outcome = Outcome(Ending.GONE)
        except (ServerFault, Refused) as error:
            outcome = Outcome.failed(error)
        except (PacsError, Stopping):
            raise
        except Exception:
            # One unexpected error must not stop the others.
            logger.exception("unexpected error", extra={"instance": _digest(key)})
            outcome = Outcome(Ending.FAILED, "internal_error")

        async def record() -> None:
            if outcome.ending is Ending.FAILED:
                self._state.fail(key, study, outcome.code or "", outcome.request_id)
            else:
                self._state.clear_failure(key)

        await self._retries.run(record, self._bridge.probe)
        if outcome.ending is not Ending.FAILED:
            self._metrics.working()
        self._metrics.ended(study, outcome)
        facts = {"instance": _digest(key), "outcome": outcome.ending.value, "code": outcome.code}
        if outcome.request_id is not None:
            facts["request_id"] = outcome.request_id
        logger.log(
            logging.WARNING if outcome.ending is Ending.FAILED else logging.INFO,
            "instance done",
            extra=facts,
        )
        return outcome

    async def _round(self) -> None:
        found = []
        if len(self._pending) < _AHEAD:
            found = await self._look()
        now = time.monotonic()
        for arrival in found:
            task = asyncio.create_task(self._one(arrival))
            # At once, not in the next round: after a crash, unfinished work is repeated.
            task.add_done_callback(lambda _: self._try_to_finish())
            self._pending.append(_Pending(arrival, now, task))
        await self._retries.run(self._finish, self._bridge.probe)
        if self._pending and self._pending[0].task.done():
            self._pending[0].task.result()  # raises what is no failure of the instance
        if not found:
            await self._until_something()

    async def _look(self) -> list[Arrival]:
        try:
            found = await self._retries.run(self._feed.arrivals, self._bridge.probe)
        except ServerFault as error:
            # The archive works but for this query: repeat it later, and go on with what is known.
            self._metrics.failing(error)
            return []
        if not self._pending:
            self._metrics.working()
        return found

    async def _until_something(self) -> None:
        """Wait for the oldest to end, but no longer than until the next query of the archive."""
        if self._pending:
            await asyncio.wait([self._pending[0].task], timeout=self._poll_s)
        else:
            await self._retries.pause(self._poll_s)

    async def _one(self, arrival: Arrival) -> None:
        if arrival.key is not None:
            async with self._places:
                if self._retries.stopping:
                    raise Stopping
                await self.work_on(arrival.key)

    def _try_to_finish(self) -> None:
        # The next round waits until the state can be written, or ends where it never can.
        with contextlib.suppress(StateError, StateUnwritable):
            self._advance()

    async def _finish(self) -> None:
        self._advance()

    def _advance(self) -> None:
        """Finish what is done, up to the first that is not; the next run repeats the rest."""
        while self._pending and _succeeded(self._pending[0].task):
            self._feed.finished(self._pending[0].arrival)
            self._pending.popleft()
        oldest = self._pending[0].seen if self._pending else None
        self._metrics.waiting(
            self._feed.backlog, oldest, self._state.count_failures(), self._feed.coverage
        )

    async def _drain(self, grace_s: float) -> None:
        tasks = [pending.task for pending in self._pending]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._try_to_finish()


def _succeeded(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _digest(key: str) -> str:
    """Short digest that stands for a key in logs."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]
