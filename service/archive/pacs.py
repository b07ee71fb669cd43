"""Instances on a DICOMweb server: listed by date, pulled one by one."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from typing import Any

from service.archive.sources import Found
from service.pacs.commands import make_archive
from service.pacs.dicomweb import Instance, first, is_uid
from service.pacs.errors import PacsError
from service.pacs.retries import Retries
from service.pacs.settings import PacsSettings
from service.pacs.transport import Server, archive_server

logger = logging.getLogger(__name__)

_STUDY = "0020000D"


class PacsReader:
    """Lists and pulls the instances of a DICOMweb server.

    Its connections live in a thread of their own, so that its methods may be called on any. While
    the server cannot be reached, listing gives up after some tries, and pulling waits.

    Parameters
    ----------
    settings
        Of `service.pacs.settings.PacsSettings`; secrets are read from files and the environment.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = PacsSettings(**settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(self._connect())
        self._web = make_archive(self._settings, self._server)

    def read(self, place: bytes) -> bytes:
        """Pull the DICOM file of an instance.

        Parameters
        ----------
        place
            Study, Series and SOP Instance UID with slashes between them.

        Raises
        ------
        InstanceGone
            The server does not have it any more.
        ServerFault
            The server failed on it at every try.
        """
        instance = Instance.from_uids(place.decode())
        file: bytes = self._run(self._pull(instance))
        return file

    def close(self) -> None:
        """Close all connections."""
        self._run(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def between(self, first_day: date, last_day: date) -> Iterator[Found]:
        """List the instances of all studies whose Study Date lies between two days, both included.

        Only those of the modalities in the settings. One day at a time, so that memory does not
        grow with the archive; a study without a date is not found.

        Raises
        ------
        ServerUnavailable, ServerFault
            The server cannot be used.
        """
        day = first_day
        while day <= last_day:
            yield from self._run(self._of(day))
            day += timedelta(days=1)

    async def _of(self, day: date) -> list[Found]:
        retries, modalities = self._retries(patient=False), self._settings.modalities
        studies: dict[str, None] = {}
        for modality in modalities:
            query = {"StudyDate": f"{day:%Y%m%d}", "ModalitiesInStudy": modality}
            search = partial(self._web.search, "studies", query)
            matches = await retries.run(search, self._web.probe)
            studies |= dict.fromkeys(first(item, _STUDY) for item in matches)
        found = []
        for study in filter(is_uid, studies):
            listing = partial(self._web.instances, study, modalities)
            instances = await retries.run(listing, self._web.probe)
            names = (instance.uids for instance in instances)
            found += [Found(name, name.encode()) for name in names]
        return found

    async def _pull(self, instance: Instance) -> bytes:
        retries = self._retries(patient=True)
        return await retries.run(lambda: self._web.pull(instance), self._web.probe)

    async def _connect(self) -> Server:
        return archive_server(self._settings)

    def _retries(self, *, patient: bool) -> Retries:
        def note(error: PacsError) -> None:
            logger.warning("trying again", extra={"code": error.code, "reason": str(error)})

        return Retries(
            asyncio.Event(),
            note,
            tries=self._settings.tries,
            min_pause_s=self._settings.min_pause_s,
            max_pause_s=self._settings.max_pause_s,
            patient=patient,
        )

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def on_server(settings: dict[str, Any], first_day: date, last_day: date) -> Iterator[Found]:
    """List the instances of a DICOMweb server; see `PacsReader.between`."""
    with closing(PacsReader(settings)) as reader:
        yield from reader.between(first_day, last_day)
