"""HTTP to the PACS and to the scoring service, with failures sorted by what to do about them."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import httpx

from service.pacs.errors import (
    AnalyserFault,
    AnalyserRefuses,
    AnalyserUnavailable,
    ArchiveFault,
    ArchiveRefuses,
    ArchiveUnavailable,
    ServerFault,
    ServerUnavailable,
)
from service.pacs.settings import PacsSettings

# Pixels hardly shrink, and gzip of a radiograph takes Orthanc half a second.
_PLAIN = {"Accept-Encoding": "identity"}
_BUSY = frozenset({429, 502, 503})
_REFUSES = frozenset({401, 403, 407})


@dataclass(frozen=True)
class Answer:
    """An answer that is neither busy, refusing nor failing.

    Attributes
    ----------
    status
        HTTP status.
    content_type
        Value of its Content-Type; empty where it has none.
    body
        Its body, after any content encoding.
    request_id
        Id that the server gave the request, where that is a UUID.
    """

    status: int
    content_type: str
    body: bytes
    request_id: str | None


class Server:
    """One HTTP server, and the errors that stand for its failures.

    Parameters
    ----------
    http
        Connections to the server.
    unavailable, refuses, fault
        Raised when the server cannot be reached, refuses everything, or fails on a request.
    max_bytes
        Largest body to read, after any content encoding.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        unavailable: type[ServerUnavailable],
        refuses: type[ServerUnavailable],
        fault: type[ServerFault],
        max_bytes: int,
    ) -> None:
        self._http = http
        self._unavailable = unavailable
        self._refuses = refuses
        self.fault = fault
        self._max_bytes = max_bytes

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        file: bytes | None = None,
    ) -> Answer:
        """Send one request and read the answer, if it is 2xx or a 4xx about the request itself.

        Parameters
        ----------
        method, path, params, headers
            As in HTTP; the path is relative to the server's root.
        content
            The body.
        file
            Instead of `content`: the one file of a multipart form.

        Raises
        ------
        ServerUnavailable
            No connection, or 429, 502, 503; or the server refuses: 3xx, 401, 403, 407.
        ServerFault
            Another 5xx, no answer in time, or a larger one than allowed.
        """
        # A fixed name: the name of a file may be a patient's.
        files = None if file is None else {"file": ("instance.dcm", file, "application/dicom")}
        try:
            async with self._http.stream(
                method, path, params=params, headers=headers, content=content, files=files
            ) as response:
                request_id = _request_id(response)
                self._judge(response.status_code, request_id)
                body = await self._read(response, request_id)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise self._unavailable from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):
            # From None, here and above: their messages hold addresses with UIDs in them.
            raise self.fault from None
        content_type = response.headers.get("content-type", "")
        return Answer(response.status_code, content_type, body, request_id)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    def _judge(self, status: int, request_id: str | None) -> None:
        if status in _BUSY:
            raise self._unavailable
        if status in _REFUSES or 300 <= status < 400:
            raise self._refuses
        if status >= 500:
            raise self.fault(request_id)

    async def _read(self, response: httpx.Response, request_id: str | None) -> bytes:
        chunks, size = [], 0
        async for chunk in response.aiter_bytes():
            chunks.append(chunk)
            size += len(chunk)
            if size > self._max_bytes:
                raise self.fault(request_id)
        return b"".join(chunks)


def _request_id(response: httpx.Response) -> str | None:
    try:
        # Anything else might carry what is not to be logged or kept.
        return str(UUID(response.headers.get("x-request-id", "")))
    except ValueError:
        return None


def archive_server(settings: PacsSettings) -> Server:
    """Connect to the PACS, with its credentials and the certificates to trust."""
    token, password = settings.secret("token"), settings.secret("password")
    auth = None
    if settings.user is not None and password is not None:
        auth = httpx.BasicAuth(settings.user, password)
    http = httpx.AsyncClient(
        base_url=str(settings.url),
        auth=auth,
        headers=_PLAIN | ({} if token is None else {"Authorization": f"Bearer {token}"}),
        verify=ssl.create_default_context(cafile=settings.ca_file),
        timeout=settings.timeout_s,
    )
    return Server(http, ArchiveUnavailable, ArchiveRefuses, ArchiveFault, settings.max_bytes)


def service_server(settings: PacsSettings) -> Server:
    """Connect to the scoring service, with its API key."""
    key = settings.secret("service_key")
    http = httpx.AsyncClient(
        base_url=str(settings.service_url),
        headers=_PLAIN | ({} if key is None else {"X-API-Key": key}),
        timeout=settings.timeout_s,
    )
    return Server(http, AnalyserUnavailable, AnalyserRefuses, AnalyserFault, settings.max_bytes)
