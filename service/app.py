"""The FastAPI app: settings in, models, routes and middleware put together.

``wscxr serve`` calls `serve`. ``uvicorn service.app:app`` serves the same app, with settings from
``WSCXR_...`` environment variables.
"""

import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from fastapi import Depends, FastAPI
from fastapi.concurrency import run_in_threadpool

from service.http.access import AccessMiddleware
from service.http.auth import DECLARED_SECURITY, Authenticator, AuthMiddleware
from service.http.connections import limited_protocol
from service.http.docs import install_docs
from service.http.limits import BodyLimitMiddleware, keep_uploads_in_memory
from service.http.problems import install_problem_handlers
from service.http.sessions import LIFETIME_S, MOST_SESSIONS, Sessions
from service.logs import configure_logging
from service.prometheus import Metrics
from service.records import open_recorder
from service.stores import LocalStore, Stores
from service.web.page import install_page
from wscxr import __version__
from wscxr.errors import ConfigError
from wscxr.options import validated
from wscxr.process import configure_process

if TYPE_CHECKING:
    from service.settings import Settings

logger = logging.getLogger(__name__)

_DESCRIPTION = """\
Image-level anomaly scores, calibrated decisions and anomaly maps for chest X-rays.

**Research use only. Not a medical device.** Errors are `application/problem+json` (RFC 9457);
match on `code`. Every response carries its id in `X-Request-ID`.
"""

_KEEP_ALIVE_S = 75
"""How long an idle connection stays open, in seconds.

Longer than load balancers keep theirs (60 s at most of them): where the server closes first, the
next request may be on its way already, and is lost.
"""

_JOBS, _JOBS_KEPT_S = 1000, 3600
"""How many jobs are remembered, and for how long, in seconds."""

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def stop_process() -> None:
    """End this process as an operator would, whichever server runs the app."""
    signal.raise_signal(signal.SIGTERM)


def local_stores(settings: "Settings") -> Stores:
    """The stores of an app that is served by this process alone."""
    return {
        "maps": LocalStore(settings.map_cache_bytes, settings.map_ttl_s, len),
        "sessions": LocalStore(MOST_SESSIONS, LIFETIME_S),
        "jobs": LocalStore(_JOBS, _JOBS_KEPT_S),
    }


def create_app(
    settings: "Settings | None" = None,
    *,
    stores: Stores | None = None,
    stop: Callable[[], None] = stop_process,
) -> FastAPI:
    """Put the app together; models are loaded when a server starts it.

    Parameters
    ----------
    settings
        Read from the environment when not given.
    stores
        What is kept between requests by several workers, which take no connection before their
        models are loaded; by default this process serves alone.
    stop
        Called when the models cannot be loaded, after the reason was logged.

    Raises
    ------
    pydantic.ValidationError
        Settings in the environment cannot be used.
    ConfigError
        Settings of the PACS in the environment cannot be used, or the record cannot be kept.
    """
    # Not above: these import PyTorch, which must come after `configure_process`.
    from service.api import (
        analyses,
        dicom,
        drift,
        maps,
        models,
        operations,
        predict,
        radiographs,
        reviews,
        session,
        studies,
    )
    from service.api.dependencies import refuse_unknown_query
    from service.api.oip import routes as oip
    from service.api.originals import Originals
    from service.scoring.promotion import Promoter
    from service.scoring.registry import Registry
    from service.settings import Settings

    settings = settings or Settings()
    alone = stores is None
    stores = stores or local_stores(settings)
    metrics = Metrics()
    recorder = open_recorder(settings, metrics)
    registry = Registry(settings, metrics, stop, recorder)
    promoter = Promoter(settings, registry)
    jobs = studies.StudyJobs(settings, stores["jobs"])
    authenticator = Authenticator(settings.key, settings.api_keys_file)
    sessions = Sessions(stores["sessions"])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if recorder is not None:
            recorder.start()
        registry.start()
        promoter.start()
        if not alone:
            await registry.loaded()  # until then, others get what arrives
        yield
        await promoter.close()
        await jobs.close()
        await registry.close()
        if recorder is not None:
            await run_in_threadpool(recorder.close)

    app = FastAPI(
        title="wscxr",
        summary="Anomaly detection for chest X-rays",
        description=_DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A redirect would have an upload sent twice.
        redirect_slashes=False,
        # FastAPI's own telemetry records exception messages and invalid values.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.registry = registry
    app.state.authenticator = authenticator
    app.state.sessions = sessions
    app.state.promoter = promoter
    app.state.recorder = recorder
    app.state.jobs = jobs
    app.state.originals = Originals(settings, recorder, jobs.pacs)
    app.state.maps = maps.MapCache(stores["maps"])
    install_problem_handlers(app)
    install_docs(app)
    if settings.page:
        install_page(app)
    keep_uploads_in_memory(settings.max_body_bytes)
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimitMiddleware,
        max_bytes=settings.max_body_bytes,
        max_held_bytes=settings.max_held_bytes,
        timeout_s=settings.request_timeout_s,
    )
    app.add_middleware(
        AuthMiddleware,
        authenticator=authenticator,
        sessions=sessions,
        docs_need_key=settings.docs_access == "key",
    )
    app.add_middleware(AccessMiddleware, requests=metrics.requests)
    security = DECLARED_SECURITY if authenticator.required else []
    app.include_router(operations.health_router)
    app.include_router(oip.health_router)
    routed = (predict, dicom, maps, radiographs, models, studies, session)
    for module in (*routed, analyses, reviews, drift, oip):
        strict = [*security, Depends(refuse_unknown_query)]
        app.include_router(module.router, dependencies=strict)
    app.include_router(operations.metrics_router, dependencies=security)
    return app


