"""Anomaly maps behind a URL: kept in memory for a while, never on disk."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from service.errors import KEY_ERRORS, InvalidRequest, MapNotFound, MapTooLarge
from service.http.problems import problems
from service.stores import Store

router = APIRouter(tags=["maps"])

PNG_ANSWER: dict[str, Any] = {
    "description": "The anomaly map.",
    "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
}
"""A PNG in the OpenAPI document."""


class MapCache:
    """PNGs by the id of their result; the oldest give way when memory runs out.

    Parameters
    ----------
    store
        Where they are kept; its size is in bytes.
    """

    def __init__(self, store: Store) -> None:
        self._pngs = store

    def put(self, result_id: UUID, png: bytes) -> None:
        """Keep a map.

        Raises
        ------
        MapTooLarge
            It is larger than the whole cache.
        """
        if not self._pngs.put(str(result_id), png):
            raise MapTooLarge

    def get(self, result_id: UUID) -> bytes:
        """Look up a map.

        Raises
        ------
        MapNotFound
            It is not there, or not any more.
        """
        png = self._pngs.get(str(result_id))
        if png is None:
            raise MapNotFound
        return png


async def get_maps(request: Request) -> MapCache:
    """The maps that the app keeps."""
    maps: MapCache = request.app.state.maps
    return maps


MapsDep = Annotated[MapCache, Depends(get_maps)]


class PngResponse(Response):
    """A PNG."""

    media_type = "image/png"


@router.get(
    "/v1/maps/{result_id}",
    response_class=PngResponse,
    responses={200: PNG_ANSWER, **problems(*KEY_ERRORS, MapNotFound, InvalidRequest)},
)
async def read_map(
    maps: MapsDep, result_id: Annotated[UUID, Path(description="Id of the result.")]
) -> PngResponse:
    """An anomaly map that was asked for with `map=url`, for as long as it is kept."""
    return PngResponse(maps.get(result_id))


def map_url(request: Request, result_id: UUID) -> str:
    """Path of a kept map on this service.

    The path alone: host and scheme of a request are whatever the client says.
    """
    path = request.app.url_path_for("read_map", result_id=result_id)
    return f"{request.scope.get('root_path', '')}{path}"
