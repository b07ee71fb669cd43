"""A DICOMweb client: QIDO-RS, WADO-RS and STOW-RS (PS3.18, chapter 10)."""

import io
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import pydicom
from pydicom.dataset import Dataset

from service.multipart import RELATED, dicom_files, related
from service.pacs.errors import InstanceGone, Refused, ResultNotKept, UnreadableHeader
from service.pacs.transport import Answer, Server

_JSON = {"Accept": "application/dicom+json"}
# As they are stored: the bytes that arrived are the bytes that are scored.
_ANY_SYNTAX = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_PAGE = 200
_UIDS = ("0020000D", "0020000E", "00080018")
_MODALITY = "00080060"
_MISSING = frozenset({404, 410})
_NONE = frozenset({204, 404})
_IDENTITY = [
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "PatientID"),
    "Modality",
    *("Manufacturer", "ManufacturerModelName"),
]
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_MAX_UID = 64


def is_uid(text: str) -> bool:
    """Whether a text has the form of a UID (PS3.5, section 9.1), and so is safe in a URL."""
    return len(text) <= _MAX_UID and _UID.fullmatch(text) is not None


@dataclass(frozen=True)
class Instance:
    """A DICOM instance, named by its Study, Series and SOP Instance UID.

    Attributes
    ----------
    study, series, sop
        The three UIDs.
    key
        The archive's own identifier; empty where it has none, or it is not known yet.
    header
        What is known of its header already; None where that is nothing.

    Raises
    ------
    ValueError
        One of them is no UID.
    """

    study: str
    series: str
    sop: str
    key: str = field(default="", compare=False)
    header: Dataset | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not all(map(is_uid, (self.study, self.series, self.sop))):
            raise ValueError("not a UID")

    @classmethod
    def from_header(cls, header: Dataset, key: str = "") -> Self:
        """Take the three UIDs from a header, and keep it."""
        names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        study, series, sop = (str(header.get(name, "")) for name in names)
        return cls(study, series, sop, key, header)

    @classmethod
    def from_file(cls, data: bytes) -> Self:
        """Take the three UIDs from a DICOM file, and what says whose it is.

        Raises
        ------
        ValueError
            This is no DICOM file, or it lacks one of them.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # their text would show values
            try:
                header = pydicom.dcmread(
                    io.BytesIO(data), stop_before_pixels=True, specific_tags=_IDENTITY
                )
                return cls.from_header(header)
            except Exception:  # noqa: BLE001 - pydicom raises all sorts of errors on damaged files
                raise ValueError("not a DICOM file") from None

    @classmethod
    def from_uids(cls, uids: str) -> Self:
        """Take the three UIDs from a text that `uids` made."""
        study, series, sop = uids.split("/")
        return cls(study, series, sop)

    @property
    def uids(self) -> str:
        """Study, Series and SOP Instance UID with slashes between them."""
        return f"{self.study}/{self.series}/{self.sop}"

    @property
    def path(self) -> str:
        """Resource of the instance below the root of a DICOMweb server (PS3.18, section 10.4)."""
        return f"studies/{self.study}/series/{self.series}/instances/{self.sop}"


class DicomWeb:
    """A DICOMweb server.

    Parameters
    ----------
    root
        Path of DICOMweb below the root of the server, with a slash at its end unless empty.

    Raises
    ------
    ServerUnavailable, ServerFault
        Every method: as `Server.send`, and when an answer makes no sense.
    """

    def __init__(self, server: Server, root: str = "") -> None:
        self._server = server
        self._root = root

    async def search(self, path: str, params: Mapping[str, str | int]) -> list[dict[str, Any]]:
        """Collect all matches of a QIDO-RS query, each once, in the DICOM JSON model."""
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        while True:
            page = await self.page(path, params, len(found))
            known = len(found)
            found |= {tuple(first(item, uid) for uid in _UIDS): item for item in page}
            # A server that ignores the offset sends its first page again and again.
            if len(found) == known:
                return list(found.values())

    async def page(
        self, path: str, params: Mapping[str, str | int], offset: int
    ) -> list[dict[str, Any]]:
        """Read one page of the matches of a QIDO-RS query, from a match on; empty at the end."""
        query = {**params, "limit": _PAGE, "offset": offset}
        answer = await self._server.send("GET", self._root + path, params=query, headers=_JSON)
        return [] if answer.status in _NONE else self._objects(answer)

    async def instances(
        self, study: str, modalities: Sequence[str] | None = None
    ) -> list[Instance]:
        """List the instances of a study; none when the study is not there.

        Parameters
        ----------
        study
            Study Instance UID.
        modalities
            Only series of these modalities (0008,0060); None for all.
        """
        found = []
        for series in await self.search(f"studies/{study}/series", {}):
            if modalities is not None and first(series, _MODALITY) not in modalities:
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
        """Read the header of an instance, without pixels (WADO-RS metadata).

        Raises
        ------
        InstanceGone
            The instance is not there.
        UnreadableHeader
            Its header is damaged.
        """
        answer = await self._server.send("GET", self._url(instance, "/metadata"), headers=_JSON)
        if answer.status in _MISSING:
            raise InstanceGone
        objects = self._objects(answer)
        if len(objects) != 1:
            raise self._server.fault
        try:
            return _header_from_json(objects[0])
        except ValueError:
            raise UnreadableHeader from None

    async def pull(self, instance: Instance) -> bytes:
        """Read the DICOM file of an instance, byte for byte as it is stored (WADO-RS).

        Raises
        ------
        InstanceGone
            The instance is not there.
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
        """Whether an instance can be read back by WADO-RS, not only found in an index."""
        try:
            return Instance.from_header(await self.header(instance)) == instance
        except (InstanceGone, Refused, ValueError):
            return False

    async def kept(self, instance: Instance, file: bytes) -> bool:
        """Whether a file that was stored can be read back."""
        # By its header; DICOMweb has neither hash nor size of what is stored.
        del file
        return await self.has(instance)

    async def store(self, files: Mapping[Instance, bytes]) -> None:
        """Store DICOM files (STOW-RS), then read each back, whatever the server answered.

        Raises
        ------
        ResultNotKept
            One of them cannot be read back.
        """
        headers = {**_JSON, "Content-Type": RELATED}
        body = related(list(files.values()))
        await self._server.send("POST", f"{self._root}studies", headers=headers, content=body)
        for instance, file in files.items():
            if not await self.kept(instance, file):
                raise ResultNotKept

    async def probe(self) -> None:
        """Check that the server answers a simple query."""
        answer = await self._server.send(
            "GET", f"{self._root}studies", params={"limit": 1}, headers=_JSON
        )
        self._sound(answer)

    def _url(self, instance: Instance, suffix: str = "") -> str:
        return f"{self._root}{instance.path}{suffix}"

    def _sound(self, answer: Answer) -> Answer:
        if answer.status >= 400:
            raise self._server.fault
        return answer

    def _objects(self, answer: Answer) -> list[dict[str, Any]]:
        objects: list[dict[str, Any]] = self._json(answer, list) if self._sound(answer).body else []
        if not all(isinstance(item, dict) for item in objects):
            raise self._server.fault
        return objects

    def _json(self, answer: Answer, kind: type) -> Any:
        try:
            content = json.loads(self._sound(answer).body)
        except ValueError:
            raise self._server.fault from None
        if not isinstance(content, kind):
            raise self._server.fault
        return content


def first(item: Mapping[str, Any], tag: str) -> str:
    """First value of an attribute in the DICOM JSON model (PS3.18, F.2.2); empty when absent."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""


def _header_from_json(item: Mapping[str, Any]) -> Dataset:
    """Read one object of the DICOM JSON model (PS3.18, annex F), without bulk data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their text would show values
        try:
            kept = {tag: value for tag, value in item.items() if "BulkDataURI" not in value}
            return Dataset.from_json(kept)
        except Exception:  # noqa: BLE001 - pydicom raises all sorts of errors on damaged objects
            raise ValueError("not an object of the DICOM JSON model") from None
