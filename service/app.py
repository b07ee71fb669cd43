"""The FastAPI app: settings in, routes, middleware and runtime put together.

``uvicorn service.app:app`` serves with settings from ``WSCXR_...`` environment variables.
"""

import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import ValidationError

from wscxr.process import configure_process

configure_process()  # before PyTorch is loaded, which the imports below do

from service.api import dicom, health, maps, metrics, models, predict, studies
from service.http.access import AccessMiddleware
from service.http.auth import DECLARED_SECURITY, ApiKeyMiddleware
from service.http.limits import BodyLimitMiddleware, keep_uploads_in_memory
from service.http.problems import install_problem_handlers
from service.logs import configure_logging
from service.pacs.jobs import StudyJobs
from service.scoring.runtime import Runtime
from service.settings import Settings, describe_settings_error
from wscxr import __version__

logger = logging.getLogger(__name__)

_DESCRIPTION = """\
Image-level anomaly scores, calibrated decisions and anomaly maps for chest X-rays.

**Research use only. Not a medical device.** Errors are `application/problem+json` (RFC 9457);
match on `code`. Every response carries its id in `X-Request-ID`.
"""


def stop_process() -> None:
    """End this process the way an operator would: whichever server runs the app obeys."""
    signal.raise_signal(signal.SIGTERM)


def create_app(
    settings: Settings | None = None, *, stop: Callable[[], None] = stop_process
) -> FastAPI:
    """Put the app together; models are loaded when a server starts it.

    Parameters
    ----------
    settings
        All settings; read from the environment when not given.
    stop
        Called when the models cannot be loaded, after the reason was logged.

    Raises
    ------
    pydantic.ValidationError
        The environment holds settings that cannot be used.
    ConfigError
        So it does for the PACS.
    """
    settings = settings or Settings()
    runtime = Runtime(settings, stop)
    jobs = StudyJobs(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        runtime.start()
        yield
        await jobs.close()
        await runtime.close()

    app = FastAPI(
        title="wscxr",
        summary="Anomaly detection for chest X-rays",
        description=_DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
        # A redirect would have an upload sent twice.
        redirect_slashes=False,
        # FastAPI's own telemetry records exception messages and invalid values.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.runtime = runtime
    app.state.studies = jobs
    install_problem_handlers(app)
    keep_uploads_in_memory(settings.max_body_bytes)
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimitMiddleware,
        max_bytes=settings.max_body_bytes,
        max_held_bytes=settings.max_held_bytes,
        timeout_s=settings.request_timeout_s,
    )
    if settings.key is not None:
        app.add_middleware(ApiKeyMiddleware, key=settings.key)
    app.add_middleware(AccessMiddleware, metrics=runtime.metrics)
    security = DECLARED_SECURITY if settings.key is not None else []
    app.include_router(health.router)
    for module in (predict, dicom, maps, models, metrics, studies):
        app.include_router(module.router, dependencies=security)
    return app


def __getattr__(name: str) -> FastAPI:
    """Make ``app`` when a server asks for it, so that importing this module does nothing."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    configure_logging("info")
    try:
        settings = Settings()
    except ValidationError as error:
        logger.critical("start-up refused", extra={"reason": describe_settings_error(error)})
        raise SystemExit(2) from None
    configure_logging(settings.log_level)
    return create_app(settings)
