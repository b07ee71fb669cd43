"""Limits on connections, where the server still reads the head of a request and no app is asked."""

import asyncio
import logging
from uuid import uuid4

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from service.errors import MalformedRequest, QueueFull, ServiceError, UploadTooSlow
from service.http.problem import MEDIA_TYPE, Problem

logger = logging.getLogger(__name__)


def limited_protocol(*, header_timeout_s: float, max_connections: int) -> type[H11Protocol]:
    """Make uvicorn's HTTP/1.1 protocol with the limits that it lacks; its errors are problems.

    Parameters
    ----------
    header_timeout_s
        How long the head of a request may take, from the opening of the connection or from the
        first byte of a later request, in seconds; then 408. The server's keep-alive timeout
        ends connections that are idle between requests.
    max_connections
        Most connections open at once; others get 503 and are closed.
    """

    class Limited(H11Protocol):
        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                self._refuse(QueueFull("too many connections are open"))
            else:
                self._watch_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_head()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch_head()

        def send_400_response(self, _: str) -> None:
            self._refuse(MalformedRequest())

        def _watch_head(self) -> None:
            """Have the timer run for as long as a head is expected."""
            # Between two requests nothing is expected, until the first byte of the next.
            expected = self.conn.their_state is h11.IDLE and (
                self.cycle is None or bool(self.conn.trailing_data[0])
            )
            if not expected or self.transport.is_closing():
                self._stop_timer()
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(header_timeout_s, self._too_slow)

        def _stop_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _too_slow(self) -> None:
            if self.conn.trailing_data[0]:
                self._refuse(UploadTooSlow("the head of the request did not arrive in time"))
            else:
                self.transport.close()

        def _refuse(self, error: ServiceError) -> None:
            request_id = str(uuid4())
            logger.warning("refused", extra={"request_id": request_id, "code": error.code})
            body = Problem.of(error, request_id).model_dump_json().encode()
            headers = [
                ("Content-Type", MEDIA_TYPE),
                ("Content-Length", str(len(body))),
                ("X-Request-ID", request_id),
                ("Connection", "close"),
                *error.headers.items(),
            ]
            head = h11.Response(
                status_code=error.status, headers=headers, reason=STATUS_PHRASES[error.status]
            )
            try:
                for event in (head, h11.Data(body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
            except h11.LocalProtocolError:
                pass  # an answer is under way already
            self.transport.close()

    return Limited
