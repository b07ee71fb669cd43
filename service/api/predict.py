"""Radiographs in, scores and anomaly maps out."""

import base64
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from service.api.dependencies import (
    UPLOAD_ERRORS,
    AssumedDep,
    FileDep,
    FilesDep,
    OriginDep,
    PipelineDep,
    while_connected,
)
from service.api.maps import PNG_ANSWER, MapCache, MapsDep, PngResponse, map_url
from service.errors import BatchTooLarge, MapTooLarge
from service.http.problem import Problem
from service.http.problems import problems, to_problem
from service.http.uploads import UploadRoute
from service.scoring.analysis import (
    EXAMPLE,
    Analysis,
    AnalysisResult,
    MapData,
    MapLink,
    Render,
    header_name,
    render_map,
    render_nothing,
    score_headers,
)
from wscxr.errors import CorruptImage
from wscxr.prediction import Prediction
from wscxr.results.png import MapStyle, raw_scale

router = APIRouter(tags=["predict"], route_class=UploadRoute)


class MapDelivery(StrEnum):
    """How an anomaly map is delivered with a JSON answer."""

    NONE = "none"
    URL = "url"
    BASE64 = "base64"


StyleQuery = Annotated[
    MapStyle,
    Query(
        description="overlay: coloured over the radiograph; outlined: the same with the outlines "
        "of the lung fields, where they were found; heat: the colours alone; "
        "raw16: 16-bit grey with the scale of the scores in the PNG's text chunks."
    ),
]


@dataclass(frozen=True)
class RequestedMap:
    """Renders the anomaly map of a JSON answer, and delivers it, as the query says."""

    request: Request
    maps: MapCache
    delivery: MapDelivery
    style: MapStyle

    @property
    def render(self) -> Render[bytes | None]:
        """What the pipeline is to render."""
        return render_nothing if self.delivery is MapDelivery.NONE else render_map(self.style)

    def deliver(self, analysis: Analysis[bytes | None]) -> AnalysisResult:
        """Put the map into the result, or behind the URL that the result then holds.

        Raises
        ------
        MapTooLarge
            The map is larger than all the memory for maps behind a URL.
        """
        result, png = analysis
        if png is None:
            return result
        found: MapData | MapLink
        if self.delivery is MapDelivery.BASE64:
            found = MapData(style=self.style, base64=base64.b64encode(png).decode())
        else:
            self.maps.put(result.id, png)
            found = MapLink(style=self.style, url=map_url(self.request, result.id))
        return result.model_copy(update={"map": found})


# Asynchronous, as all dependencies are: FastAPI has others wait for a thread.
async def get_requested_map(
    request: Request,
    maps: MapsDep,
    delivery: Annotated[
        MapDelivery,
        Query(alias="map", description="Whether the anomaly map comes along, and how."),
    ] = MapDelivery.NONE,
    style: StyleQuery = MapStyle.OVERLAY,
) -> RequestedMap:
    """What the query says of the anomaly map."""
    return RequestedMap(request, maps, delivery, style)


RequestedMapDep = Annotated[RequestedMap, Depends(get_requested_map)]


@router.post("/v1/predict", responses=problems(*UPLOAD_ERRORS, MapTooLarge))
async def predict(
    request: Request,
    pipeline: PipelineDep,
    data: FileDep,
    chosen: RequestedMapDep,
    assume: AssumedDep,
    origin: OriginDep,
) -> AnalysisResult:
    """Score one radiograph; with `map`, draw its anomaly map too."""
    work = pipeline.analyse(data, chosen.render, assume, origin=origin, result_id=origin.request_id)
    return chosen.deliver(await while_connected(request, work))


@router.post(
    "/v1/predict/map",
    response_class=PngResponse,
    responses={
        200: {
            **PNG_ANSWER,
            "headers": {
                **score_headers(),
                header_name("score_offset"): {
                    "description": "raw16 only: score = offset + slope * grey value.",
                    "schema": {"type": "number"},
                },
                header_name("score_slope"): {
                    "description": "raw16 only: see X-Score-Offset.",
                    "schema": {"type": "number"},
                },
            },
        },
        **problems(*UPLOAD_ERRORS),
    },
)
async def predict_map(
    request: Request,
    pipeline: PipelineDep,
    data: FileDep,
    assume: AssumedDep,
    origin: OriginDep,
    style: StyleQuery = MapStyle.OVERLAY,
) -> PngResponse:
    """Score one radiograph and answer with its anomaly map; the scores are in the headers."""

    def render(prediction: Prediction) -> tuple[bytes, dict[str, str]]:
        scale = raw_scale(prediction.anomaly_map)
        numbers = {"score_offset": scale.offset, "score_slope": scale.slope}
        headers = {header_name(name): repr(value) for name, value in numbers.items()}
        return prediction.png(style), headers if style is MapStyle.RAW16 else {}

    work = pipeline.analyse(data, render, assume, origin=origin, result_id=origin.request_id)
    result, (png, scale) = await while_connected(request, work)
    return PngResponse(png, headers={**result.headers(), **scale})


class BatchItem(BaseModel):
    """The result or the error of one file; one of the two is null."""

    model_config = ConfigDict(frozen=True)

    index: int = Field(ge=0, description="Place of the file in the request, from 0.")
    result: AnalysisResult | None = None
    error: Problem | None = None


class BatchResult(BaseModel):
    """One item per file, in the order of the request."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "id": EXAMPLE["id"],
                    "items": [
                        {"index": 0, "result": EXAMPLE, "error": None},
                        {
                            "index": 1,
                            "result": None,
                            "error": Problem.of(CorruptImage(), str(EXAMPLE["id"])).model_dump(),
                        },
                    ],
                }
            ]
        },
    )

    id: UUID = Field(description="Id of the request.")
    items: list[BatchItem]


@router.post("/v1/predict/batch", responses=problems(*UPLOAD_ERRORS, BatchTooLarge))
async def predict_batch(
    request: Request,
    pipeline: PipelineDep,
    files: FilesDep,
    chosen: RequestedMapDep,
    assume: AssumedDep,
    origin: OriginDep,
) -> BatchResult:
    """Score several radiographs: one result or one error for each, in order."""
    work = pipeline.analyse_many(files, chosen.render, assume, origin=origin)
    found = await while_connected(request, work)
    request_id = request.state.request_id
    items = []
    for index, analysis in enumerate(found):
        try:
            if isinstance(analysis, BaseException):
                raise analysis
            items.append(BatchItem(index=index, result=chosen.deliver(analysis)))
        except Exception as error:  # noqa: BLE001 - one file's failure is that file's answer alone
            items.append(BatchItem(index=index, error=to_problem(error, request_id)))
    return BatchResult(id=request_id, items=items)
