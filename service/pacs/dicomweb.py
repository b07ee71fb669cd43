"""QIDO-RS, WADO-RS and STOW-RS (PS3.18, chapter 10)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset

from service.http.multipart import RELATED, related
from service.pacs.errors import InstanceGone, Refused, ResultNotKept
from service.pacs.instance import Instance, header_from_json, is_uid
from service.pacs.related import dicom_files
from service.pacs.transport import Answer, Server

_JSON = {"Accept": "application/dicom+json"}
# As they are stored: the bytes that arrived are the bytes that are scored.
_ANY_SYNTAX = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_PAGE = 200
_UIDS = ("0020000D", "0020000E", "00080018")
_MISSING = frozenset({404, 410})
_NONE = frozenset({204, 404})


class DicomWeb:
    """A DICOMweb server.

    Parameters
    ----------
    server
        Where requests go.
    root
        Path of DICOMweb below the root of the server, with a slash at its end unless empty.

    Raises
    ------
    Unavailable, Faulty
        All methods: as `Server.send`, and when an answer makes no sense.
    """

    def __init__(self, server: Server, root: str = "") -> None:
        self._server = server
        self._root = root

    async def search(self, path: str, params: Mapping[str, str | int]) -> list[dict[str, Any]]:
        """All matches of a QIDO-RS query, page by page, each once, in the DICOM JSON model."""
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        while True:
            query = {**params, "limit": _PAGE, "offset": len(found)}
            answer = await self._server.send("GET", self._root + path, params=query, headers=_JSON)
            page = [] if answer.status in _NONE else self._objects(answer)
            known = len(found)
            found |= {tuple(first(item, uid) for uid in _UIDS): item for item in page}
            # A server that knows no offset sends its first page again and again.
            if len(found) == known:
                return list(found.values())

    async def instances(
        self, study: str, modalities: Sequence[str] | None = None
    ) -> list[Instance]:
        """The instances of a study, of these modalities or of all; none when it is not there."""
        found = []
        for series in await self.search(f"studies/{study}/series", {}):
            if modalities is not None and first(series, "00080060") not in modalities:
                continue
            uid = first(series, _UIDS[1])
            if not is_uid(uid):
                raise self._server.fault
            path = f"studies/{study}/series/{uid}/instances"
            sops = [first(item, _UIDS[2]) for item in await self.search(path, {})]
            if not all(map(is_uid, sops)):
                raise self._server.fault
            found += [Instance(study, uid, sop) for sop in sops]
        return found

    async def header(self, instance: Instance) -> Dataset:
        """Header of an instance, without pixels (WADO-RS metadata).

        Raises
        ------
        InstanceGone
            It is not there.
        Refused
            It is damaged.
        """
        answer = await self._server.send("GET", self._url(instance, "/metadata"), headers=_JSON)
        if answer.status in _MISSING:
            raise InstanceGone
        objects = self._objects(answer)
        if len(objects) != 1:
            raise self._server.fault
        try:
            return header_from_json(objects[0])
        except ValueError:
            raise Refused("unreadable_header") from None

    async def pull(self, instance: Instance) -> bytes:
        """The DICOM file of an instance, byte for byte as it is stored (WADO-RS).

        Raises
        ------
        InstanceGone
            It is not there.
        """
        answer = await self._server.send("GET", self._url(instance), headers=_ANY_SYNTAX)
        if answer.status in _MISSING:
            raise InstanceGone
        try:
            (file,) = dicom_files(answer.content_type, self._sound(answer).body)
        except ValueError:
            raise self._server.fault from None
        return file

    async def has(self, instance: Instance) -> bool:
        """Whether an instance is there: asked of WADO-RS, which reads it, not of an index."""
        try:
            return Instance.from_header(await self.header(instance)) == instance
        except (InstanceGone, Refused, ValueError):
            return False

    async def store(self, files: Mapping[Instance, bytes]) -> None:
        """Store DICOM files (STOW-RS), and see that they are there whatever was answered.

        Raises
        ------
        ResultNotKept
            One of them is not there.
        """
        headers = {**_JSON, "Content-Type": RELATED}
        body = related(list(files.values()))
        await self._server.send("POST", f"{self._root}studies", headers=headers, content=body)
        for instance in files:
            if not await self.has(instance):
                raise ResultNotKept

    async def probe(self) -> None:
        """Find out whether the server works at all."""
        params = {"limit": 1}
        answer = await self._server.send(
            "GET", f"{self._root}studies", params=params, headers=_JSON
        )
        self._sound(answer)

    def _url(self, instance: Instance, suffix: str = "") -> str:
        return f"{self._root}{instance.path}{suffix}"

    def _sound(self, answer: Answer) -> Answer:
        if answer.status >= 400:
            raise self._server.fault
        return answer

    def _objects(self, answer: Answer) -> list[dict[str, Any]]:
        try:
            objects = json.loads(self._sound(answer).body or b"[]")
        except ValueError:
            raise self._server.fault from None
        if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
            raise self._server.fault
        return objects


def first(item: Mapping[str, Any], tag: str) -> str:
    """First value of an attribute in the DICOM JSON model (PS3.18, F.2.2); empty when absent."""
    return next(_values(item, tag), "")


def _values(item: Mapping[str, Any], tag: str) -> Iterator[str]:
    element = item.get(tag)
    if isinstance(element, dict) and isinstance(values := element.get("Value"), list):
        yield from (str(value) for value in values)
