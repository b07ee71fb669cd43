import dataclasses
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import Request
from httpx import Response

from service.http.auth import require_role
from service.http.keys import ApiKey, Role, sha256_of
from tests.service import pictures
from tests.service.serving import RunningServer, check_problem, make_settings, running, wait_for

DOCS = ["/docs", "/openapi.json", "/docs/static/swagger-ui.css"]
KEY = "an-api-key-of-good-length-é"


@pytest.fixture(scope="module")
def guarded(store: Path) -> Iterator[httpx.Client]:
    with (
        running(make_settings(store, api_key=KEY)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic an-api-key-of-good-length"},
        {"X-API-Key": b"\xff"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/v1/nothing", "//v1/models"])
def test_without_the_key(guarded: httpx.Client, path: str, headers: dict[str, str]) -> None:
    url = str(guarded.base_url).rstrip("/") + path
    response = guarded.get(url, headers=headers)
    check_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_an_upload_without_the_key(guarded: httpx.Client) -> None:
    response = guarded.post("/v1/predict", files={"file": pictures.png()})
    check_problem(response, 401, "unauthorized")


@pytest.mark.parametrize(
    "header", [(b"X-API-Key", KEY.encode()), (b"Authorization", f"bearer {KEY}".encode())]
)
def test_with_the_key(guarded: httpx.Client, header: tuple[bytes, bytes]) -> None:
    response = guarded.post("/v1/predict", files={"file": pictures.png()}, headers=[header])
    assert response.status_code == 200
    assert guarded.get("/metrics", headers=[header]).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", *DOCS])
def test_open_paths(guarded: httpx.Client, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_docs_that_need_the_key(store: Path) -> None:
    settings = make_settings(store, api_key=KEY, docs_access="key")
    with running(settings) as server, httpx.Client(base_url=server.url) as client:
        for path in DOCS:
            check_problem(client.get(path), 401, "unauthorized")
            headers = [(b"X-API-Key", KEY.encode())]
            assert client.get(path, headers=headers).status_code == 200
        assert client.get("/health/live").status_code == 200


def test_the_document_tells_of_the_key(guarded: httpx.Client, client: httpx.Client) -> None:
    operation = guarded.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]
    assert operation["security"] == [{"APIKeyHeader": []}, {"HTTPBearer": []}]
    assert "security" not in client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]


def entry(name: str, role: Role, **dates: datetime) -> ApiKey:
    return ApiKey(name=name, role=role, sha256=sha256_of(f"key-of-{name}"), **dates)


@pytest.fixture(scope="module")
def named(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A service with a single key and four named ones, and a route for admins."""
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    now, day = datetime.now(UTC), timedelta(days=1)
    keys = [
        entry("ward", "reader", not_before=now - day, expires=now + day),
        entry("boss", "admin"),
        entry("gone", "admin", expires=now - day),
        entry("soon", "admin", not_before=now + day),
    ]
    path.write_text("".join(key.toml() for key in keys))
    with running(make_settings(store, api_key=KEY, api_keys_file=path)) as server:

        @server.app.get("/v1/caller", dependencies=[require_role("admin")])
        async def caller(request: Request) -> dict[str, str]:
            return dataclasses.asdict(request.state.caller)

        yield server


def get(server: RunningServer, key: str, path: str = "/v1/caller", address: str = "") -> Response:
    headers = [(b"X-API-Key", key.encode())]
    if address:
        headers.append((b"X-Forwarded-For", address.encode()))
    return httpx.get(f"{server.url}{path}", headers=headers)


@pytest.mark.parametrize(
    ("key", "caller"),
    [
        (KEY, {"name": "api-key", "role": "admin"}),
        ("key-of-boss", {"name": "boss", "role": "admin"}),
    ],
)
def test_who_calls(named: RunningServer, key: str, caller: dict[str, str]) -> None:
    assert get(named, key).json() == caller


def test_a_reader_reads_only(named: RunningServer) -> None:
    assert get(named, "key-of-ward", "/v1/models").status_code == 200
    check_problem(get(named, "key-of-ward"), 403, "forbidden")


@pytest.mark.parametrize("name", ["gone", "soon"])
def test_a_key_out_of_its_time(named: RunningServer, name: str) -> None:
    check_problem(get(named, f"key-of-{name}"), 401, "key_not_in_force")


def test_the_hash_is_no_key(named: RunningServer) -> None:
    check_problem(get(named, sha256_of("key-of-boss")), 401, "unauthorized")


def test_wrong_keys_are_slowed_down(named: RunningServer) -> None:
    address = "198.51.100.7"
    for number in range(10):
        check_problem(get(named, f"guess {number}", address=address), 401, "unauthorized")
    refused = get(named, "key-of-boss", address=address)
    check_problem(refused, 429, "too_many_wrong_keys")
    assert refused.headers["retry-after"] == "60"
    # What needs no key is open, and so is everything to other addresses.
    assert get(named, "", "/health/ready", address=address).status_code == 200
    assert get(named, "key-of-boss", address="198.51.100.8").status_code == 200


def test_the_log_names_the_caller_and_no_key(
    named: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    known = [
        get(named, key, "/v1/models").headers["x-request-id"] for key in ("key-of-ward", "a-guess")
    ]

    def callers() -> list[object]:
        lines = map(vars, caplog.records)
        return [line["caller"] for line in lines if line.get("request_id") in known]

    wait_for(lambda: len(callers()) == 2)
    assert callers() == ["ward", None]
    assert not any("key-of-ward" in str(vars(line)) for line in caplog.records)


def test_the_caller_without_keys(store: Path) -> None:
    with running(make_settings(store)) as server:

        @server.app.get("/v1/caller", dependencies=[require_role("admin")])
        async def caller(request: Request) -> dict[str, str]:
            return dataclasses.asdict(request.state.caller)

        assert get(server, "any").json() == {"name": "anonymous", "role": "admin"}
