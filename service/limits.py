"""Bounds on the body of a request, held before any of it is read."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge
from service.problems import problem_response


class BodyLimitMiddleware:
    """Refuses bodies above a size: by their announced length, and by counting what comes.

    Parameters
    ----------
    app
        What it wraps.
    max_bytes
        Largest body, in bytes.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced_bytes(scope) > self._max_bytes:
            await problem_response(BodyTooLarge(), scope)(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                # Of all exceptions FastAPI lets only this kind through from its form parser.
                raise HTTPException(413)
            return message

        await self._app(scope, receive_counted, send)


def _announced_bytes(scope: Scope) -> int:
    try:
        return int(Headers(scope=scope).get("content-length", "0"))
    except ValueError:
        return 0  # what really comes is counted anyway


def keep_uploads_in_memory(max_bytes: int) -> None:
    """Make Starlette never write an upload to a temporary file: it is patient data.

    Parameters
    ----------
    max_bytes
        Largest body that can arrive, in bytes.
    """
    # A documented class attribute; there is no setting for one app alone.
    MultiPartParser.spool_max_size = max(MultiPartParser.spool_max_size, max_bytes)
