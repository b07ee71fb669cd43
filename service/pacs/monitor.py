"""What Prometheus and health checks see of the watcher."""

import contextlib
import json
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

from cachetools import LRUCache
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, make_wsgi_app

from service.pacs.bridge import Ending, Outcome
from service.pacs.errors import PacsError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_STUDIES = 10_000


class PacsMetrics:
    """The Prometheus metrics of one watcher, in a registry of their own.

    Attributes
    ----------
    registry
        That registry.
    trouble
        Code of the last failure; None once something works again.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.trouble: str | None = None
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


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing: paths and addresses do not belong in logs."""


@contextlib.contextmanager
def monitoring(metrics: PacsMetrics, host: str, port: int) -> Iterator[int]:
    """Answer ``/metrics`` and ``/health``, in a thread of their own, until the block ends.

    Health is 200 while the last try of anything worked, else 503 with the code of the failure.

    Yields
    ------
    int
        The port, which the system chooses where `port` is 0.

    Raises
    ------
    OSError
        The port is taken.
    """
    exposition = make_wsgi_app(metrics.registry)

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/metrics":
                body: Iterable[bytes] = exposition(environ, start_response)
                return body
            case "/health":
                trouble = metrics.trouble
                status = "200 OK" if trouble is None else "503 Service Unavailable"
                content = {"status": "ok" if trouble is None else "failing", "code": trouble}
            case _:
                status, content = "404 Not Found", {"code": "not_found"}
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(content).encode()]

    with make_server(host, port, app, handler_class=_QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, name="monitor", daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
