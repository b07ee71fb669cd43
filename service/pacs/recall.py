"""An instance of the archive found again where only hashes of its UIDs are known."""

import asyncio
from collections.abc import Callable
from datetime import date

from cachetools import TTLCache

from service.pacs.commands import make_archive
from service.pacs.dicomweb import DicomWeb, Instance, first, is_uid
from service.pacs.errors import InstanceGone
from service.pacs.settings import PacsSettings
from service.pacs.transport import archive_server

Matches = Callable[[str], bool]
"""Whether a UID is the one that is looked for."""

_STUDY = "0020000D"
_MOST_STUDIES = 20_000
_KEPT, _KEPT_S = 10_000, 3600
_AT_ONCE = 4


class Recall:
    """Finds instances by asking of each study of some days whether it is the one.

    UIDs that were found stay in memory for an hour, so that a picture is not looked for twice.

    Parameters
    ----------
    settings
        Of the archive.
    """

    def __init__(self, settings: PacsSettings) -> None:
        self._settings = settings
        self._found: TTLCache[str, Instance] = TTLCache(_KEPT, _KEPT_S)
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def file(
        self, name: str, study: Matches, instance: Matches, days: tuple[date, date]
    ) -> bytes:
        """Pull the file of an instance.

        Parameters
        ----------
        name
            By which the caller knows it.
        study, instance
            Recognise its Study and its SOP Instance UID.
        days
            First and last Study Date (0008,0020) to look at.

        Raises
        ------
        InstanceGone
            It is not among the studies of these days, or there are too many of them.
        ServerUnavailable, ServerFault
            The archive cannot be used.
        """
        async with self._places:
            server = archive_server(self._settings)
            try:
                archive = make_archive(self._settings, server)
                found = self._found.get(name)
                if found is None:
                    found = await self._look(archive, study, instance, days)
                    self._found[name] = found
                return await archive.pull(found)
            finally:
                await server.close()

    async def _look(
        self, archive: DicomWeb, study: Matches, instance: Matches, days: tuple[date, date]
    ) -> Instance:
        between = "-".join(f"{day:%Y%m%d}" for day in days)
        seen: set[str] = set()
        while len(seen) < _MOST_STUDIES:
            page = await archive.page("studies", {"StudyDate": between}, len(seen))
            uids = {first(item, _STUDY) for item in page} - seen
            # Empty at the end, or a server that ignores the offset.
            if not uids:
                break
            for uid in filter(is_uid, uids):
                if study(uid):
                    return await self._within(archive, uid, instance)
            seen |= uids
        raise InstanceGone

    async def _within(self, archive: DicomWeb, study: str, instance: Matches) -> Instance:
        for one in await archive.instances(study, self._settings.modalities):
            if instance(one.sop):
                return one
        raise InstanceGone
