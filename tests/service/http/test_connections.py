"""Clients that open connections and do not send requests, or send what is none."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.http.connections import limited_protocol
from tests.service.serving import PATIENCE_S, in_thread

HEADER_TIMEOUT_S = 0.5


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server that takes four connections, and answers."""

    async def hello(_: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    protocol = limited_protocol(header_timeout_s=HEADER_TIMEOUT_S, max_connections=4)
    config = uvicorn.Config(
        Starlette(routes=[Route("/", hello)]),
        port=0,
        http=protocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=60,
    )
    with in_thread(uvicorn.Server(config)) as found:
        yield found


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S)


def read_to_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def check_problem(answer: bytes, status: int, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"content-type: application/problem+json" in head.lower()
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"].encode() in head


@pytest.mark.parametrize(
    "sent", [b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA: b"]
)
def test_a_head_that_never_ends(port: int, sent: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)
        check_problem(read_to_end(connection), 408, "upload_too_slow")


def test_a_head_that_drips(port: int) -> None:
    started = time.monotonic()
    with connect(port) as connection, contextlib.suppress(ConnectionError):
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nLong: " + b"a" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - started < 30


def test_a_connection_without_a_request(port: int) -> None:
    with connect(port) as connection:
        assert read_to_end(connection) == b""


def test_the_second_head_of_a_connection(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        first = b""
        while b"hello" not in first:
            first += connection.recv(65536)
        time.sleep(3 * HEADER_TIMEOUT_S)  # idle, which only the keep-alive timeout ends
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT")
        answer = read_to_end(connection)
        assert answer.startswith(b"HTTP/1.1 200")
        check_problem(answer[answer.index(b"HTTP/1.1 408") :], 408, "upload_too_slow")


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        GET + b"Host: y\r\n\r\n",
        GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        GET + b"Content-Length: +1\r\n\r\n",
        GET + b"Content-Length: 1, 1\r\n\r\n",
        GET + b"Transfer-Encoding : chunked\r\n\r\n",
        GET + b"Transfer-Encoding: xchunked, identity\r\n\r\n",
        GET + b"A: b\x00c\r\n\r\n",
        GET + b"A: b\rc\r\n\r\n",
        GET + b"A: b\r\n c\r\n\r\n",
        GET + b"\xe9: b\r\n\r\n",
        b"GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
        GET + b"A: " + b"a" * 70_000,
        b"GET /" + b"a" * 70_000,
    ],
)
def test_what_is_no_http(port: int, sent: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)
        check_problem(read_to_end(connection), 400, "malformed_request")


def test_too_many_connections(port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connect(port)).sendall(b"GET")
        with connect(port) as refused:
            check_problem(read_to_end(refused), 503, "queue_full")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        deadline = time.monotonic() + PATIENCE_S
        while client.get("/").status_code == 503:
            assert time.monotonic() < deadline


def test_two_lengths(client: httpx.Client) -> None:
    with connect(client.base_url.port or 0) as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        check_problem(read_to_end(connection), 400, "malformed_request")


def test_line_ends_that_begin_no_request(port: int) -> None:
    """They keep no connection open."""
    with connect(port) as connection:
        connection.sendall(GET + b"\r\n")
        while b"hello" not in connection.recv(65536):
            pass
        connection.sendall(b"\r\n\r\n")
        started = time.monotonic()
        assert read_to_end(connection) == b""
        assert time.monotonic() - started < 20


def test_requests_one_after_the_other_in_one_packet(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(3 * (GET + b"\r\n") + GET + b"Connection: close\r\n\r\n")
        assert read_to_end(connection).count(b"hello") == 4


def test_a_body_that_nobody_reads_and_that_never_ends(port: int) -> None:
    started = time.monotonic()
    with connect(port) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(GET + b"Content-Length: 1000000\r\n\r\n")
        while time.monotonic() - started < 30:
            connection.sendall(b"a")
            time.sleep(0.05)
    assert time.monotonic() - started < 30


def test_a_body_that_breaks_off_the_rules(client: httpx.Client) -> None:
    with connect(client.base_url.port or 0) as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\nZZ\r\n"
        )
        check_problem(read_to_end(connection), 400, "malformed_request")


UPGRADE = GET + b"Connection: Upgrade\r\nUpgrade: "


def test_websocket_handshakes_are_refused(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(
            UPGRADE + b"WebSocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        check_problem(read_to_end(connection), 400, "no_websocket")


def test_offers_of_other_protocols_are_passed_over(port: int) -> None:
    """Clients in Java offer HTTP/2 with every first request, and go on in HTTP/1.1."""
    with connect(port) as connection:
        for _ in range(2):
            connection.sendall(UPGRADE + b"h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
            answer = b""
            while b"hello" not in answer:
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
