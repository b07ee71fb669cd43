"""The paths of the protocol."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service import errors
from service.api.dependencies import OriginDep, RegistryDep, SettingsDep, while_connected
from service.api.oip.codec import (
    HEADER_LENGTH,
    Inference,
    Tensor,
    read_request,
    wanted_outputs,
    write_response,
)
from service.api.oip.messages import (
    MAP,
    InferenceResponse,
    ModelMetadata,
    ModelNames,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    request_schema,
)
from service.errors import BatchTooLarge, ClientGone, InvalidRequest, ModelNotFound
from service.http.problems import inference_problems
from service.scoring.analysis import Analysis, AnalysisResult, render_nothing
from service.scoring.pipeline import Pipeline
from wscxr import __version__
from wscxr.errors import ImageError, WscxrError, kinds
from wscxr.model.calibration import Decision
from wscxr.prediction import Prediction

health_router = APIRouter(prefix="/v2", tags=["open inference protocol"])
router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_STATE_ERRORS = (*errors.KEY_ERRORS, errors.ModelNotFound, errors.NotReady, errors.ShuttingDown)
_INFER_ERRORS: tuple[type[WscxrError], ...] = (
    *_STATE_ERRORS,
    errors.InvalidRequest,
    errors.UploadTooSlow,
    errors.BodyTooLarge,
    errors.BatchTooLarge,
    errors.QueueFull,
    errors.InternalError,
    errors.InferenceFailed,
    errors.DeadlineExceeded,
    *kinds(ImageError),
)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ANSWER: dict[str, Any] = {
    "description": "The output tensors, as JSON, or as JSON and then binary tensors.",
    "model": InferenceResponse,
    "content": {"application/octet-stream": _BINARY},
    "headers": {
        HEADER_LENGTH: {
            "description": "Bytes of the JSON, where tensors follow in binary.",
            "schema": {"type": "integer"},
        }
    },
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": request_schema()},
            "application/octet-stream": _BINARY,
        },
    }
}


async def get_pipeline(
    registry: RegistryDep,
    model: Annotated[str, Path(description="Name of the model.")],
) -> Pipeline:
    """The pipeline of the model in the path; errors as `Registry.get`."""
    return registry.get(model)


ModelDep = Annotated[Pipeline, Depends(get_pipeline)]


async def check_version(
    pipeline: ModelDep, version: Annotated[str, Path(description="Version of the model.")]
) -> None:
    """Make sure that the version in the path is the one that is served.

    Raises
    ------
    ModelNotFound
        It is another.
    """
    if version != pipeline.bundle.identity.version:
        raise ModelNotFound


async def get_inference(
    request: Request,
    settings: SettingsDep,
    header_length: Annotated[
        str | None,
        Header(
            alias=HEADER_LENGTH,
            description="Bytes of the JSON where a binary tensor follows; 0: the body is one file.",
        ),
    ] = None,
) -> Inference:
    """The request in the body.

    Raises
    ------
    InvalidRequest
        It does not keep to the protocol.
    BatchTooLarge
        It has more files than the limit.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise InvalidRequest("send the body without Content-Encoding")
    try:
        body = await request.body()
    except ClientDisconnect:
        raise ClientGone from None
    inference = await run_in_threadpool(read_request, body, header_length)
    count, limit = len(inference.files), settings.max_files
    if count > limit:
        raise BatchTooLarge(f"there are {count} files; one request may carry {limit}")
    return inference


InferenceDep = Annotated[Inference, Depends(get_inference)]


@health_router.get("/health/live")
async def server_live() -> ServerLive:
    """The process answers, whatever the state of the models."""
    return ServerLive()


@health_router.get(
    "/health/ready", responses=inference_problems(errors.NotReady, errors.ShuttingDown)
)
async def server_ready(registry: RegistryDep) -> ServerReady:
    """Every model is loaded and has passed its golden check."""
    registry.check_ready()
    return ServerReady()


