"""Whether the process is up, and whether it can score."""

from fastapi import APIRouter, Depends

from service.api.dependencies import get_registry
from service.api.schemas import Health
from service.http.documented import problems

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> Health:
    """The process answers; says nothing of the models."""
    return Health(status="live")


@router.get("/health/ready", dependencies=[Depends(get_registry)], responses=problems(503))
async def ready() -> Health:
    """Every model is loaded and has passed its golden check."""
    return Health(status="ready")
