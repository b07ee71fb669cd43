"""The watcher's health and metrics, with clients that do not behave."""

import contextlib
import socket
import time

import httpx
import pytest

from service.pacs.errors import ArchiveUnavailable
from service.pacs.monitor import PacsMetrics, monitoring


def test_health_follows_what_works() -> None:
    metrics = PacsMetrics()
    with (
        monitoring(metrics, "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "starting")
        metrics.working()
        answer = client.get("/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "code": None})
        metrics.failing(ArchiveUnavailable())
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["code"]) == (503, "pacs_unavailable")
        assert "wscxr_pacs_backlog" in client.get("/metrics").text
        assert client.get("/nothing").status_code == 404


def test_idle_connections_hold_nobody_up() -> None:
    with contextlib.ExitStack() as stack:
        started = time.monotonic()
        with monitoring(PacsMetrics(), "127.0.0.1", 0) as port:
            for sent in (b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\n"):
                idle = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                idle.sendall(sent)
            assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 503
        # The idle connections are still open; wsgiref's server waited for each of them.
        assert time.monotonic() - started < 20


def test_a_port_that_is_taken() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
        monitoring(PacsMetrics(), "127.0.0.1", taken.getsockname()[1]),
    ):
        pass
