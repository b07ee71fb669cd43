import asyncio
from collections.abc import Iterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from service.limits import BodyLimitMiddleware
from tests.service.test_bad_input import check_problem

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
    asyncio.run(BodyLimitMiddleware(app, 10)(scope, receive, send))
    assert sent[0]["status"] == 200
