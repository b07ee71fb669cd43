"""Drift of what is scored, week by week."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool

from service.api.analyses import RECORD_ERRORS
from service.api.dependencies import RecordsDep, SettingsDep
from service.http.problems import problems
from service.records.drift import MOST_WEEKS, WEEKS
from service.records.drift.report import DriftReport

router = APIRouter(tags=["records"])


@router.get("/v1/drift", responses=problems(*RECORD_ERRORS))
async def read_drift(
    recorder: RecordsDep,
    settings: SettingsDep,
    weeks: Annotated[
        int, Query(ge=1, le=MOST_WEEKS, description="Weeks to report, this one among them.")
    ] = WEEKS,
) -> DriftReport:
    """The images of each week, by model, source and device, against calibration and first weeks.

    Scores, OOD scores, brightness, contrast and sharpness, with limits for how many images there
    are; false alarms among radiographs judged normal. Warnings say what to do.
    """
    # Not above: without a record, its libraries need not be there.
    from service.records.drift.weekly import look_for_drift

    return await run_in_threadpool(look_for_drift, recorder.records, settings.model_store, weeks)
