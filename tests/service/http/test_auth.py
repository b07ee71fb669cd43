from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service import pictures
from tests.service.serving import check_problem, make_settings, running

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
