"""What arrives at an archive: Orthanc's change feed, or QIDO-RS queries of any DICOMweb server."""

import json
import logging
import re
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from service.pacs.dicomweb import DicomWeb, Instance, first, is_uid
from service.pacs.errors import InstanceGone, ServerFault
from service.pacs.state import State
from service.pacs.transport import Server

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrival:
    """Something new in the archive.

    Attributes
    ----------
    key
        The feed's name of the instance; None when only the cursor moves.
    seq
        Place in the archive's own count, where it has one.
    """

    key: str | None
    seq: int = 0


class Feed(Protocol):
    """A source of arrivals.

    Raises
    ------
    ServerUnavailable, ServerFault
        The archive does not answer, or its answer makes no sense.
    """

    async def arrivals(self) -> list[Arrival]:
        """List what arrived since the last call; empty when there is nothing new.

        After a restart the list begins behind the last arrival that was finished.
        """
        ...

    async def locate(self, key: str) -> Instance:
        """Find the instance behind a key.

        Raises
        ------
        InstanceGone
            There is none any more.
        """
        ...

    def finished(self, arrival: Arrival) -> None:
        """Record that an arrival is done with; called in the order of arrival."""
        ...

    @property
    def backlog(self) -> int:
        """How much has arrived and is not finished."""
        ...


_ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_CHANGES_PER_PAGE = 100
_ORTHANC_UIDS = ("0020,000d", "0020,000e", "0008,0018")


class OrthancFeed:
    """Follows Orthanc's ``/changes``; the cursor is the number of a change. See `Feed`.

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


_ENOUGH = 100
_STUDY, _COUNT = "0020000D", "00201208"


class QidoFeed:
    """Polls the studies of the last days (QIDO-RS, PS3.18, section 10.6). See `Feed`.

    QIDO-RS knows no time of arrival, so the feed queries studies whose Study Date lies within a
    window and remembers what is finished. It does not see what arrives with an older date or with
    none, nor, until a restart, an instance that replaces another without a change in its study's
    number of instances. Finished instances stay in the state: some hundred bytes each.

    Parameters
    ----------
    modalities
        Modalities to look for.
    since_days
        Largest age of a Study Date, in days.
    """

    def __init__(
        self, archive: DicomWeb, state: State, modalities: tuple[str, ...], since_days: int
    ) -> None:
        self._archive = archive
        self._state = state
        self._modalities = modalities
        self._since = timedelta(days=since_days)
        self._sizes: dict[str, str] = {}
        self._pending: set[str] = set()

    async def arrivals(self) -> list[Arrival]:
        """See `Feed.arrivals`; whole studies, until there are many."""
        new: list[Arrival] = []
        fault: ServerFault | None = None
        for study, size in (await self._studies()).items():
            if size and self._sizes.get(study) == size:
                continue
            try:
                found = await self._archive.instances(study, self._modalities)
            except ServerFault as error:
                fault = error  # one study must not stop the others
                continue
            self._sizes[study] = size
            keys = [key for key in map("/".join, map(astuple, found)) if self._is_new(key)]
            self._pending.update(keys)
            new += map(Arrival, keys)
            if len(new) >= _ENOUGH:
                return new
        if fault is not None and not new:
            raise fault
        return new

    async def locate(self, key: str) -> Instance:
        """See `Feed.locate`."""
        try:
            return Instance(*key.split("/"))
        except (TypeError, ValueError):
            raise InstanceGone from None

    def finished(self, arrival: Arrival) -> None:
        """See `Feed.finished`."""
        if arrival.key is not None:
            self._state.finish(arrival.key)
            self._pending.discard(arrival.key)

    @property
    def backlog(self) -> int:
        """See `Feed.backlog`; in instances."""
        return len(self._pending)

    async def _studies(self) -> dict[str, str]:
        # Dates are local to whoever took the picture: a day more at both ends.
        now, day = datetime.now(UTC), timedelta(days=1)
        window = f"{now - self._since - day:%Y%m%d}-{now + day:%Y%m%d}"
        studies = {}
        for modality in self._modalities:
            query = {"StudyDate": window, "ModalitiesInStudy": modality, "includefield": _COUNT}
            for item in await self._archive.search("studies", query):
                if is_uid(study := first(item, _STUDY)):
                    studies[study] = first(item, _COUNT)
        return studies

    def _is_new(self, key: str) -> bool:
        return key not in self._pending and not self._state.is_finished(key)
