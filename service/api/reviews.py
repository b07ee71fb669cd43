"""Verdicts of people on recorded analyses."""

from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.concurrency import run_in_threadpool

from service.api.analyses import RECORD_ERRORS, AnalysisId
from service.api.dependencies import RecordsDep, caller_name
from service.errors import AnalysisNotFound, MalformedBody, ReviewConflict
from service.http.problems import problems
from service.records.record import NewReview, Review

router = APIRouter(tags=["records"])


@router.post(
    "/v1/analyses/{analysis_id}/reviews",
    status_code=201,
    responses=problems(*RECORD_ERRORS, MalformedBody, AnalysisNotFound, ReviewConflict),
)
async def review_analysis(
    request: Request,
    recorder: RecordsDep,
    analysis_id: AnalysisId,
    verdict: Annotated[NewReview, Body()],
) -> Review:
    """Record a verdict; `revision` is that of the review the reader saw, 0 where there was none.

    Where somebody else has judged meanwhile, nothing is recorded, and the problem's member `review`
    holds what stands now.
    """
    reviewer = caller_name(request)
    return await run_in_threadpool(recorder.records.review, analysis_id, verdict, reviewer)
