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
    PacsError,
    ServerFault,
    ServerUnavailable,
)

T = TypeVar("T")


class Stopping(Exception):
    """The program ends: no more tries."""


class Retries:
    """Repeats work that failed, for as long as a repetition can help.

    Parameters
    ----------
    stop
        Set when the program ends; a pause then ends with `Stopping`.
    note
        Called with each error that another try follows.
    tries
        How often work is tried that may itself be at fault.
    min_pause_s, max_pause_s
        First and longest pause, in seconds.
    patient
        Whether to wait forever for a server that cannot be used, or only for `tries` tries.
    """

    def __init__(
        self,
        stop: asyncio.Event,
        note: Callable[[PacsError], None],
        *,
        tries: int,
        min_pause_s: float,
        max_pause_s: float,
        patient: bool,
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
        probe
            Fails when a server fails on everything, so that the work was not at fault.

        Raises
        ------
        ServerFault
            The work failed on every try although the servers work.
        ServerUnavailable
            A server cannot be used; never raised when patient.
        Stopping
            The program ends.
        """

        async def attempt() -> T:
            return await work()

        async def once() -> T:
            try:
                return await self._retrying(ServerFault, self._tries)(attempt)
            except ServerFault:
                await self._probed(probe)
                raise

        return await self._retrying(ServerUnavailable, self._patience)(once)

    async def pause(self, seconds: float) -> None:
        """Wait, but only until the program ends.

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
        except ServerFault as error:
            raise ArchiveUnavailable from error

    def _retrying(self, kind: type[PacsError], end: stop_base) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type(kind),
            stop=end,
            wait=self._wait,
            sleep=self.pause,
            before_sleep=self._before_pause,
            reraise=True,
        )

    def _before_pause(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, PacsError):
            self._note(error)
