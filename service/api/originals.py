"""Pictures of recorded analyses: as they were kept, or out of the PACS where they were not."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from service.errors import ArchiveSilent, ImageNotKept, RecordsOff
from service.settings import Settings

if TYPE_CHECKING:
    from service.pacs.recall import Recall
    from service.pacs.settings import PacsSettings
    from service.records.recorder import Recorder

_DAYS_BEFORE, _DAYS_AFTER = 7, 1
"""How far the date of a study may lie from the day on which it was analysed."""


class Originals:
    """Finds the picture of a recorded analysis.

    The record holds keyed hashes of UIDs alone. In the PACS a picture is found by hashing the UIDs
    of the studies of the days around its analysis in the same way.

    Parameters
    ----------
    recorder
        The record; None where there is none.
    pacs
        The PACS; None where there is none.
    """

    def __init__(
        self, settings: Settings, recorder: "Recorder | None", pacs: "PacsSettings | None"
    ) -> None:
        self._recorder = recorder
        self._timeout_s = settings.request_timeout_s
        self._recall = None
        if recorder is not None and pacs is not None:
            # Not above: a service without a PACS needs none of the extra [dicom].
            from service.pacs.recall import Recall

            self._recall = Recall(pacs)

    async def image(self, analysis: UUID) -> bytes:
        """The picture of an analysis, byte for byte as it was sent, or as the PACS holds it.

        Raises
        ------
        RecordsOff
            There is no record.
        AnalysisNotFound
            The record does not hold the analysis.
        ImageNotKept
            Its picture was not kept, and the PACS has none from these days.
        ArchiveSilent
            The PACS does not answer, or not in time.
        """
        if self._recorder is None:
            raise RecordsOff
        try:
            return await run_in_threadpool(self._recorder.image, analysis)
        except ImageNotKept:
            if self._recall is None:
                raise
        return await self._from_pacs(self._recorder, self._recall, analysis)

    async def _from_pacs(self, recorder: "Recorder", recall: "Recall", analysis: UUID) -> bytes:
        from service.pacs.errors import InstanceGone, PacsError
        from service.records.facts import instance_hash, study_hash

        traces = await run_in_threadpool(recorder.records.traces, analysis)
        if traces is None:
            raise ImageNotKept
        key = recorder.key
        day = traces.time.date()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await recall.file(
                    traces.instance_hash,
                    lambda uid: study_hash(uid, key) == traces.study_hash,
                    lambda uid: instance_hash(uid, key) == traces.instance_hash,
                    (day - timedelta(days=_DAYS_BEFORE), day + timedelta(days=_DAYS_AFTER)),
                )
        except InstanceGone:
            raise ImageNotKept from None
        except (PacsError, TimeoutError):
            raise ArchiveSilent from None


async def get_originals(request: Request) -> Originals:
    """The pictures of the app's recorded analyses."""
    originals: Originals = request.app.state.originals
    return originals


OriginalsDep = Annotated[Originals, Depends(get_originals)]
