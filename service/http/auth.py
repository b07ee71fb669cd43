"""Who is calling: API keys, their roles, and the one place that checks them."""

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fastapi import Request, Security
from fastapi.params import Depends
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Forbidden, KeyNotInForce, ServiceError, Unauthorized
from service.http.attempts import WrongKeys
from service.http.docs import STATIC
from service.http.keys import ANONYMOUS, SINGLE_KEY, ApiKey, KeysFile, Role, sha256_of
from service.http.problems import problem_response
from service.http.sessions import Sessions
from service.web import page

OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})
"""The only paths that never need a key, so that no new one is open by accident."""

_DOCS_PATHS = frozenset({"/docs", "/openapi.json"})

DECLARED_SECURITY: list[Depends] = [
    Security(APIKeyHeader(name="X-API-Key", auto_error=False)),
    Security(HTTPBearer(auto_error=False)),
]
"""The key in the OpenAPI document; `AuthMiddleware` checks it."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    Attributes
    ----------
    name
        Name of the key: that of the keys file, ``api-key`` for the single one, ``anonymous`` where
        no key is set.
    role
        What the caller may do; everything, where no key is set.
    """

    name: str
    role: Role


class Authenticator:
    """Knows the keys.

    Parameters
    ----------
    key
        The single key, which is an admin's.
    keys_file
        File of named keys; see `service.http.keys`.

    Raises
    ------
    ConfigError
        The keys file cannot be used.
    """

    def __init__(self, key: SecretStr | None, keys_file: Path | None) -> None:
        self._single = (
            [ApiKey.model_construct(name=SINGLE_KEY, role="admin", sha256=sha256_of(text))]
            if key is not None and (text := key.get_secret_value())
            else []
        )
        self._file = None if keys_file is None else KeysFile(keys_file)
        self._wrong = WrongKeys()

    @property
    def required(self) -> bool:
        """Whether requests need a key."""
        return bool(self._single) or self._file is not None

    def authenticate(self, key: str, address: str) -> Caller:
        """Say who has a key.

        Parameters
        ----------
        key
            The key; bytes that are no UTF-8 as surrogates (PEP 383).
        address
            Where it comes from. After ten different wrong keys in a minute, none is looked at.

        Raises
        ------
        Unauthorized
            Nobody has that key.
        KeyNotInForce
            It is not valid yet, or has expired.
        TooManyWrongKeys
            Too many wrong keys came from that address.
        """
        self._wrong.check(address)
        given = sha256_of(key)
        known = [*self._single, *(self._file.keys if self._file else ())]
        # All of them, and each in constant time: how long it takes says nothing about the keys.
        found = [each for each in known if hmac.compare_digest(each.sha256, given)]
        if not found:
            self._wrong.add(address, given)
            raise Unauthorized
        if not found[0].in_force(datetime.now(UTC)):
            raise KeyNotInForce
        return Caller(found[0].name, found[0].role)


class AuthMiddleware:
    """Puts the `Caller` of a request on its state; refuses requests before their body is read.

    Parameters
    ----------
    authenticator
        Knows the keys.
    sessions
        Knows which key a cookie stands for.
    docs_need_key
        Whether the OpenAPI document and the page that shows it need a key too.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        sessions: Sessions,
        *,
        docs_need_key: bool,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._sessions = sessions
        self._docs_need_key = docs_need_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if not self._authenticator.required:
                scope["state"]["caller"] = Caller(ANONYMOUS, "admin")
            elif not self._is_open(path):
                try:
                    scope["state"]["caller"] = self._caller(scope)
                except ServiceError as error:
                    await problem_response(error, scope)(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        if path in _DOCS_PATHS or path.startswith(f"{STATIC}/"):
            return not self._docs_need_key
        # The page holds no data; what it shows, it asks for with a key.
        return path in OPEN_PATHS or path == "/" or path.startswith(f"{page.STATIC}/")

    def _caller(self, scope: Scope) -> Caller:
        refusal: ServiceError = Unauthorized()
        headers = Headers(scope=scope)
        keys = list(keys_in(headers))
        if not keys and (key := self._sessions.key_of(scope["method"], headers)) is not None:
            keys = [key]
        for key in keys:
            try:
                return self._authenticator.authenticate(key, client_address(scope))
            except ServiceError as error:
                refusal = error
        raise refusal


def client_address(scope: Scope) -> str:
    """Where a request comes from; behind a proxy of WSCXR_TRUSTED_PROXIES, what the proxy says."""
    client = scope.get("client")
    return client[0] if client else ""


def require_role(role: Role) -> Depends:
    """Make the dependency of a route that only callers of a role may use; an admin may use all.

    The route answers others with `Forbidden`.
    """

    async def check(request: Request) -> None:
        caller: Caller = request.state.caller
        if caller.role not in (role, "admin"):
            raise Forbidden

    dependency: Callable[..., object] = check
    return Depends(dependency)


def keys_in(headers: Headers) -> Iterator[str]:
    """The API keys that a request carries; bytes that are no UTF-8 as surrogates (PEP 383)."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    for key in (headers.get("x-api-key", ""), token.strip() if scheme.lower() == "bearer" else ""):
        if key:
            # Headers are decoded as Latin-1; what was sent is UTF-8.
            yield key.encode("latin-1").decode("utf-8", "surrogateescape")
