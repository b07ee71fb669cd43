"""Health checks and metrics, for whoever operates the service."""

from typing import Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse, Response

from service.api.dependencies import MetricsDep, RegistryDep
from service.errors import KEY_ERRORS, NotReady, ShuttingDown, WorkersStuck
from service.http.problems import problems

health_router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["metrics"])


class Health(BaseModel):
    """The state of the service."""

    model_config = ConfigDict(frozen=True)

    status: Literal["live", "ready"] = Field(description="live or ready.")


@health_router.get("/health/live")
async def live() -> Health:
    """The process answers, whatever the state of the models."""
    return Health(status="live")


@health_router.get("/health/ready", responses=problems(NotReady, ShuttingDown, WorkersStuck))
async def ready(registry: RegistryDep) -> Health:
    """Every model is loaded and has passed its golden check, and images can be decoded."""
    registry.check_ready()
    return Health(status="ready")


@metrics_router.get("/metrics", response_class=PlainTextResponse, responses=problems(*KEY_ERRORS))
async def read_metrics(metrics: MetricsDep) -> Response:
    """Requests by outcome, seconds of each stage, batch size, queue depth, served bundles."""
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
