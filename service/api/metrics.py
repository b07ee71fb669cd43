"""Prometheus."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from service.api.dependencies import RuntimeDep
from service.http.documented import problems

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=PlainTextResponse, responses=problems(401))
async def metrics(runtime: RuntimeDep) -> Response:
    """Requests by outcome, seconds of each stage, batch size, queue depth, served bundles."""
    return Response(runtime.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
