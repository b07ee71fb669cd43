"""Radiographs in, scores and anomaly maps out."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from fastapi import APIRouter, Request

from service.api.answers import to_headers, to_map_data, to_result
from service.api.dependencies import (
    AssumedDep,
    FileDep,
    FilesDep,
    MapChoice,
    MapChoiceDep,
    PipelineDep,
    StyleQuery,
)
from service.api.maps import PngResponse, keep_map
from service.api.schemas import (
    BatchItem,
    BatchResult,
    MapData,
    MapDelivery,
    MapLink,
    PredictionResult,
)
from service.http.disconnect import while_connected
from service.http.documented import PREDICT_PROBLEMS, SCORED_PNG_RESPONSE
from service.http.problems import to_problem
from service.scoring.batching import Ticket
from service.scoring.drawing import map_drawer
from service.scoring.pipeline import Draw, Outcome, Pipeline
from wscxr.imaging import Assumed
from wscxr.results.png import MapStyle

router = APIRouter(tags=["predict"])


@router.post("/v1/predict", responses=PREDICT_PROBLEMS)
async def predict(
    request: Request,
    pipeline: PipelineDep,
    data: FileDep,
    choice: MapChoiceDep,
    assume: AssumedDep,
) -> PredictionResult:
    """Score one radiograph; with `map`, draw its anomaly map too."""
    outcome = await score_one(request, pipeline, data, choice.draw, assume)
    return _result(request, request.state.request_id, outcome, choice)


@router.post(
    "/v1/predict/map",
    response_class=PngResponse,
    responses={200: SCORED_PNG_RESPONSE, **PREDICT_PROBLEMS},
)
async def predict_map(
    request: Request,
    pipeline: PipelineDep,
    data: FileDep,
    assume: AssumedDep,
    style: StyleQuery = MapStyle.OVERLAY,
) -> PngResponse:
    """Score one radiograph and answer with its anomaly map; the scores are in the headers."""
    outcome = await score_one(request, pipeline, data, map_drawer(style), assume)
    headers = to_headers(request.state.request_id, outcome, style)
    return PngResponse(outcome.drawn, headers=headers)


@router.post("/v1/predict/batch", responses=PREDICT_PROBLEMS)
async def predict_batch(
    request: Request,
    pipeline: PipelineDep,
    files: FilesDep,
    choice: MapChoiceDep,
    assume: AssumedDep,
) -> BatchResult:
    """Score several radiographs: one result or one error for each, in order."""
    with pipeline.batcher.admit(len(files)) as tickets:
        outcomes = await while_connected(
            request, _score_all(pipeline, tickets, files, choice.draw, assume)
        )
    items = [_item(request, place, outcome, choice) for place, outcome in enumerate(outcomes)]
    return BatchResult(id=request.state.request_id, items=items)


async def score_one(
    request: Request, pipeline: Pipeline, data: bytes, draw: Draw | None, assume: Assumed
) -> Outcome:
    """Score one file for as long as the client waits; errors as `Pipeline.run`."""
    with pipeline.batcher.admit(1) as tickets:
        return await while_connected(request, pipeline.run(tickets[0], data, draw, assume))


async def _score_all(
    pipeline: Pipeline,
    tickets: list[Ticket],
    files: list[bytes],
    draw: Draw | None,
    assume: Assumed,
) -> Sequence[Outcome | BaseException]:
    runs = [pipeline.run(*pair, draw, assume) for pair in zip(tickets, files, strict=True)]
    return await asyncio.gather(*runs, return_exceptions=True)


def _result(
    request: Request, result_id: str, outcome: Outcome, choice: MapChoice
) -> PredictionResult:
    anomaly_map: MapLink | MapData | None = None
    if outcome.drawn is not None and choice.delivery is MapDelivery.BASE64:
        anomaly_map = to_map_data(outcome.drawn, choice.style)
    elif outcome.drawn is not None:
        url = keep_map(request, result_id, outcome.drawn)
        anomaly_map = MapLink(style=choice.style, url=url)
    return to_result(result_id, outcome, anomaly_map)


def _item(
    request: Request,
    place: int,
    outcome: Outcome | BaseException,
    choice: MapChoice,
) -> BatchItem:
    try:
        if isinstance(outcome, BaseException):
            raise outcome
        result = _result(request, str(uuid4()), outcome, choice)
        return BatchItem(index=place, result=result, error=None)
    except Exception as error:  # noqa: BLE001 - one file's failure is that file's answer alone
        problem = to_problem(error, request.state.request_id)
        return BatchItem(index=place, result=None, error=problem)
