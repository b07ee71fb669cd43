"""Anomaly maps behind a URL."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from service.api.dependencies import RuntimeDep
from service.http.documented import PNG_RESPONSE, problems
from service.scoring.runtime import Runtime

router = APIRouter(tags=["maps"])


class PngResponse(Response):
    """A PNG."""

    media_type = "image/png"


@router.get(
    "/v1/maps/{result_id}",
    response_class=PngResponse,
    responses={200: PNG_RESPONSE, **problems(401, 404, 422)},
)
async def read_map(
    runtime: RuntimeDep, result_id: Annotated[UUID, Path(description="Id of the result.")]
) -> PngResponse:
    """An anomaly map that was asked for with `map=url`, for as long as it is kept."""
    return PngResponse(runtime.maps.get(result_id))


def keep_map(request: Request, result_id: str, png: bytes) -> str:
    """Keep a map in memory and give its path on this service.

    The path alone: host and scheme of a request are the client's word.

    Raises
    ------
    MapTooLarge
        It is larger than the whole cache.
    """
    runtime: Runtime = request.app.state.runtime
    runtime.maps.put(UUID(result_id), png)
    path = request.app.url_path_for("read_map", result_id=result_id)
    return f"{request.scope.get('root_path', '')}{path}"
