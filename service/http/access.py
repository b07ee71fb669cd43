"""The outermost layer: request id, access log, request metrics, and the last resort for errors."""

import logging
import time
from uuid import uuid4

from prometheus_client import Counter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import problem_response

logger = logging.getLogger("service.http.access")

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}

_POLICY = "default-src 'none'; frame-ancestors 'none'"
"""What a browser may do with an answer that is no page: nothing."""


class AccessMiddleware:
    """Gives each request a fresh id, logs one line about it, and counts it.

    The line and the metrics hold the route's template, never the path or the query, and nothing
    else a client chose; the line names the key that the request came with.

    Parameters
    ----------
    app
        The next layer.
    requests
        Counts by method, route, status and outcome.
    """

    def __init__(self, app: ASGIApp, requests: Counter) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        # An id that the client chose would put client data into the log.
        request_id = str(uuid4())
        state = scope.setdefault("state", {})
        state.update(request_id=request_id, outcome="ok")
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                # Answers are about patients: no cache between here and the client may keep them.
                headers["Cache-Control"] = "no-store"
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers.setdefault("Content-Security-Policy", _POLICY)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001 - no other layer may log it with its message
            response = problem_response(error, scope)
            if not status:
                await response(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope["state"]
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "unmatched")
        self._requests.labels(method, route, str(status), state["outcome"]).inc()
        caller = state.get("caller")
        logger.info(
            "request",
            extra={
                "request_id": state["request_id"],
                "method": method,
                "route": route,
                "status": status,
                "outcome": state["outcome"],
                "caller": None if caller is None else caller.name,
                "duration_ms": round(1000 * seconds, 3),
            },
        )
