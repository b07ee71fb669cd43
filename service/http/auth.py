"""The optional API key."""

import secrets

from fastapi import Security
from fastapi.params import Depends
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Unauthorized
from service.http.docs import STATIC
from service.http.problems import problem_response

OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})
"""The only paths that never need the key, so that no new one is open by accident."""

_DOCS_PATHS = frozenset({"/docs", "/openapi.json"})

DECLARED_SECURITY: list[Depends] = [
    Security(APIKeyHeader(name="X-API-Key", auto_error=False)),
    Security(HTTPBearer(auto_error=False)),
]
"""The key in the OpenAPI document; `ApiKeyMiddleware` checks it."""


class ApiKeyMiddleware:
    """Refuses requests without the API key, before their body is read.

    Parameters
    ----------
    key
        The key.
    docs_need_key
        Whether the OpenAPI document and the page that shows it need the key too.
    """

    def __init__(self, app: ASGIApp, key: SecretStr, *, docs_need_key: bool) -> None:
        self._app = app
        self._docs_need_key = docs_need_key
        self._key = key.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if not (self._is_open(path) or self._has_key(Headers(scope=scope))):
                await problem_response(Unauthorized(), scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        if path in _DOCS_PATHS or path.startswith(f"{STATIC}/"):
            return not self._docs_need_key
        return path in OPEN_PATHS

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = [headers.get("x-api-key", "")]
        if scheme.lower() == "bearer":
            given.append(token.strip())
        # Headers are decoded as Latin-1; encoding them so gives the bytes that were sent.
        return any(secrets.compare_digest(key.encode("latin-1"), self._key) for key in given)
