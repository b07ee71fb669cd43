"""Signing in to the reading room: the cookie, and who cannot use it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.http.keys import new_key
from service.http.sessions import COOKIE
from tests.service import pictures
from tests.service.serving import check_problem, make_settings, running, wait_for

KEY = "an-api-key-of-good-length"
HEADERS = {"X-API-Key": KEY}
FROM_THE_PAGE = {"X-Reading-Room": "1"}


@pytest.fixture(scope="module")
def guarded(store: Path) -> Iterator[str]:
    with running(make_settings(store, api_key=KEY)) as server:
        yield server.url


@pytest.fixture
def browser(guarded: str) -> Iterator[httpx.Client]:
    """A client that keeps cookies and has signed in."""
    with httpx.Client(base_url=guarded) as client:
        assert client.post("/v1/session", headers=HEADERS).json() == {
            "name": "api-key",
            "role": "admin",
            "records": False,
        }
        yield client


def test_the_cookie_stands_for_the_key(browser: httpx.Client) -> None:
    assert browser.get("/v1/session").json()["name"] == "api-key"
    assert browser.get("/v1/models").status_code == 200
    files = {"file": pictures.png()}
    assert browser.post("/v1/predict", files=files, headers=FROM_THE_PAGE).status_code == 200


def test_no_script_and_no_other_site_gets_the_cookie(guarded: str) -> None:
    cookie = httpx.post(f"{guarded}/v1/session", headers=HEADERS).headers["set-cookie"]
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= parts
    assert KEY not in cookie


def test_behind_tls_the_cookie_stays_there(guarded: str) -> None:
    headers = {**HEADERS, "X-Forwarded-Proto": "https"}
    cookie = httpx.post(f"{guarded}/v1/session", headers=headers).headers["set-cookie"]
    assert "secure" in cookie.lower()


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/predict"), ("DELETE", "/v1/session")])
def test_a_request_of_another_site_is_refused(
    browser: httpx.Client, method: str, path: str
) -> None:
    check_problem(browser.request(method, path), 403, "cross_site")
    assert browser.get("/v1/session").status_code == 200


def test_without_the_key_there_is_no_session(guarded: str, browser: httpx.Client) -> None:
    check_problem(httpx.post(f"{guarded}/v1/session"), 401, "unauthorized")
    wrong = {"X-API-Key": "wrong"}
    check_problem(httpx.post(f"{guarded}/v1/session", headers=wrong), 401, "unauthorized")
    check_problem(browser.post("/v1/session", headers=FROM_THE_PAGE), 401, "unauthorized")


def test_signing_out_ends_the_session(browser: httpx.Client) -> None:
    token = browser.cookies[COOKIE]
    answer = browser.delete("/v1/session", headers=FROM_THE_PAGE)
    assert answer.status_code == 204
    assert COOKIE not in browser.cookies
    browser.cookies.set(COOKIE, token)
    check_problem(browser.get("/v1/session"), 401, "unauthorized")


def test_a_new_session_ends_the_one_before(browser: httpx.Client) -> None:
    token = browser.cookies[COOKIE]
    browser.post("/v1/session", headers=HEADERS)
    assert browser.cookies[COOKIE] != token
    browser.cookies.clear()
    browser.cookies.set(COOKIE, token)
    check_problem(browser.get("/v1/session"), 401, "unauthorized")


def test_the_page_is_open_and_what_it_shows_is_not(guarded: str) -> None:
    assert httpx.get(guarded).status_code == 200
    assert httpx.get(f"{guarded}/page/main.js").status_code == 200
    check_problem(httpx.get(f"{guarded}/v1/session"), 401, "unauthorized")


def test_without_a_key_everybody_is_anonymous(client: httpx.Client) -> None:
    answer = client.post("/v1/session")
    assert answer.json() == {"name": "anonymous", "role": "admin", "records": False}
    assert "set-cookie" not in answer.headers
    assert client.get("/v1/session").json() == answer.json()


def test_a_session_ends_with_its_key(store: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    (gone, one), (_, other) = new_key("one", "reader"), new_key("other", "reader")
    keys.write_text(one.toml() + other.toml())
    with (
        running(make_settings(store, api_keys_file=keys)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert client.post("/v1/session", headers={"X-API-Key": gone}).json() == {
            "name": "one",
            "role": "reader",
            "records": False,
        }
        keys.write_text(other.toml())
        wait_for(lambda: client.get("/v1/session").status_code == 401, every_s=0.2)


def test_the_methods_of_a_path_with_several(client: httpx.Client) -> None:
    answer = client.put("/v1/session")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, POST"
