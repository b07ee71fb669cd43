"""Sessions of the reading room: a cookie that stands for an API key, which the browser forgets."""

import hashlib
import secrets

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from service.errors import CrossSite
from service.stores import Store

COOKIE = "wscxr_session"
LIFETIME_S = 12 * 3600
"""How long a session lasts, in seconds: a long working day."""

MOST_SESSIONS = 10_000
_PAGE_HEADER = "x-reading-room"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Sessions:
    """The keys of all who are signed in, in memory: a restart signs everybody out.

    The key is checked again with every request, so that a session ends with its key.

    Parameters
    ----------
    store
        Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._keys = store

    def start(self, key: str) -> str:
        """Begin a session; the value of its cookie, 256 random bits."""
        token = secrets.token_urlsafe(32)
        self._keys.put(_digest(token), key.encode("utf-8", "surrogateescape"))
        return token

    def end(self, headers: Headers) -> None:
        """End the session of a request, if it has one."""
        self._keys.pop(_digest(_token(headers)))

    def key_of(self, method: str, headers: Headers) -> str | None:
        """The key that the cookie of a request stands for; None without a session.

        Parameters
        ----------
        method
            HTTP method of the request.
        headers
            Its headers.

        Raises
        ------
        CrossSite
            The request may change something, and lacks the header that the page sends. A page of
            another site can make a browser send cookies, but not this header: that takes a CORS
            preflight, which nothing here answers. (SameSite=Strict already keeps the cookie from
            other sites, but not from other ports of this host.)
        """
        token = _token(headers)
        held = self._keys.get(_digest(token)) if token else None
        if held is None:
            return None
        if method not in _SAFE and _PAGE_HEADER not in headers:
            raise CrossSite
        return held.decode("utf-8", "surrogateescape")


def _token(headers: Headers) -> str:
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _digest(token: str) -> str:
    # Looked up by its hash, how long that takes says nothing about a token.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
