"""What routes ask for, as annotated aliases."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, File, Query, Request, UploadFile
from starlette.datastructures import UploadFile as AnyUpload

from service.api.schemas import MapDelivery
from service.errors import BatchTooLarge, InvalidRequest, TooManyFiles
from service.scoring.drawing import map_drawer
from service.scoring.pipeline import Draw, Pipeline
from service.scoring.registry import Registry
from service.scoring.runtime import Runtime
from wscxr.imaging import Assumed
from wscxr.results.png import MapStyle


async def get_runtime(request: Request) -> Runtime:
    """The app's runtime."""
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDep = Annotated[Runtime, Depends(get_runtime)]


async def get_registry(runtime: RuntimeDep) -> Registry:
    """The loaded models; errors as `Runtime.registry`."""
    return runtime.registry


RegistryDep = Annotated[Registry, Depends(get_registry)]


async def get_pipeline(
    runtime: RuntimeDep,
    registry: RegistryDep,
    model: Annotated[
        str | None,
        Query(description="Name of the model; may be left out when only one is loaded."),
    ] = None,
) -> Pipeline:
    """The way through the model that the request names."""
    return runtime.pipeline(registry.get(model))


PipelineDep = Annotated[Pipeline, Depends(get_pipeline)]


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
    runtime: RuntimeDep,
    files: Annotated[list[UploadFile], File(description="Radiographs: PNG, JPEG or DICOM.")],
) -> list[bytes]:
    """The bytes of the files of a batch request, in order.

    Raises
    ------
    BatchTooLarge
        There are more than the limit.
    InvalidRequest
        There are files in other fields too, which would be left out in silence.
    """
    limit = runtime.settings.max_files
    if len(files) > limit:
        raise BatchTooLarge(f"there are {len(files)} files; one request may carry {limit}")
    if await _file_count(request) > len(files):
        raise InvalidRequest("there are files in other fields than 'files'")
    return [await _take(file) for file in files]


FilesDep = Annotated[list[bytes], Depends(get_files)]

StyleQuery = Annotated[
    MapStyle,
    Query(
        description="overlay: coloured over the radiograph; heat: the colours alone; "
        "raw16: 16-bit grey with the scale of the scores in the PNG's text chunks."
    ),
]


@dataclass(frozen=True)
class MapChoice:
    """How the anomaly map of a JSON answer is drawn and delivered."""

    delivery: MapDelivery
    style: MapStyle

    @property
    def draw(self) -> Draw | None:
        """What draws it; None when no map is wanted."""
        return None if self.delivery is MapDelivery.NONE else map_drawer(self.style)


async def get_map_choice(
    delivery: Annotated[
        MapDelivery,
        Query(alias="map", description="Whether the anomaly map comes along, and how."),
    ] = MapDelivery.NONE,
    style: StyleQuery = MapStyle.OVERLAY,
) -> MapChoice:
    """What the query says of the map."""
    return MapChoice(delivery, style)


MapChoiceDep = Annotated[MapChoice, Depends(get_map_choice)]


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


async def _take(file: UploadFile) -> bytes:
    data = await file.read()
    await file.close()  # frees its own copy now, not when the answer is sent
    return data


async def _file_count(request: Request) -> int:
    form = await request.form()  # parsed already; this looks at it again
    return sum(isinstance(value, AnyUpload) for _, value in form.multi_items())
