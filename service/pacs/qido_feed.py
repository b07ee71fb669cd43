"""Arrivals at any DICOMweb server, by asking again and again.

QIDO-RS (PS3.18, section 10.6) knows no time of arrival. So studies whose Study Date lies within a
window are looked at, and what is finished is remembered. What comes in with an older date, or with
none, is not seen; nor is an instance that replaces another one without a change in the number of
instances of its study, until the watcher starts anew. What is finished is never forgotten: some
hundred bytes of state for each instance.
"""

from datetime import UTC, datetime, timedelta

from service.pacs.dicomweb import DicomWeb, first
from service.pacs.errors import Faulty, InstanceGone
from service.pacs.feed import Arrival
from service.pacs.instance import Instance, is_uid
from service.pacs.state import State

_ENOUGH = 100
_STUDY, _COUNT = "0020000D", "00201208"


class QidoFeed:
    """Polls the studies of the last days. See `Feed`.

    Parameters
    ----------
    archive
        The DICOMweb server.
    state
        Where finished instances are kept.
    modalities
        Modalities that are looked for.
    since_days
        How old a Study Date may be, in days.
    """

    def __init__(
        self, archive: DicomWeb, state: State, modalities: tuple[str, ...], since_days: int
    ) -> None:
        self._archive = archive
        self._state = state
        self._modalities = modalities
        self._since = timedelta(days=since_days)
        self._sizes: dict[str, str] = {}
        self._told: set[str] = set()

    async def arrivals(self) -> list[Arrival]:
        """See `Feed.arrivals`; whole studies, until there are many."""
        new: list[Arrival] = []
        fault: Faulty | None = None
        for study, size in (await self._studies()).items():
            if size and self._sizes.get(study) == size:
                continue
            try:
                found = await self._archive.instances(study, self._modalities)
            except Faulty as error:
                fault = error  # one study must not stop the others
                continue
            self._sizes[study] = size
            keys = [key for key in map(instance_key, found) if self._is_new(key)]
            self._told.update(keys)
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
            self._told.discard(arrival.key)

    @property
    def backlog(self) -> int:
        """See `Feed.backlog`; in instances."""
        return len(self._told)

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
        return key not in self._told and not self._state.is_finished(key)


def instance_key(instance: Instance) -> str:
    """What this feed calls an instance."""
    return f"{instance.study}/{instance.series}/{instance.sop}"