def server_config(app: FastAPI, settings: "Settings") -> uvicorn.Config:
    """The server around the app, with its limits on connections.

    The event loop is uvloop's where there is one.
    """
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=limited_protocol(
            header_timeout_s=settings.header_timeout_s, max_connections=settings.max_connections
        ),
        # Nothing here speaks WebSocket; its handshake would pass by every limit and the log.
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(map(str, settings.trusted_proxies)),
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
    )


def serve(settings: "Settings") -> None:
    """Serve until SIGTERM or SIGINT; then finish what is under way, in a limited time.

    Raises
    ------
    SystemExit
        With code 0 after SIGTERM; with another when the device is not there, a bundle cannot be
        used, or the port is taken, and the log has the reason.
    """
    configure_logging(settings.log_level)
    if not settings.needs_key and settings.host not in _LOOPBACK:
        logger.warning("no API key is set: whoever reaches this host can use the service")
    if settings.workers > 1:
        from service.supervisor import Supervisor

        Supervisor(settings).run()
    else:
        _serve(settings, None, [])


def serve_worker(settings: "Settings", stores: Stores) -> None:
    """Serve as one of several processes on a port; errors as `serve`."""
    configure_process()
    configure_logging(settings.log_level)
    with bound(settings.host, settings.port) as listener:
        _serve(settings, stores, [listener])


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address that several processes listen on; it does not listen yet.

    Raises
    ------
    SystemExit
        With code 1 where the address cannot be had; the log has the reason.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        logger.critical("the port cannot be had", extra={"reason": error.strerror})
        raise SystemExit(1) from None
    return listener


def _serve(settings: "Settings", stores: Stores | None, sockets: list[socket.socket]) -> None:
    failed = False

    def stop() -> None:
        nonlocal failed
        failed = True
        server.should_exit = True

    app = create_app(settings, stores=stores, stop=stop)
    server = uvicorn.Server(server_config(app, settings))
    # Once the work is done uvicorn raises SIGTERM again, whose default action would end a clean
    # stop with exit code 143. Only the main thread may set handlers.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _exit_cleanly)
    server.run(sockets or None)
    if failed:
        raise SystemExit(1)


def _exit_cleanly(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def __getattr__(name: str) -> FastAPI:
    """Make ``app`` when a server asks for it, so that importing this module does nothing."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    configure_process()
    from service.settings import Settings

    configure_logging("info")
    try:
        settings = validated(Settings, {})
        configure_logging(settings.log_level)
        return create_app(settings)
    except ConfigError as error:
        logger.critical("start-up refused", extra={"code": error.code, "reason": str(error)})
        raise SystemExit(2) from None
