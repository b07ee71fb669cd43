"""A DICOM radiograph in, DICOM results out."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.api.dependencies import (
    UPLOAD_ERRORS,
    AssumedDep,
    FileDep,
    OriginDep,
    PipelineDep,
    SettingsDep,
    while_connected,
)
from service.http.problems import problems
from service.http.uploads import UploadRoute
from service.multipart import RELATED, related
from service.scoring.analysis import render_dicom, score_headers
from wscxr.errors import UnsupportedFormat
from wscxr.imaging import looks_like_dicom
from wscxr.results.dicom.identity import ResultKind

router = APIRouter(tags=["dicom"], route_class=UploadRoute)

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ANSWER: dict[str, Any] = {
    "description": "The DICOM results: one of them, or all as multipart/related.",
    "content": {"application/dicom": _BINARY, "multipart/related": _BINARY},
    "headers": score_headers(),
}


class DicomResponse(Response):
    """One DICOM file, or several."""

    media_type = "application/dicom"


@router.post(
    "/v1/predict/dicom",
    response_class=DicomResponse,
    responses={200: _ANSWER, **problems(*UPLOAD_ERRORS)},
)
async def predict_dicom(
    request: Request,
    settings: SettingsDep,
    pipeline: PipelineDep,
    data: FileDep,
    assume: AssumedDep,
    origin: OriginDep,
    only: Annotated[
        ResultKind | None,
        Query(description="Answer with this object alone, as application/dicom."),
    ] = None,
) -> DicomResponse:
    """Score one DICOM radiograph and answer with result objects for the same study.

    Which ones, is a setting of the service; the scores are in the headers too. The same file
    scored by the same model always gives the same objects, with the same UIDs.
    """
    if not looks_like_dicom(data):
        raise UnsupportedFormat("only a DICOM file can be answered with DICOM objects")
    kinds = [only] if only else settings.dicom_results
    render = render_dicom(kinds, settings.dicom_capture)
    work = pipeline.analyse(data, render, assume, origin=origin, result_id=origin.request_id)
    result, files = await while_connected(request, work)
    if len(files) == 1:
        return DicomResponse(files[0], headers=result.headers())
    return DicomResponse(related(files), headers=result.headers(), media_type=RELATED)
