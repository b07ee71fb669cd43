"""``/metrics`` and ``/health`` of the watcher, in a thread of their own."""

import contextlib
import json
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app

from service.pacs.metrics import PacsMetrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: paths and addresses do not belong into logs."""


@contextlib.contextmanager
def monitoring(metrics: PacsMetrics, host: str, port: int) -> Iterator[int]:
    """Answer on ``/metrics`` and ``/health`` as long as the block lasts.

    Health is 200 as long as the last try of anything worked, else 503 with the code.

    Parameters
    ----------
    metrics
        What is told.
    host, port
        Where to listen; port 0 takes any free one.

    Yields
    ------
    int
        The port.

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