# The protocol's text has the path without the slash, its OpenAPI document with it.
@router.get("/", include_in_schema=False)
@router.get("", responses=inference_problems(*errors.KEY_ERRORS))
async def server_metadata() -> ServerMetadata:
    """Name, version and extensions of this server."""
    return ServerMetadata(version=__version__)


@router.get("/models", responses=inference_problems(*_STATE_ERRORS))
async def list_models(registry: RegistryDep) -> ModelNames:
    """The names of all loaded models."""
    return ModelNames(models=[bundle.identity.name for bundle in registry.bundles])


@router.get(
    "/models/{model}/versions/{version}",
    responses=inference_problems(*_STATE_ERRORS),
    dependencies=[Depends(check_version)],
)
@router.get("/models/{model}", responses=inference_problems(*_STATE_ERRORS))
async def model_metadata(pipeline: ModelDep) -> ModelMetadata:
    """The tensors that a model takes and gives."""
    return ModelMetadata.of(pipeline.bundle)


@router.get(
    "/models/{model}/versions/{version}/ready",
    responses=inference_problems(*_STATE_ERRORS),
    dependencies=[Depends(check_version)],
)
@router.get("/models/{model}/ready", responses=inference_problems(*_STATE_ERRORS))
async def model_ready(pipeline: ModelDep) -> ModelReady:
    """A model can be used."""
    return ModelReady(name=pipeline.bundle.identity.name)


@router.post(
    "/models/{model}/versions/{version}/infer",
    responses={200: _ANSWER, **inference_problems(*_INFER_ERRORS)},
    dependencies=[Depends(check_version)],
    openapi_extra=_BODY,
)
@router.post(
    "/models/{model}/infer",
    responses={200: _ANSWER, **inference_problems(*_INFER_ERRORS)},
    openapi_extra=_BODY,
)
async def infer(
    request: Request, pipeline: ModelDep, inference: InferenceDep, origin: OriginDep
) -> Response:
    """Score the files of the input tensor; if one cannot be scored, the whole request fails."""
    model = ModelMetadata.of(pipeline.bundle)
    wanted = {output.name for output in wanted_outputs(inference.request, model)}
    render = _take_map if MAP in wanted else render_nothing
    work = pipeline.analyse_many(inference.files, render, origin=origin)
    found = _all_or_none(await while_connected(request, work))
    maps = [analysis.rendered for analysis in found]
    tensors = _tensors([analysis.result for analysis in found])
    if MAP in wanted:
        tensors[MAP] = np.stack([each for each in maps if each is not None])
    body, head = await run_in_threadpool(write_response, inference.request, model, tensors)
    if head is None:
        return Response(body, media_type="application/json")
    return Response(body, media_type="application/octet-stream", headers={HEADER_LENGTH: str(head)})


def _take_map(prediction: Prediction) -> NDArray[np.float32] | None:
    return prediction.anomaly_map


def _all_or_none(
    found: Sequence[Analysis[NDArray[np.float32] | None] | BaseException],
) -> list[Analysis[NDArray[np.float32] | None]]:
    """Every analysis; if there is an error among them, that error, with the place of its image."""
    done = []
    for place, analysis in enumerate(found):
        if isinstance(analysis, WscxrError):
            raise type(analysis)(f"image {place}: {analysis}") from analysis.__cause__
        if isinstance(analysis, BaseException):
            raise analysis
        done.append(analysis)
    return done


def _tensors(results: Sequence[AnalysisResult]) -> dict[str, Tensor]:
    return {
        "score": np.array([result.score for result in results], np.float32),
        "p_value": np.array([result.p_value for result in results], np.float32),
        # None, where the model has no OOD scorer, is NaN here; it has no such output then.
        "ood_score": np.array([result.ood_score for result in results], np.float32),
        "anomalous": np.array([result.decision is Decision.ABNORMAL for result in results]),
        "decision": [result.decision.value.encode() for result in results],
    }
