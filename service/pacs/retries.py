"""Trying again, with growing pauses."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_never,
    wait_exponential,
    wait_random,
)
from tenacity.stop import stop_base

from service.pacs.errors import (
    AnalyserFault,
    AnalyserUnavailable,
    ArchiveUnavailable,
    Faulty,
    PacsError,
    Unavailable,
)

T = TypeVar("T")

Note = Callable[[PacsError], None]


class Stopping(Exception):
    """The program ends: no more tries."""


class Retries:
    """Tries again as long as it makes sense.

    Parameters
    ----------
    stop
        Set when the program ends: pauses end then, with `Stopping`.
    note
        Told each error that is followed by another try.
    tries
        How often something is tried that may be at fault itself.
    min_pause_s, max_pause_s
        First and longest pause, in seconds.
    patient
        Whether to wait for servers that cannot be used for ever, or for that many tries too.
    """

    def __init__(
        self,
        stop: asyncio.Event,
        note: Note,
        *,
        tries: int,
        min_pause_s: float,
        max_pause_s: float,
        patient: bool = True,
    ) -> None:
        self._stop = stop
        self._note = note
        self._tries = stop_after_attempt(tries)
        self._patience = stop_never if patient else self._tries
        self._wait = wait_exponential(min_pause_s, max_pause_s) + wait_random(0, min_pause_s)

    @property
    def stopping(self) -> bool:
        """Whether the program ends."""
        return self._stop.is_set()

    async def run(
        self, work: Callable[[], Awaitable[T]], probe: Callable[[], Awaitable[None]]
    ) -> T:
        """Do some work, again if need be.

        Parameters
        ----------
        work
            What is to be done.
        probe
            Fails when not the work was at fault, but a server that fails on everything.

        Raises
        ------
        Faulty
            The work failed on every try although the servers work.
        Unavailable
            A server cannot be used; never raised when patient.
        Stopping
            The program ends.
        """

        async def attempt() -> T:
            return await work()

        async def once() -> T:
            try:
                return await self._retrying(Faulty, self._tries)(attempt)
            except Faulty:
                await self._probed(probe)
                raise

        return await self._retrying(Unavailable, self._patience)(once)

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of the program.

        Raises
        ------
        Stopping
            The program ends.
        """
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
        raise Stopping

    async def _probed(self, probe: Callable[[], Awaitable[None]]) -> None:
        try:
            await probe()
        except AnalyserFault as error:
            raise AnalyserUnavailable from error
        except Faulty as error:
            raise ArchiveUnavailable from error

    def _retrying(self, kind: type[PacsError], end: stop_base) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type(kind),
            stop=end,
            wait=self._wait,
            sleep=self.pause,
            before_sleep=self._tell,
            reraise=True,
        )

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, PacsError):
            self._note(error)
