"""What several routes share: parts of the app, files of a request, and the common errors."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from uuid import UUID

from fastapi import Depends, File, Header, Query, Request, UploadFile
from starlette.datastructures import UploadFile as AnyUpload

from service import errors
from service.errors import BatchTooLarge, ClientGone, InvalidRequest, RecordsOff, TooManyFiles
from service.http.auth import Caller
from service.prometheus import Metrics
from service.records.record import Origin, Source
from service.scoring.auto import AutoPipeline
from service.scoring.pipeline import Pipeline
from service.scoring.registry import Registry
from service.settings import Settings
from wscxr.errors import ImageError, WscxrError, kinds
from wscxr.imaging import Assumed

if TYPE_CHECKING:
    from service.records.recorder import Recorder

T = TypeVar("T")

UPLOAD_ERRORS: tuple[type[WscxrError], ...] = (
    errors.MalformedBody,
    *errors.KEY_ERRORS,
    errors.ModelNotFound,
    errors.UploadTooSlow,
    errors.BodyTooLarge,
    errors.InvalidRequest,
    errors.MissingFile,
    errors.TooManyFiles,
    errors.ModelRequired,
    errors.InternalError,
    errors.InferenceFailed,
    errors.NotReady,
    errors.QueueFull,
    errors.ShuttingDown,
    errors.DeadlineExceeded,
    *kinds(ImageError),
)
"""What a route that scores uploads may answer with."""


async def refuse_unknown_query(request: Request) -> None:
    """Make sure that the OpenAPI document names every query parameter of a request.

    A mistyped parameter would be ignored, and the answer be another than was meant.

    Raises
    ------
    InvalidRequest
        There is one that it does not name.
    """
    if not request.query_params:
        return
    document = request.app.openapi()  # made once, and kept by the app
    operation = document["paths"].get(request.scope["route"].path, {}).get(request.method.lower())
    if operation is None:
        return
    known = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
    if not known.issuperset(request.query_params):
        takes = ", ".join(sorted(known)) or "none"
        raise InvalidRequest(
            f"there is a query parameter that this path does not take; it takes {takes}"
        )


async def get_settings(request: Request) -> Settings:
    """The settings of the app."""
    settings: Settings = request.app.state.settings
    return settings


async def get_metrics(request: Request) -> Metrics:
    """The metrics of the app."""
    metrics: Metrics = request.app.state.metrics
    return metrics


async def get_registry(request: Request) -> Registry:
    """The models of the app, loaded or not."""
    registry: Registry = request.app.state.registry
    return registry


SettingsDep = Annotated[Settings, Depends(get_settings)]
MetricsDep = Annotated[Metrics, Depends(get_metrics)]
RegistryDep = Annotated[Registry, Depends(get_registry)]


def caller_name(request: Request) -> str:
    """Name of the key that a request came with; anonymous where none is needed."""
    caller: Caller = request.state.caller
    return caller.name


async def get_origin(
    request: Request,
    source: Annotated[
        Source, Header(alias="X-WSCXR-Source", description="Where the image comes from.")
    ] = Source.UPLOAD,
) -> Origin:
    """Who asks, and for an image from where."""
    return Origin(UUID(request.state.request_id), source, caller_name(request))


OriginDep = Annotated[Origin, Depends(get_origin)]


async def get_recorder(request: Request) -> "Recorder":
    """The record of the app.

    Raises
    ------
    RecordsOff
        It has none.
    """
    recorder: Recorder | None = request.app.state.recorder
    if recorder is None:
        raise RecordsOff
    return recorder


# FastAPI evaluates annotations; this one's module needs an extra, and is imported where there is a
# record.
if TYPE_CHECKING:
    RecordsDep = Annotated[Recorder, Depends(get_recorder)]
else:
    RecordsDep = Annotated[Any, Depends(get_recorder)]


async def get_pipeline(
    registry: RegistryDep,
    model: Annotated[
        str | None,
        Query(
            description="Name of the model; by default, the one that /v1/models calls so. `auto`: "
            "each image goes to the model it belongs to, by the patient's age in a DICOM header, "
            "else by the OOD scores; `model_choice` says why."
        ),
    ] = None,
) -> Pipeline | AutoPipeline:
    """What takes the images of a request; errors as `Registry.get`."""
    return registry.pipeline(model)


PipelineDep = Annotated[Pipeline | AutoPipeline, Depends(get_pipeline)]


async def get_file(
    request: Request,
    file: Annotated[UploadFile, File(description="One radiograph: PNG, JPEG or DICOM.")],
) -> bytes:
    """The bytes of the one file of a request.

    Raises
    ------
    TooManyFiles
        There are several, in whatever fields.
    """
    if await _file_count(request) > 1:
        raise TooManyFiles
    return await _take(file)


FileDep = Annotated[bytes, Depends(get_file)]


async def get_files(
    request: Request,
    settings: SettingsDep,
    files: Annotated[list[UploadFile], File(description="Radiographs: PNG, JPEG or DICOM.")],
) -> list[bytes]:
    """The bytes of the files of a batch request, in order.

    Raises
    ------
    BatchTooLarge
        There are more than the limit.
    InvalidRequest
        There are files in other fields too, which nobody would score.
    """
    limit = settings.max_files
    if len(files) > limit:
        raise BatchTooLarge(f"there are {len(files)} files; one request may carry {limit}")
    if await _file_count(request) > len(files):
        raise InvalidRequest("there are files in other fields than 'files'")
    return [await _take(file) for file in files]


FilesDep = Annotated[list[bytes], Depends(get_files)]


async def get_assumed(
    modality: Annotated[
        str | None, Query(max_length=16, description="DICOM: in place of Modality.")
    ] = None,
    body_part: Annotated[
        str | None, Query(max_length=16, description="DICOM: in place of Body Part Examined.")
    ] = None,
    view: Annotated[
        str | None, Query(max_length=16, description="DICOM: in place of View Position.")
    ] = None,
    photometric: Annotated[
        Literal["MONOCHROME1", "MONOCHROME2"] | None,
        Query(description="DICOM: in place of Photometric Interpretation."),
    ] = None,
) -> Assumed:
    """What the caller knows better than a DICOM header."""
    return Assumed(
        modality=modality, body_part=body_part, view=view, photometric_interpretation=photometric
    )


AssumedDep = Annotated[Assumed, Depends(get_assumed)]


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Run something for as long as the client waits for it.

    Parameters
    ----------
    request
        Its body must have been read.
    work
        Cancelled when the client closes the connection.

    Raises
    ------
    ClientGone
        The client closed the connection.
    """
    working = asyncio.create_task(work)
    # With the body read, the one message that can still come is the disconnect.
    watching = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _take(file: UploadFile) -> bytes:
    data = await file.read()
    await file.close()  # frees its own copy now, not when the answer is sent
    return data


async def _file_count(request: Request) -> int:
    form = await request.form()  # parsed already, and kept by the request
    return sum(isinstance(value, AnyUpload) for _, value in form.multi_items())
