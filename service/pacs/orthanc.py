"""Orthanc by its own REST API: its changes, and files as they lie on its disk."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from cachetools import LRUCache
from pydicom.dataset import Dataset

from service.pacs.changes import Changes
from service.pacs.dicomweb import DicomWeb, Instance
from service.pacs.errors import InstanceGone, ServerFault
from service.pacs.feeds import Arrival
from service.pacs.transport import Answer, Server

_ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_CHANGES_PER_PAGE = 100
_HEADER = {
    "StudyInstanceUID": "0020,000d",
    "SeriesInstanceUID": "0020,000e",
    "SOPInstanceUID": "0008,0018",
    "Modality": "0008,0060",
    "Manufacturer": "0008,0070",
    "ManufacturerModelName": "0008,1090",
}
"""What the bridge asks of a header, and Orthanc's names for it."""

_STORED = 1000


class OrthancArchive(DicomWeb):
    """An Orthanc: reads by its own API, searches and stores by its DICOMweb plug-in.

    Errors are those of `DicomWeb`.
    """

    def __init__(self, server: Server, root: str) -> None:
        super().__init__(server, root)
        self._orthanc = server
        self._stored: LRUCache[str, Instance] = LRUCache(_STORED)

    async def changes(self, since: int) -> Changes:
        """See `NumberedArchive.changes`; there are up to four for each instance."""
        page = await self._get("changes", {"since": since, "limit": _CHANGES_PER_PAGE})
        try:
            changes = [
                (int(change["Seq"]), str(change["ID"]), change["ChangeType"] == "NewInstance")
                for change in page["Changes"]
            ]
        except (KeyError, TypeError, ValueError):
            raise self._orthanc.fault from None
        found = [Arrival(key, seq) for seq, key, is_instance in changes if is_instance]
        return Changes(found, changes[-1][0] if changes else since)

    async def last_change(self) -> int:
        """See `NumberedArchive.last_change`."""
        last = (await self._get("changes", {"last": ""})).get("Last")
        if not isinstance(last, int):
            raise self._orthanc.fault
        return last

    async def find(self, key: str) -> Instance:
        """Find the instance with an identifier of Orthanc, and the brief of its header.

        Raises
        ------
        InstanceGone
            It is not there.
        """
        if (stored := self._stored.get(key)) is not None:
            return stored
        if not _ORTHANC_ID.fullmatch(key):
            raise self._orthanc.fault
        tags = await self._get(f"instances/{key}/tags", {"short": ""})
        header = Dataset()
        for name, tag in _HEADER.items():
            if isinstance(value := tags.get(tag), str):
                setattr(header, name, value.rstrip("\0 "))
        try:
            return Instance.from_header(header, key)
        except ValueError:
            raise self._orthanc.fault from None

    async def header(self, instance: Instance) -> Dataset:
        """See `DicomWeb.header`; the brief alone."""
        if instance.header is None:
            instance = await self.find(await self._key(instance))
        return instance.header or Dataset()

    async def pull(self, instance: Instance) -> bytes:
        """See `DicomWeb.pull`."""
        key = instance.key or await self._key(instance)
        answer = await self._orthanc.send("GET", f"instances/{key}/file")
        return self._found(answer).body

    async def has(self, instance: Instance) -> bool:
        """See `DicomWeb.has`; Orthanc compares the file on its disk with its hash."""
        return any([await self._is_sound(key) for key in await self._keys(instance)])

    async def kept(self, instance: Instance, file: bytes) -> bool:
        """See `DicomWeb.kept`; by its hash, or its header where Orthanc changes what it stores."""
        digest = hashlib.md5(file, usedforsecurity=False).hexdigest()
        for key in await self._keys(instance):
            answer = await self._orthanc.send("GET", f"instances/{key}/attachments/dicom/md5")
            same = answer.status == 200 and answer.body.decode("ascii", "replace") == digest
            if await self._is_sound(key) and (same or await self._is_that(key, instance)):
                self._stored[key] = Instance(
                    instance.study, instance.series, instance.sop, key, instance.header
                )
                return True
        return False

    async def _is_sound(self, key: str) -> bool:
        path = f"instances/{key}/attachments/dicom/verify-md5"
        return (await self._orthanc.send("POST", path, content=b"")).status < 400

    async def _is_that(self, key: str, instance: Instance) -> bool:
        try:
            return await self.find(key) == instance
        except (InstanceGone, ServerFault):
            return False

    async def _key(self, instance: Instance) -> str:
        for key in await self._keys(instance):
            return key
        raise InstanceGone

    async def _keys(self, instance: Instance) -> list[str]:
        """Orthanc's identifiers for a SOP Instance UID: one for each patient that has it."""
        answer = await self._orthanc.send("POST", "tools/lookup", content=instance.sop.encode())
        found = self._json(answer, list)
        try:
            keys = [str(item["ID"]) for item in found if item["Type"] == "Instance"]
        except (KeyError, TypeError):
            raise self._orthanc.fault from None
        if not all(map(_ORTHANC_ID.fullmatch, keys)):
            raise self._orthanc.fault
        return keys

    async def _get(self, path: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        answer = await self._orthanc.send("GET", path, params=params)
        content: dict[str, Any] = self._json(self._found(answer), dict)
        return content

    def _found(self, answer: Answer) -> Answer:
        if answer.status == 404:
            raise InstanceGone
        if answer.status >= 400:
            raise self._orthanc.fault
        return answer
