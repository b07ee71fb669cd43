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
from service.pacs.feeds import Coverage

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
    active
        ``host/process id`` of the watcher that works while this one waits; None when this one does.
    coverage
        What the feed covers; None where the archive itself says what arrives.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.trouble: str | None = STARTING
        self.active: str | None = None
        self.coverage: Coverage | None = None
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
        self._audit_lost = Counter(
            "wscxr_pacs_audit_lost",
            "Audit messages that the repository did not take.",
            registry=self.registry,
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
        self._working = Gauge(
            "wscxr_pacs_active",
            "1 for the watcher that works, 0 for one that waits for it to end.",
            registry=self.registry,
        )
        self._working.set_function(lambda: float(self.active is None))
        self._left_out = Gauge(
            "wscxr_pacs_outside_window",
            "Studies that were there before the watcher, outside its window, and are left out.",
            registry=self.registry,
        )
        self._left_out.set_function(lambda: self.coverage.left_out if self.coverage else 0.0)
        self._seen_at = Gauge(
            "wscxr_pacs_last_scan_timestamp_seconds",
            "When a DICOMweb server's studies were last looked at altogether; 0 before the first.",
            registry=self.registry,
        )
        self._seen_at.set_function(lambda: (self.coverage.seen_at or 0.0) if self.coverage else 0.0)
        self._oldest: float | None = None
        self._lag.set_function(self._age)
        self._seen: LRUCache[tuple[str, Ending], None] = LRUCache(_STUDIES)

    def audit_lost(self) -> None:
        """Count an audit message that is lost."""
        self._audit_lost.inc()

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

    def waiting(
        self, backlog: int, oldest: float | None, failed: int, coverage: Coverage | None
    ) -> None:
        """Record what is not finished.

        Parameters
        ----------
        backlog
            How many changes or instances, as `Feed.backlog`.
        oldest
            When the oldest was seen, by the monotonic clock; None when all is finished.
        failed
            How many instances failed for good.
        coverage
            As `Feed.coverage`.
        """
        self.coverage = coverage
        self._backlog.set(backlog)
        self._failed.set(failed)
        self._oldest = oldest

    def _age(self) -> float:
        return 0.0 if self._oldest is None else time.monotonic() - self._oldest


@contextlib.contextmanager
def monitoring(metrics: PacsMetrics, host: str, port: int) -> Iterator[int]:
    """Answer ``/metrics`` and ``/health``, in a thread of their own, until the block ends.

    Health is 200 while the last try of anything worked, else 503 with the code of the failure;
    `STARTING` stands for one until the archive has answered. A watcher that waits for another to
    end is healthy, and names the active one.

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
        trouble = None if metrics.active else metrics.trouble
        status = "failing"
        if trouble is None:
            status = "waiting" if metrics.active else "ok"
        elif trouble == STARTING:
            status = STARTING
        content: dict[str, str | int | None] = {"status": status, "code": trouble}
        if metrics.active is not None:
            content["active"] = metrics.active
        elif metrics.coverage is not None:
            content["outside_window"] = metrics.coverage.left_out
            content["scanned"] = metrics.coverage.seen_at is not None
        return JSONResponse(content, 200 if trouble is None else 503)

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
