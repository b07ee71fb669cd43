"""Health checks and metrics, for whoever operates the service."""

from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse, Response

from service.api.dependencies import MetricsDep, RegistryDep
from service.errors import KEY_ERRORS, NotReady, ShuttingDown, WorkersStuck
from service.http.problems import problems

if TYPE_CHECKING:
    from service.records.recorder import Recorder

health_router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["metrics"])


class Health(BaseModel):
    """The state of the service."""

    model_config = ConfigDict(frozen=True)

    status: Literal["live", "ready"] = Field(description="live or ready.")
    records: str | None = Field(
        default=None,
        description="Where analyses are recorded: ok, or the code of what hinders it. Answers are "
        "given all the same.",
    )


@health_router.get("/health/live", response_model_exclude_none=True)
async def live() -> Health:
    """The process answers, whatever the state of the models."""
    return Health(status="live")


@health_router.get(
    "/health/ready",
    response_model_exclude_none=True,
    responses=problems(NotReady, ShuttingDown, WorkersStuck),
)
async def ready(request: Request, registry: RegistryDep) -> Health:
    """Every model is loaded and has passed its golden check, and images can be decoded."""
    registry.check_ready()
    recorder: Recorder | None = request.app.state.recorder
    return Health(status="ready", records=None if recorder is None else recorder.state)


@metrics_router.get("/metrics", response_class=PlainTextResponse, responses=problems(*KEY_ERRORS))
async def read_metrics(metrics: MetricsDep) -> Response:
    """Requests by outcome, seconds of each stage, batch size, queue depth, served bundles."""
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
