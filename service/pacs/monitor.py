"""What Prometheus and health checks see of the watcher."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn
from cachetools import LRUCache
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    generate_latest,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.http.connections import limited_protocol
from service.pacs.bridge import Ending, Outcome
from service.pacs.errors import PacsError

STARTING = "starting"
"""Stands for the code of a failure until the archive has answered for the first time."""

_STUDIES = 10_000


class PacsMetrics:
    """The Prometheus metrics of one watcher, in a registry of their own.

    Attributes
    ----------
    registry
        That registry.
    trouble
        Code of the last failure; None once something works again; `STARTING` at first.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.trouble: str | None = STARTING
        ProcessCollector(registry=self.registry)
        self._instances = Counter(
            "wscxr_pacs_instances",
            "Instances by how they ended; the code says why one was skipped or failed.",
            ["outcome", "code"],
            registry=self.registry,
        )
        self._studies = Counter(
            "wscxr_pacs_studies",
            "Studies by how their instances ended, each way once for a study.",
            ["outcome"],
            registry=self.registry,
        )
        self._retries = Counter(
            "wscxr_pacs_retries", "Tries that failed, by code.", ["code"], registry=self.registry
        )
        self._backlog = Gauge(
            "wscxr_pacs_backlog", "Changes or instances not finished yet.", registry=self.registry
        )
        self._lag = Gauge(
            "wscxr_pacs_lag_seconds",
            "Since the oldest unfinished arrival was seen.",
            registry=self.registry,
        )
        self._failed = Gauge(
            "wscxr_pacs_set_aside", "Instances that failed for good.", registry=self.registry
        )
        self._success = Gauge(
            "wscxr_pacs_last_success_timestamp_seconds",
            "When the archive last answered or an instance was last finished.",
            registry=self.registry,
        )
        self._oldest: float | None = None
        self._lag.set_function(self._age)
        self._seen: LRUCache[tuple[str, Ending], None] = LRUCache(_STUDIES)

    def ended(self, study: str | None, outcome: Outcome) -> None:
        """Count an instance, and its study once for each ending."""
        self._instances.labels(outcome.ending, outcome.code or "").inc()
        key = (study or "", outcome.ending)
        if key not in self._seen:
            self._seen[key] = None
            self._studies.labels(outcome.ending).inc()

    def failing(self, error: PacsError) -> None:
        """Count a try that failed."""
        self.trouble = error.code
        self._retries.labels(error.code).inc()

    def working(self) -> None:
        """Record that something worked."""
        self.trouble = None
        self._success.set_to_current_time()

    def waiting(self, backlog: int, oldest: float | None, failed: int) -> None:
        """Record what is not finished.

        Parameters
        ----------
        backlog
            How many changes or instances, as `Feed.backlog`.
        oldest
            When the oldest was seen, by the monotonic clock; None when all is finished.
        failed
            How many instances failed for good.
        """
        self._backlog.set(backlog)
        self._failed.set(failed)
        self._oldest = oldest

    def _age(self) -> float:
        return 0.0 if self._oldest is None else time.monotonic() - self._oldest


@contextlib.contextmanager
def monitoring(metrics: PacsMetrics, host: str, port: int) -> Iterator[int]:
    """Answer ``/metrics`` and ``/health``, in a thread of their own, until the block ends.

    Health is 200 while the last try of anything worked, else 503 with the code of the failure;
    `STARTING` stands for one until the archive has answered.

    Yields
    ------
    int
        The port, which the system chooses where `port` is 0.

    Raises
    ------
    OSError
        The port is taken.
    """

    async def exposition(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def health(_: Request) -> JSONResponse:
        trouble = metrics.trouble
        if trouble is None:
            return JSONResponse({"status": "ok", "code": None})
        status = "starting" if trouble == STARTING else "failing"
        return JSONResponse({"status": status, "code": trouble}, 503)

    async def not_found(*_: object) -> JSONResponse:
        return JSONResponse({"code": "not_found"}, 404)

    app = Starlette(
        routes=[Route("/metrics", exposition), Route("/health", health)],
        exception_handlers={404: not_found},
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="off",
            http=limited_protocol(header_timeout_s=10, max_connections=64),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listening:
        thread = threading.Thread(
            target=server.run, args=[[listening]], name="monitor", daemon=True
        )
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
