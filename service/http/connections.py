"""Limits on connections, where the server still reads the head of a request and no app is asked."""

import asyncio
import logging
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.errors import (
    MalformedRequest,
    NoWebSocket,
    QueueFull,
    ServiceError,
    UploadTooSlow,
)
from service.http.problem import MEDIA_TYPE, Problem

logger = logging.getLogger(__name__)

_MAX_HEAD_BYTES = 16 * 1024
"""Largest head of a request; those of browsers have a few thousand bytes."""


def limited_protocol(*, header_timeout_s: float, max_connections: int) -> type[HttpToolsProtocol]:
    """Make uvicorn's HTTP/1.1 protocol with the limits that it lacks; its errors are problems.

    The parser (llhttp, by httptools) refuses what two servers might read differently: lengths that
    contradict each other, and line ends and headers that are not RFC 9112's. It has no limits; all
    of them are here.

    Parameters
    ----------
    header_timeout_s
        How long the head of a request may take, from the opening of the connection or from the
        first byte of a later request, in seconds; then 408. The server's keep-alive timeout
        ends connections that are idle between requests.
    max_connections
        Most connections open at once; others get 503 and are closed.
    """

    class Limited(HttpToolsProtocol):
        _head_timer: asyncio.TimerHandle | None = None
        _head_bytes = 0
        _in_head = False
        _in_message = False
        _broken: ServiceError = MalformedRequest()
        """What is answered when the parser, or a callback of it, fails."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                self._refuse(QueueFull("too many connections are open"))
            else:
                self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return  # refused
            between = not self._in_message
            super().data_received(data)
            if self._in_head:
                self._head_bytes += len(data)
                if self._head_bytes > _MAX_HEAD_BYTES:
                    self._refuse(MalformedRequest("the head of the request is too large"))
            self._watch(also=between)

        def on_message_begin(self) -> None:
            self._in_message = self._in_head = True
            self._head_bytes = 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            version = self.parser.get_http_version()
            hosts = sum(name == b"host" for name, _ in self.headers)
            if version not in ("1.0", "1.1") or hosts > 1 or (hosts == 0 and version == "1.1"):
                raise ValueError("no request of HTTP/1.1 (RFC 9112, 2.3 and 3.2)")
            if self._get_upgrade() == b"websocket":
                self._broken = NoWebSocket()
                raise ValueError("a WebSocket handshake")
            self._in_head = False
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._in_message = False
            super().on_message_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def send_400_response(self, _: str) -> None:
            self._refuse(self._broken)

        def _unsupported_upgrade_warning(self) -> None:
            pass  # the request was answered as one without (RFC 9110, 7.8)

        def _watch(self, *, also: bool = False) -> None:
            """Have the timer run while a head is expected, or a body comes that nobody reads.

            Between two requests nothing is expected, until the first byte of the next (`also`).
            """
            answering = self.cycle is not None and not self.cycle.response_complete
            expected = self.cycle is None or self._in_message or also
            if answering or not expected or self.transport.is_closing():
                self._stop_timer()
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(header_timeout_s, self._too_slow)

        def _stop_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _too_slow(self) -> None:
            if self._in_head:
                self._refuse(UploadTooSlow("the head of the request did not arrive in time"))
            else:
                self.transport.close()

        def _refuse(self, error: ServiceError) -> None:
            request_id = str(uuid4())
            logger.warning("refused", extra={"request_id": request_id, "code": error.code})
            cycle = self.cycle
            if cycle is None or cycle.response_complete or not cycle.response_started:
                body = Problem.of(error, request_id).model_dump_json().encode()
                headers = {
                    "Content-Type": MEDIA_TYPE,
                    "Content-Length": str(len(body)),
                    "X-Request-ID": request_id,
                    "Connection": "close",
                    **error.headers,
                }
                head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                self.transport.write(STATUS_LINE[error.status] + f"{head}\r\n".encode() + body)
            if cycle is not None:
                cycle.disconnected = True  # an answer of the app would be mixed up with this one
                cycle.message_event.set()
            self.transport.close()

    return Limited
