"""Archives that number what happens in them: a feed that follows their count."""

import logging
from dataclasses import dataclass
from typing import Protocol

from service.pacs.dicomweb import Instance
from service.pacs.feeds import Arrival, Coverage
from service.pacs.state import State

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Changes:
    """Changes of an archive, from a number on.

    Attributes
    ----------
    arrivals
        Those that are new instances, in order.
    upto
        The number of the last change that was looked at, whatever it was.
    """

    arrivals: list[Arrival]
    upto: int


class NumberedArchive(Protocol):
    """An archive that numbers its changes from 1 on.

    Raises
    ------
    ServerUnavailable, ServerFault
        The archive does not answer, or its answer makes no sense.
    """

    async def changes(self, since: int) -> Changes:
        """Read some of the changes after a number; `since` itself when there are none."""
        ...

    async def last_change(self) -> int:
        """The number of the last change; 0 before the first."""
        ...

    async def find(self, key: str) -> Instance:
        """Find the instance with a key of `changes`.

        Raises
        ------
        InstanceGone
            It is not there.
        """
        ...


class ChangesFeed:
    """Follows the count of an archive; see `service.pacs.feeds.Feed`.

    The cursor is the number of a change.

    Parameters
    ----------
    from_now
        Whether an empty state leaves out what is in the archive already.
    """

    def __init__(self, archive: NumberedArchive, state: State, *, from_now: bool = False) -> None:
        self._archive = archive
        self._state = state
        self._from_now = from_now
        self._read: int | None = None
        self._last = 0

    async def arrivals(self) -> list[Arrival]:
        """See `Feed.arrivals`."""
        since = await self._start() if self._read is None else self._read
        found = await self._archive.changes(since)
        self._last = await self._archive.last_change()
        if found.upto == since:
            if self._last < since:
                # A new or restored database counts from zero; repeated work stores nothing twice.
                logger.warning("the archive's count of changes started over")
                self._state.rewind()
                self._read = 0
            return []
        self._read = found.upto
        return [*found.arrivals, Arrival(None, self._read)]

    async def locate(self, key: str) -> Instance:
        """See `Feed.locate`."""
        return await self._archive.find(key)

    def finished(self, arrival: Arrival) -> None:
        """See `Feed.finished`."""
        self._state.advance(arrival.seq)

    @property
    def backlog(self) -> int:
        """See `Feed.backlog`; in changes, which may be several for each instance."""
        return max(0, self._last - (self._state.cursor or 0))

    @property
    def coverage(self) -> Coverage | None:
        """See `Feed.coverage`."""
        return None

    async def _start(self) -> int:
        cursor = self._state.cursor
        if cursor is None:
            self._last = await self._archive.last_change()
            cursor = self._last if self._from_now else 0
            self._state.advance(cursor)
        self._read = cursor
        return cursor
