"""A DICOM radiograph in, DICOM results out."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.api.answers import to_headers
from service.api.dependencies import AssumedDep, FileDep, PipelineDep, RuntimeDep
from service.api.predict import score_one
from service.http.documented import PREDICT_PROBLEMS, SCORE_HEADERS
from service.http.multipart import RELATED
from service.scoring.drawing import ResultName, dicom_drawer
from wscxr.errors import UnsupportedFormat
from wscxr.imaging import looks_like_dicom

router = APIRouter(tags=["dicom"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ANSWER: dict[str, Any] = {
    "description": "The DICOM results: one of them, or all as multipart/related.",
    "content": {"application/dicom": _BINARY, "multipart/related": _BINARY},
    "headers": SCORE_HEADERS,
}


class DicomResponse(Response):
    """One DICOM file, or several."""

    media_type = "application/dicom"


@router.post(
    "/v1/predict/dicom",
    response_class=DicomResponse,
    responses={200: _ANSWER, **PREDICT_PROBLEMS},
)
async def predict_dicom(
    request: Request,
    runtime: RuntimeDep,
    pipeline: PipelineDep,
    data: FileDep,
    assume: AssumedDep,
    only: Annotated[
        ResultName | None,
        Query(description="Answer with this object alone, as application/dicom."),
    ] = None,
) -> DicomResponse:
    """Score one DICOM radiograph and answer with result objects for the same study.

    Which ones, is a setting of the service; the scores are in the headers too. The same file
    scored by the same model always gives the same objects, with the same UIDs.
    """
    if not looks_like_dicom(data):
        raise UnsupportedFormat("only a DICOM file can be answered with DICOM objects")
    names = (only,) if only else runtime.settings.dicom_results
    outcome = await score_one(request, pipeline, data, dicom_drawer(names), assume)
    return DicomResponse(
        outcome.drawn,
        headers=to_headers(request.state.request_id, outcome),
        media_type=RELATED if len(names) > 1 else None,
    )
