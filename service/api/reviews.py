"""Verdicts of people on recorded analyses, and what the versions of a model said of these."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Request
from fastapi.concurrency import run_in_threadpool

from service.api.analyses import RECORD_ERRORS, AnalysisId
from service.api.dependencies import RecordsDep, caller_name
from service.errors import AnalysisNotFound, MalformedBody, ReviewConflict
from service.http.problems import problems
from service.records.record import NewReview, Review
from service.records.versions import ReviewedVersions, reviewed_versions

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


@router.get("/v1/models/{name}/reviews", responses=problems(*RECORD_ERRORS))
async def compare_versions(
    recorder: RecordsDep, name: Annotated[str, Path(description="Name of the model.")]
) -> ReviewedVersions:
    """How each version of a model did on its own analyses that readers judged, latest first.

    The versions answered different images, so this is no paired comparison: see `wscxr bundle
    compare`.
    """
    return await run_in_threadpool(reviewed_versions, recorder.records, name)
