"""The page of the OpenAPI document, in a hospital without internet access."""

import base64
import hashlib
import re

import httpx

from tests.service import pictures


def test_the_page_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs")
    sources = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
    assert len(sources) == 3
    for source in sources:
        assert source.startswith("/docs/static/")
        assert client.get(source).status_code == 200
    assert "://" not in page.text


def test_the_page_may_run_its_own_scripts_alone(client: httpx.Client) -> None:
    page = client.get("/docs")
    policy = page.headers["content-security-policy"]
    [script] = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")


def test_nothing_outside_the_folder_is_served(client: httpx.Client) -> None:
    for path in ("/docs/static/../core.py", "/docs/static/%2e%2e/core.py", "/docs/static/"):
        assert client.get(path).status_code == 404


def test_headers_of_every_answer(client: httpx.Client) -> None:
    files = {"file": pictures.png()}
    for answer in (
        client.post("/v1/predict", files=files),
        client.get("/v2/models"),
        client.get("/nothing"),
        client.get("/docs"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
