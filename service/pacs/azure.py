"""Microsoft's DICOM service (Azure Health Data Services): DICOMweb, and a feed of changes."""

from typing import Any

from service.pacs.changes import Changes
from service.pacs.dicomweb import DicomWeb, Instance
from service.pacs.errors import InstanceGone
from service.pacs.feeds import Arrival
from service.pacs.transport import Server

_JSON = {"Accept": "application/json"}
_PER_PAGE = 100
_EMPTY = 204


class AzureArchive(DicomWeb):
    """The DICOM service by version 1 of its API, whose change feed goes by numbers.

    Its root ends in ``/v1``. Errors are those of `DicomWeb`.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._azure = server

    async def changes(self, since: int) -> Changes:
        """See `NumberedArchive.changes`.

        A page holds the next 100 changes in some versions of the service, and those of the next 100
        numbers in others, where it can be empty though more follow.
        """
        last = await self.last_change()
        query: dict[str, str | int] = {
            "offset": since,
            "limit": _PER_PAGE,
            "includeMetadata": "false",
        }
        page = await self._get("changefeed", query, list)
        if not page:
            return Changes([], since + _PER_PAGE if last > since + _PER_PAGE else since)
        try:
            upto = max(int(change["Sequence"]) for change in page)
            arrivals = [
                Arrival(_key(change), int(change["Sequence"]))
                for change in page
                if change["Action"] == "create" and change["State"] == "current"
            ]
        except (KeyError, TypeError, ValueError):
            raise self._azure.fault from None
        return Changes(arrivals, upto)

    async def last_change(self) -> int:
        """See `NumberedArchive.last_change`."""
        last = await self._get("changefeed/latest", {"includeMetadata": "false"}, dict)
        try:
            return int(last["Sequence"]) if last else 0
        except (KeyError, TypeError, ValueError):
            raise self._azure.fault from None

    async def find(self, key: str) -> Instance:
        """See `NumberedArchive.find`."""
        try:
            return Instance.from_uids(key)
        except ValueError:
            raise InstanceGone from None

    async def _get(self, path: str, query: dict[str, str | int], kind: type) -> Any:
        answer = await self._azure.send("GET", path, params=query, headers=_JSON)
        return kind() if answer.status == _EMPTY else self._json(answer, kind)


def _key(change: dict[str, Any]) -> str:
    names = ("StudyInstanceUid", "SeriesInstanceUid", "SopInstanceUid")
    study, series, sop = (str(change[name]) for name in names)
    return Instance(study, series, sop).uids
