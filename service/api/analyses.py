"""Recorded analyses, with their pictures and maps."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from service import errors
from service.api.dependencies import UPLOAD_ERRORS, RecordsDep, RegistryDep
from service.api.maps import PNG_ANSWER, PngResponse
from service.api.originals import OriginalsDep
from service.errors import (
    AnalysisNotFound,
    ArchiveSilent,
    ImageNotKept,
    InvalidRequest,
    RecordsOff,
)
from service.http.problems import problems
from service.records.record import NO_NUL, Filter, Order, RecordedAnalysis, Source
from service.scoring.analysis import render_map
from wscxr.imaging import looks_like_dicom
from wscxr.model.calibration import Decision
from wscxr.results.png import MapStyle

router = APIRouter(tags=["records"])

RECORD_ERRORS = (
    *errors.KEY_ERRORS,
    RecordsOff,
    InvalidRequest,
    errors.InternalError,
    errors.RecordsUnavailable,
    errors.RecordsFull,
    errors.RecordsVersion,
)
"""What a route that reads the record may answer with."""

PICTURE_ERRORS = (*RECORD_ERRORS, AnalysisNotFound, ImageNotKept, ArchiveSilent)
"""What a route that reads the picture of an analysis may answer with."""

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ORIGINAL: dict[str, Any] = {
    "description": "The file as it was sent.",
    "content": dict.fromkeys(("image/png", "image/jpeg", "application/dicom"), _BINARY),
}


def _in_utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is None:
        return moment and moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


AnalysisId = Annotated[UUID, Path(description="Id of the analysis.")]


class AnalysisPage(BaseModel):
    """Some of the recorded analyses."""

    model_config = ConfigDict(frozen=True)

    items: list[RecordedAnalysis]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


class OriginalResponse(Response):
    """A radiograph as it was sent."""


@router.get("/v1/analyses", responses=problems(*RECORD_ERRORS))
async def list_analyses(
    recorder: RecordsDep,
    order: Annotated[
        Order, Query(description="newest first, or the smallest p-values first.")
    ] = Order.NEWEST,
    decision: Annotated[Decision | None, Query(description="Only those with it.")] = None,
    model: Annotated[
        str | None, Query(max_length=200, pattern=NO_NUL, description="Only its answers.")
    ] = None,
    source: Annotated[Source | None, Query(description="Only those from there.")] = None,
    reviewed: Annotated[
        bool | None, Query(description="Only those with, or without, a review.")
    ] = None,
    since: Annotated[
        datetime | None,
        AfterValidator(_in_utc),
        Query(description="Only those answered at this time or later; in UTC without an offset."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Most analyses of a page.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next` of the page before.")
    ] = None,
) -> AnalysisPage:
    """Recorded analyses, each with the latest review of it."""
    wanted = Filter(decision, model, source, reviewed, since)
    items, following = await run_in_threadpool(recorder.records.page, wanted, order, limit, cursor)
    return AnalysisPage(items=items, next=following)


@router.get("/v1/analyses/{analysis_id}", responses=problems(*RECORD_ERRORS, AnalysisNotFound))
async def read_analysis(recorder: RecordsDep, analysis_id: AnalysisId) -> RecordedAnalysis:
    """One recorded analysis."""
    return await run_in_threadpool(recorder.records.get, analysis_id)


@router.get(
    "/v1/analyses/{analysis_id}/image",
    response_class=OriginalResponse,
    responses={200: _ORIGINAL, **problems(*PICTURE_ERRORS)},
)
async def read_image(originals: OriginalsDep, analysis_id: AnalysisId) -> OriginalResponse:
    """The radiograph of an analysis, byte for byte as it was sent, where it was kept.

    One that came from the PACS is fetched from there where it was not.
    """
    data = await originals.image(analysis_id)
    return OriginalResponse(data, media_type=media_type(data))


@router.get(
    "/v1/analyses/{analysis_id}/map",
    response_class=PngResponse,
    responses={200: PNG_ANSWER, **problems(*PICTURE_ERRORS, *UPLOAD_ERRORS)},
)
async def read_recorded_map(
    recorder: RecordsDep, originals: OriginalsDep, registry: RegistryDep, analysis_id: AnalysisId
) -> PngResponse:
    """The anomaly map of an analysis as 16-bit grey, where it was kept; see the style raw16.

    That of a radiograph from the PACS is computed again where the same bundle is served.
    """
    try:
        return PngResponse(await run_in_threadpool(recorder.map, analysis_id))
    except ImageNotKept:
        recorded = await run_in_threadpool(recorder.records.get, analysis_id)
        if recorded.source is not Source.PACS or recorded.model.name not in registry.names:
            raise
        pipeline = registry.get(recorded.model.name)
        if pipeline.bundle.identity != recorded.model:
            raise
    data = await originals.image(analysis_id)
    # No answer of its own, and so nothing that is recorded.
    found = await pipeline.analyse(data, render_map(MapStyle.RAW16), origin=None)
    return PngResponse(found.rendered)


def media_type(data: bytes) -> str:
    """What kind of file a radiograph is, by its first bytes."""
    if looks_like_dicom(data):
        return "application/dicom"
    return "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
