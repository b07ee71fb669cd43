"""Limits on request bodies, applied before and while they are read."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, MalformedRequest
from service.http.problems import problem_response


class BodyLimitMiddleware:
    """Refuses bodies that are too large, by their announced length and by counting what arrives.

    Parameters
    ----------
    app
        The next layer.
    max_bytes
        Largest body, in bytes.
    max_held_bytes
        Largest sum of the bodies of all requests that are not answered yet, in bytes.
    timeout_s
        How long a body may take to arrive, in seconds.
    """

    def __init__(
        self, app: ASGIApp, max_bytes: int, *, max_held_bytes: int, timeout_s: float
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_held_bytes = max_held_bytes
        self._timeout_s = timeout_s
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "content-length" in headers and "transfer-encoding" in headers:
            # A proxy that believes the other one would see another request (RFC 9112, 6.1).
            await problem_response(MalformedRequest(), scope)(scope, receive, send)
            return
        if _announced_bytes(scope) > self._max_bytes:
            await problem_response(BodyTooLarge(), scope)(scope, receive, send)
            return
        received = 0
        arrived = False
        deadline = asyncio.get_running_loop().time() + self._timeout_s

        # HTTPException is the only exception that FastAPI lets through from its form parser.
        async def receive_counted() -> Message:
            nonlocal received, arrived
            try:
                # Once the body is complete, only the disconnect can follow.
                async with asyncio.timeout_at(None if arrived else deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408) from None
            size = len(message.get("body", b""))
            arrived = not message.get("more_body", False)
            received += size
            self._held_bytes += size
            if received > self._max_bytes:
                raise HTTPException(413)
            if self._held_bytes > self._max_held_bytes:
                raise HTTPException(503)
            return message

        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._held_bytes -= received


def _announced_bytes(scope: Scope) -> int:
    try:
        return int(Headers(scope=scope).get("content-length", "0"))
    except ValueError:
        return 0  # what arrives is counted anyway


def keep_uploads_in_memory(max_bytes: int) -> None:
    """Keep uploads of at most so many bytes out of temporary files: they are patient data."""
    # A documented class attribute; there is no setting for one app alone.
    MultiPartParser.spool_max_size = max(MultiPartParser.spool_max_size, max_bytes)
