"""Orthanc's own REST API: its feed of changes."""

import json
import logging
import re
from typing import Any

from service.pacs.dicomweb import Instance
from service.pacs.errors import InstanceGone
from service.pacs.feeds import Arrival, Coverage
from service.pacs.state import State
from service.pacs.transport import Server

logger = logging.getLogger(__name__)

_ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_CHANGES_PER_PAGE = 100
_ORTHANC_UIDS = ("0020,000d", "0020,000e", "0008,0018")


class OrthancFeed:
    """Follows Orthanc's ``/changes``; see `service.pacs.feeds.Feed`.

    The cursor is the number of a change.

    Parameters
    ----------
    from_now
        Whether an empty state leaves out what is in the archive already.
    """

    def __init__(self, server: Server, state: State, *, from_now: bool = False) -> None:
        self._server = server
        self._state = state
        self._from_now = from_now
        self._read: int | None = None
        self._last = 0

    async def arrivals(self) -> list[Arrival]:
        """See `Feed.arrivals`."""
        since = await self._start() if self._read is None else self._read
        page = await self._get("changes", {"since": since, "limit": _CHANGES_PER_PAGE})
        try:
            changes = [
                (int(change["Seq"]), str(change["ID"]), change["ChangeType"] == "NewInstance")
                for change in page["Changes"]
            ]
        except (KeyError, TypeError, ValueError):
            raise self._server.fault from None
        await self._look_ahead()
        if not changes:
            if self._last < since:
                # A new or restored database counts from zero; repeated work stores nothing twice.
                logger.warning("the archive's count of changes started over")
                self._state.rewind()
                self._read = 0
            return []
        self._read = changes[-1][0]
        found = [Arrival(key, seq) for seq, key, is_instance in changes if is_instance]
        return [*found, Arrival(None, self._read)]

    async def locate(self, key: str) -> Instance:
        """See `Feed.locate`."""
        if not _ORTHANC_ID.fullmatch(key):
            raise self._server.fault
        tags = await self._get(f"instances/{key}/tags", {"short": ""})
        try:
            return Instance(*(str(tags[tag]).rstrip("\0 ") for tag in _ORTHANC_UIDS))
        except (KeyError, ValueError):
            raise self._server.fault from None

    def finished(self, arrival: Arrival) -> None:
        """See `Feed.finished`."""
        self._state.advance(arrival.seq)

    @property
    def backlog(self) -> int:
        """See `Feed.backlog`; in changes, up to four for each instance."""
        return max(0, self._last - (self._state.cursor or 0))

    @property
    def coverage(self) -> Coverage | None:
        """See `Feed.coverage`."""
        return None

    async def _start(self) -> int:
        cursor = self._state.cursor
        if cursor is None:
            await self._look_ahead()
            cursor = self._last if self._from_now else 0
            self._state.advance(cursor)
        self._read = cursor
        return cursor

    async def _look_ahead(self) -> None:
        last = (await self._get("changes", {"last": ""})).get("Last")
        if not isinstance(last, int):
            raise self._server.fault
        self._last = last

    async def _get(self, path: str, params: dict[str, str | int]) -> dict[str, Any]:
        answer = await self._server.send("GET", path, params=params)
        if answer.status == 404 and path.startswith("instances/"):
            raise InstanceGone
        try:
            content = json.loads(answer.body)
        except ValueError:
            raise self._server.fault from None
        if answer.status >= 400 or not isinstance(content, dict):
            raise self._server.fault
        return content
