"""The grey values of a radiograph, for whoever shows it on a screen."""

import json
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from safetensors.numpy import save
from starlette.responses import Response

from service.api.dependencies import (
    UPLOAD_ERRORS,
    AssumedDep,
    FileDep,
    PipelineDep,
    while_connected,
)
from service.errors import InferenceFailed
from service.http.problems import problems
from service.http.uploads import UploadRoute
from wscxr.anatomy import ModelInput
from wscxr.imaging import Radiograph

router = APIRouter(tags=["radiographs"], route_class=UploadRoute)

_ANSWER: dict[str, Any] = {
    "description": (
        "A safetensors file. `pixels`: uint8 or uint16 of shape (height, width), bright where the "
        "body is dense, before the window of a DICOM file. `lungs`, where the model looks for the "
        "lung fields and finds them: uint8 over the whole radiograph, 255 for certain. The "
        "metadata `window` is a JSON list: the pixel values to show in black and in white at first."
    ),
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


class TensorsResponse(Response):
    """A safetensors file."""

    media_type = "application/octet-stream"


@router.post(
    "/v1/radiograph",
    response_class=TensorsResponse,
    responses={
        200: _ANSWER,
        **problems(*(kind for kind in UPLOAD_ERRORS if kind is not InferenceFailed)),
    },
)
async def read_values(
    request: Request,
    pipeline: PipelineDep,
    data: FileDep,
    assume: AssumedDep,
) -> TensorsResponse:
    """Read one radiograph without scoring it: its grey values in full depth, and its lung fields.

    All numbers are little-endian; the format is described at
    <https://huggingface.co/docs/safetensors>.
    """
    reading = pipeline.read(data, _encode, assume)
    return TensorsResponse(await while_connected(request, reading))


def _encode(radiograph: Radiograph, model_input: ModelInput) -> bytes:
    shown = radiograph.unwindowed()
    tensors: dict[str, np.ndarray] = {"pixels": np.ascontiguousarray(shown.pixels)}
    if model_input.lungs is not None and model_input.lungs.found:
        tensors["lungs"] = np.round(255 * model_input.lungs.probability).astype(np.uint8)
    return save(tensors, {"window": json.dumps([shown.low, shown.high])})
