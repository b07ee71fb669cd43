"""What arrives at an archive that has DICOMweb alone: queries by date, and a scan of the rest."""

import logging
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from service.pacs.dicomweb import DicomWeb, Instance, first, is_uid
from service.pacs.errors import InstanceGone, ServerFault
from service.pacs.feeds import Arrival, Coverage
from service.pacs.state import State

logger = logging.getLogger(__name__)

_ENOUGH = 100
_STUDY, _DATE, _COUNT = "0020000D", "00080020", "00201208"
_RECEIVED = "StudyReceiveDateTime"
"""Private attribute by which dcm4chee matches the time at which it received a study."""


@dataclass
class _Open:
    """A study under work: its number of instances, and the keys of those that are not finished."""

    size: str
    keys: set[str]


class QidoFeed:
    """Finds what is new by QIDO-RS (PS3.18, section 10.6). See `service.pacs.feeds.Feed`.

    QIDO-RS has no attribute for the time of arrival, so the feed looks in two ways:

    - At every call, for the studies of the last days and of the future by their Study Date; by the
      time of receipt where the archive knows that (dcm4chee).
    - Page by page, through all studies, over and over, with a pause after each pass. This finds
      what arrives with an old date or with none, and studies that grew.

    The first pass leaves out what is there with an older date than the window, and counts it. A
    study is looked into again when its number of instances changes; an instance that replaces
    another without such a change is not seen. The state grows by a hundred bytes for each study
    and each instance.

    Parameters
    ----------
    modalities
        Modalities to look for.
    start
        What to take of that which is there before the first pass: all; what is in the window or
        has no date; nothing.
    since_days
        The window: largest age of a Study Date, in days.
    rescan_s
        Pause between two passes through all studies, in seconds.
    """

    def __init__(
        self,
        archive: DicomWeb,
        state: State,
        modalities: tuple[str, ...],
        *,
        start: Literal["beginning", "window", "now"],
        since_days: int,
        rescan_s: float,
    ) -> None:
        self._archive = archive
        self._state = state
        self._modalities = modalities
        self._start = start
        self._window = timedelta(days=since_days)
        self._scan = _Scan(archive, modalities, rescan_s)
        self._unseen: deque[dict[str, Any]] = deque()
        self._open: dict[str, _Open] = {}
        self._first_pass: bool | None = None
        self._left_out = 0
        self._matches_receipt: bool | None = None

    async def arrivals(self) -> list[Arrival]:
        """See `Feed.arrivals`; whole studies, until there are many."""
        if self._first_pass is None:
            await self._begin()
        new: list[Arrival] = []
        fault: ServerFault | None = None
        recent = deque(await self._recent())
        if not self._unseen:
            await self._next_page()
        for studies in (recent, self._unseen):
            while studies and len(new) < _ENOUGH:
                try:
                    new += await self._look_into(studies.popleft(), scanned=studies is not recent)
                except ServerFault as error:
                    fault = error  # one study must not stop the others; it comes again
        if fault is not None and not new:
            raise fault
        return new

    async def locate(self, key: str) -> Instance:
        """See `Feed.locate`."""
        try:
            return Instance.from_uids(key)
        except ValueError:
            raise InstanceGone from None

    def finished(self, arrival: Arrival) -> None:
        """See `Feed.finished`."""
        if arrival.key is None:
            return
        self._state.finish(arrival.key)
        study = arrival.key.partition("/")[0]
        if (work := self._open.get(study)) is not None:
            work.keys.discard(arrival.key)
            if not work.keys:
                self._state.know_study(study, work.size)
                del self._open[study]

    @property
    def backlog(self) -> int:
        """See `Feed.backlog`; in instances."""
        return sum(len(work.keys) for work in self._open.values())

    @property
    def coverage(self) -> Coverage | None:
        """See `Feed.coverage`."""
        return Coverage(self._left_out, self._scan.ended_at)

    async def _begin(self) -> None:
        first_pass = self._state.cursor is None
        if first_pass and self._start == "now":
            for item in await self._recent():
                self._leave_out(item)
        if first_pass and self._start == "beginning":
            self._state.advance(_PASSED)
            first_pass = False
        self._left_out = self._state.left_out()
        self._first_pass = first_pass

    async def _next_page(self) -> None:
        """Take the next page of the scan, and note when the first pass is over."""
        self._unseen.extend(await self._scan.page())
        if not self._unseen and self._first_pass and self._scan.ended_at is not None:
            self._state.advance(_PASSED)
            self._first_pass = False
            logger.info("all studies were looked at", extra={"left_out": self._left_out})

    async def _look_into(self, item: dict[str, Any], *, scanned: bool) -> list[Arrival]:
        """List what is new in a study; nothing where it is known at this size.

        Parameters
        ----------
        item
            The study, as QIDO-RS describes it.
        scanned
            Whether it comes from the scan, not from the window.
        """
        study, size = first(item, _STUDY), first(item, _COUNT)
        work = self._open.get(study)
        known = None if work is not None else self._state.study(study)
        sizes = [it.size for it in (work, known) if it is not None]
        # Without sizes a study is looked into at every call while it is in the window.
        if size in sizes and (size or scanned):
            return []
        if scanned and self._first_pass and not sizes and self._is_left_out(item):
            self._leave_out(item)
            return []
        found = await self._archive.instances(study, self._modalities)
        keys = [instance.uids for instance in found]
        under_way = work.keys if work is not None else set()
        new = [key for key in keys if key not in under_way and not self._state.is_finished(key)]
        if new or under_way:
            self._open[study] = _Open(size, under_way | set(new))
        else:
            self._state.know_study(study, size)
        if known is not None and known.left_out:
            self._left_out -= 1
        return list(map(Arrival, new))

    def _is_left_out(self, item: dict[str, Any]) -> bool:
        date = "".join(filter(str.isdigit, first(item, _DATE)))
        if not date:
            return self._start == "now"
        return date < self._first_day

    def _leave_out(self, item: dict[str, Any]) -> None:
        self._state.know_study(first(item, _STUDY), first(item, _COUNT), left_out=True)
        self._left_out += 1

    @property
    def _first_day(self) -> str:
        # Dates are local to whoever took the picture: a day more.
        return f"{datetime.now(UTC) - self._window - timedelta(days=1):%Y%m%d}"

    async def _recent(self) -> list[dict[str, Any]]:
        if self._matches_receipt is None:
            self._matches_receipt = await self._try_receipt()
        by = _RECEIVED if self._matches_receipt else "StudyDate"
        found: dict[str, dict[str, Any]] = {}
        for modality in self._modalities:
            query = {by: f"{self._first_day}-", **_of(modality)}
            found |= _by_study(await self._archive.search("studies", query))
        return list(found.values())

    async def _try_receipt(self) -> bool | None:
        """Whether the archive matches the time of receipt; None where it has nothing to show."""
        try:
            if not await self._archive.page("studies", {}, 0):
                return None
            ever = await self._archive.page("studies", {_RECEIVED: "19000101-"}, 0)
            never = await self._archive.page("studies", {_RECEIVED: "99990101-"}, 0)
        except ServerFault:
            return False
        return bool(ever) and not never


