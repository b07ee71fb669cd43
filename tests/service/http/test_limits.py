import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from service.http.limits import BodyLimitMiddleware
from tests.service.serving import PATIENCE_S, check_problem, make_settings, running

LIMIT = 2_000_000
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
HEADERS = {"Content-Type": "multipart/form-data; boundary=x"}


def test_by_the_announced_length(client: httpx.Client) -> None:
    response = client.post("/v1/predict", content=bytes(LIMIT + 1), headers=HEADERS)
    check_problem(response, 413, "body_too_large")


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/batch"])
def test_by_counting_what_comes(client: httpx.Client, path: str) -> None:
    def stream() -> Iterator[bytes]:
        yield HEAD
        for _ in range(LIMIT // 50_000 + 1):
            yield bytes(50_000)

    response = client.post(path, content=stream(), headers=HEADERS)
    check_problem(response, 413, "body_too_large")


def test_a_chunked_body_within_the_limit(client: httpx.Client) -> None:
    def stream() -> Iterator[bytes]:
        yield HEAD
        yield b"no image\r\n--x--\r\n"

    response = client.post("/v1/predict", content=stream(), headers=HEADERS)
    check_problem(response, 415, "unsupported_format")


def test_a_length_that_is_no_number() -> None:
    # A server refuses these itself; another one may not.
    sent: list[Message] = []

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"content-length", b"many")]}
    asyncio.run(BodyLimitMiddleware(app, 10, max_held_bytes=100, timeout_s=5)(scope, receive, send))
    assert sent[0]["status"] == 200


def test_by_the_bytes_of_all_requests_under_way() -> None:
    async def scenario() -> None:
        arrived, finish = asyncio.Event(), asyncio.Event()

        async def app(_: Scope, receive: Receive, __: Send) -> None:
            await receive()
            arrived.set()
            await finish.wait()

        async def receive() -> Message:
            return {"type": "http.request", "body": bytes(60)}

        async def send(_: Message) -> None:
            raise AssertionError("nothing is answered here")

        scope = {"type": "http", "headers": []}
        limited = BodyLimitMiddleware(app, 100, max_held_bytes=100, timeout_s=PATIENCE_S)
        first = asyncio.create_task(limited(scope, receive, send))
        await arrived.wait()
        with pytest.raises(HTTPException) as caught:
            await limited(scope, receive, send)
        assert caught.value.status_code == 503
        finish.set()
        await first
        # What the first one held is free again.
        await limited(scope, receive, send)

    asyncio.run(scenario())


def test_an_upload_that_never_ends(store: Path) -> None:
    settings = make_settings(store, request_timeout_s=0.2)
    with (
        running(settings) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection,
    ):
        head = "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        kind = f"Content-Type: {HEADERS['Content-Type']}\r\n\r\n"
        connection.sendall((head + kind).encode() + HEAD)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408")
