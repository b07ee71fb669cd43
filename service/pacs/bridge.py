"""One instance's way: header read, file pulled, scored, results stored and read back."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

from service.multipart import dicom_files
from service.pacs.audit import AuditTrail, Transfer
from service.pacs.dicomweb import DicomWeb, Instance
from service.pacs.errors import (
    AnalyserFault,
    AnalyserRefuses,
    InstanceGone,
    Refused,
    ServerFault,
)
from service.pacs.transport import Answer, Server
from wscxr.errors import MultiFrameImage, OutOfScope, WrongModality
from wscxr.results.dicom.identity import is_own_result


class Ending(StrEnum):
    """How the work on an instance ended.

    Attributes
    ----------
    STORED
        Its results were stored and read back.
    PRESENT
        Its results were there already.
    OWN
        It is a result itself.
    SKIPPED
        It is out of scope.
    GONE
        It is not in the archive any more.
    FAILED
        It failed for good.
    """

    STORED = "stored"
    PRESENT = "present"
    OWN = "own"
    SKIPPED = "skipped"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """How the work on an instance ended.

    Attributes
    ----------
    ending
        How.
    code
        Why it was skipped or failed.
    request_id
        Id of the scoring service's answer to what failed, for its log.
    """

    ending: Ending
    code: str | None = None
    request_id: str | None = None

    @classmethod
    def failed(cls, error: Refused | ServerFault) -> Self:
        """The outcome of an instance that failed for good."""
        return cls(Ending.FAILED, error.reason, error.request_id)


class Analyser(Protocol):
    """Scores a radiograph and makes its result objects."""

    async def analyse(self, data: bytes) -> list[bytes]:
        """Score one DICOM file and make its result objects, each a DICOM file.

        The same file must always give objects with the same UIDs.

        Raises
        ------
        Refused
            The file cannot be scored, or is not to be.
        ServerUnavailable, ServerFault
            Scoring does not work now, or failed this time.
        """
        ...

    async def probe(self) -> None:
        """Check that scoring works at all; errors as `analyse`, but never `Refused`."""
        ...


class ServiceAnalyser:
    """Scores with the scoring service, over HTTP. See `Analyser`.

    Parameters
    ----------
    model
        Name of the model to score with; None when the service has one only.
    """

    def __init__(self, server: Server, model: str | None) -> None:
        self._server = server
        self._params = {} if model is None else {"model": model}

    async def analyse(self, data: bytes) -> list[bytes]:
        """See `Analyser.analyse`."""
        answer = await self._server.send(
            "POST", "v1/predict/dicom", params=self._params, headers=_FROM_PACS, file=data
        )
        if answer.status >= 400:
            raise _refusal(answer)
        try:
            files = dicom_files(answer.content_type, answer.body)
        except ValueError:
            raise AnalyserFault(answer.request_id) from None
        if not files:
            raise AnalyserFault(answer.request_id)
        return files

    async def probe(self) -> None:
        """See `Analyser.probe`."""
        answer = await self._server.send("GET", "health/ready")
        if answer.status >= 400:
            raise AnalyserRefuses


class Bridge:
    """Takes instances from the archive to the analyser, and results back.

    Parameters
    ----------
    modalities
        Modalities (PS3.3, C.7.3.1.1.1) that are pulled; others are skipped on their header.
    audit
        Where it is noted that instances were read and stored; None for nowhere.
    """

    def __init__(
        self,
        archive: DicomWeb,
        analyser: Analyser,
        modalities: Collection[str],
        audit: AuditTrail | None = None,
    ) -> None:
        self._audit = audit
        self._archive = archive
        self._analyser = analyser
        self._modalities = frozenset(modalities)

    async def process(self, instance: Instance) -> Outcome:
        """Do all that is to be done for one instance; doing it again changes nothing.

        Raises
        ------
        Refused
            It cannot be scored.
        ServerUnavailable, ServerFault
            A server does not work now, or failed this time.
        """
        try:
            return await self._process(instance)
        except InstanceGone:
            return Outcome(Ending.GONE)
        except Refused as refusal:
            if refusal.reason not in SCOPE_CODES:
                raise
            return Outcome(Ending.SKIPPED, refusal.reason)

    async def probe(self) -> None:
        """Check that archive and analyser work at all.

        Raises
        ------
        ServerUnavailable, ServerFault
            One of them does not.
        """
        await self._archive.probe()
        await self._analyser.probe()

    async def _process(self, instance: Instance) -> Outcome:
        header = await self._archive.header(instance)
        if is_own_result(header):
            return Outcome(Ending.OWN)
        if str(header.get("Modality", "")) not in self._modalities:
            return Outcome(Ending.SKIPPED, WrongModality.code)
        data = await self._archive.pull(instance)
        transfer = None if self._audit is None else Transfer.pulled(instance, data)
        self._note(transfer)
        results = _identified(await self._analyser.analyse(data), instance.study)
        missing = {key: file for key, file in results.items() if not await self._archive.has(key)}
        if not missing:
            return Outcome(Ending.PRESENT)
        await self._archive.store(missing)
        self._note(transfer and transfer.answered(map(_sop_class, missing)))
        return Outcome(Ending.STORED)

    def _note(self, transfer: Transfer | None) -> None:
        if self._audit is not None and transfer is not None:
            self._audit.note(transfer)


def _sop_class(result: Instance) -> str:
    return "" if result.header is None else str(result.header.get("SOPClassUID", ""))


def _identified(files: list[bytes], study: str) -> dict[Instance, bytes]:
    try:
        results = {Instance.from_file(file): file for file in files}
    except ValueError:
        raise AnalyserFault from None
    # A result in another patient's study would be worse than none.
    if any(result.study != study for result in results):
        raise AnalyserFault
    return results


def _codes(kind: type[OutOfScope]) -> set[str]:
    return {kind.code}.union(*map(_codes, kind.__subclasses__()))


SCOPE_CODES = frozenset({MultiFrameImage.code, *_codes(OutOfScope)})
"""Codes of sound objects that are not to be scored."""

_FROM_PACS = {"X-WSCXR-Source": "pacs"}
"""Has the service record where the image came from."""

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
# The request is at fault, not the file in it: every other file would meet the same.
_SETUP_STATUS = frozenset({404, 405})
_SETUP_CODES = frozenset({"invalid_request", "missing_file", "model_required", "too_many_files"})
_TOO_SLOW = 408


def _refusal(answer: Answer) -> Exception:
    code = _problem_code(answer.body)
    if answer.status == _TOO_SLOW:
        return AnalyserFault(answer.request_id)
    if answer.status in _SETUP_STATUS or code in _SETUP_CODES:
        return AnalyserRefuses()
    return Refused(code or f"http_{answer.status}", answer.request_id)


def _problem_code(body: bytes) -> str | None:
    try:
        code = json.loads(body)["code"]
    except (ValueError, KeyError, TypeError):
        return None
    # Anything else might carry what is not to be logged or kept.
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None