_PASSED = 1
"""Cursor of an archive that the first pass is over for."""


class _Scan:
    """Goes through all studies of an archive, page by page, over and over."""

    def __init__(self, archive: DicomWeb, modalities: tuple[str, ...], rescan_s: float) -> None:
        self._archive = archive
        self._modalities = modalities
        self._rescan_s = rescan_s
        self._todo = list(modalities)
        self._offset = 0
        self._last: set[str] = set()
        self._next_pass = 0.0
        self.ended_at: float | None = None

    async def page(self) -> list[dict[str, Any]]:
        """The next page that holds studies; empty between two passes."""
        if time.monotonic() < self._next_pass:
            return []
        while self._todo:
            found = await self._archive.page("studies", _of(self._todo[0]), self._offset)
            studies = _by_study(found)
            # A server that ignores the offset sends its first page again and again.
            if studies and studies.keys() != self._last:
                self._offset += len(found)
                self._last = set(studies)
                return list(studies.values())
            self._todo.pop(0)
            self._offset, self._last = 0, set()
        self._todo = list(self._modalities)
        self._next_pass = time.monotonic() + self._rescan_s
        self.ended_at = time.time()
        return []


def _of(modality: str) -> dict[str, str | int]:
    return {"ModalitiesInStudy": modality, "includefield": _COUNT}


def _by_study(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {study: item for item in items if is_uid(study := first(item, _STUDY))}
