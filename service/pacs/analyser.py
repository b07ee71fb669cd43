"""Who scores: one DICOM file in, result objects out."""

import json
import re
from typing import Protocol

from service.pacs.errors import AnalyserFault, AnalyserRefuses, Refused
from service.pacs.related import dicom_files
from service.pacs.transport import Answer, Server

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
# The request is at fault, not the file in it: every other file would meet the same.
_SETUP_STATUS = frozenset({404, 405})
_SETUP_CODES = frozenset({"invalid_request", "missing_file", "model_required", "too_many_files"})
_TOO_SLOW = 408


class Analyser(Protocol):
    """Makes result objects of a radiograph."""

    async def analyse(self, data: bytes) -> list[bytes]:
        """Score one DICOM file and make its result objects, each a DICOM file.

        The same file must always give objects with the same UIDs.

        Raises
        ------
        Refused
            The file cannot be scored, or is not to be.
        Unavailable, Faulty
            Not now, or not this time.
        """
        ...

    async def probe(self) -> None:
        """Find out whether it works at all; errors as `analyse`, but never `Refused`."""
        ...


class ServiceAnalyser:
    """The scoring service, over HTTP.

    Parameters
    ----------
    server
        Where requests go.
    model
        Model to score with; None when the service has one only.
    """

    def __init__(self, server: Server, model: str | None) -> None:
        self._server = server
        self._params = {} if model is None else {"model": model}

    async def analyse(self, data: bytes) -> list[bytes]:
        """See `Analyser.analyse`."""
        answer = await self._server.send("POST", "v1/predict/dicom", params=self._params, file=data)
        if answer.status >= 400:
            raise _refusal(answer)
        try:
            files = dicom_files(answer.content_type, answer.body)
        except ValueError:
            raise AnalyserFault from None
        if not files:
            raise AnalyserFault
        return files

    async def probe(self) -> None:
        """See `Analyser.probe`."""
        answer = await self._server.send("GET", "health/ready")
        if answer.status >= 400:
            raise AnalyserRefuses


def _refusal(answer: Answer) -> Exception:
    code = _problem_code(answer.body)
    if answer.status == _TOO_SLOW:
        return AnalyserFault()
    if answer.status in _SETUP_STATUS or code in _SETUP_CODES:
        return AnalyserRefuses()
    return Refused(code or f"http_{answer.status}")


def _problem_code(body: bytes) -> str | None:
    try:
        code = json.loads(body)["code"]
    except (ValueError, KeyError, TypeError):
        return None
    # Anything else might carry what is not to be logged or kept.
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None
