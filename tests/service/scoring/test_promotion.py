"""Another version is taken into use while requests come in."""

import shutil
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers import one_line_error, run_cli
from tests.service import pictures
from tests.service.serving import RunningServer, check_problem, make_settings, running, wait_for

FILES = {"file": pictures.png()}


@pytest.fixture
def versions(store: Path, tmp_path: Path) -> Path:
    """A store with versions 1 and 2, where 1 is in use, and a damaged version 3."""
    folder = tmp_path / "store"
    for version in "123":
        shutil.copytree(store / "tiny" / "1", folder / "tiny" / version)
    (folder / "tiny" / "3" / "discriminator.safetensors").write_bytes(b"damaged")
    (folder / "tiny" / "current").write_text("1\n")
    return folder


def version_of(server: RunningServer) -> str:
    answer = httpx.post(f"{server.url}/v1/predict", files=FILES, timeout=60)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["model"]["version"]
    return found


def wait_until_asked(seen: list[str], times: int) -> None:
    until = len(seen) + times
    wait_for(lambda: len(seen) >= until)


def promote(server: RunningServer, version: Any) -> httpx.Response:
    url = f"{server.url}/v1/models/tiny/promote"
    return httpx.post(url, json={"version": version}, timeout=60)


def test_no_request_is_refused(versions: Path) -> None:
    with running(make_settings(versions)) as server:
        seen: list[str] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                seen.append(version_of(server))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for version in ("2", "1", "2"):
                answer = promote(server, version)
                assert (answer.status_code, answer.json()["version"]) == (200, version)
                wait_until_asked(seen, 6)
                assert set(seen[-2:]) == {version}
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert (versions / "tiny" / "current").read_text() == "2\n"
        assert httpx.get(f"{server.url}/v1/models/tiny").json()["version"] == "2"


def test_if_anything_fails_the_old_version_stays(versions: Path) -> None:
    with running(make_settings(versions)) as server:
        check_problem(promote(server, "3"), 409, "promotion_failed")
        check_problem(promote(server, "4"), 404, "version_not_found")
        check_problem(promote(server, "../tiny/2"), 404, "version_not_found")
        check_problem(promote(server, 2), 422, "invalid_request")
        assert version_of(server) == "1"
        assert (versions / "tiny" / "current").read_text() == "1\n"


def test_a_pinned_version_stays(versions: Path) -> None:
    with running(make_settings(versions, model="tiny/1")) as server:
        check_problem(promote(server, "2"), 409, "model_pinned")


def test_the_store_is_looked_at(versions: Path) -> None:
    with running(make_settings(versions, store_poll_s=0.05)) as server:
        ran = run_cli("bundle", "promote", "tiny/2", "--model-store", versions)
        assert (ran.code, ran.out.strip()) == (0, "tiny: 2 is in use; it was 1")
        wait_for(lambda: version_of(server) == "2")
        (versions / "tiny" / "current").write_text("3")
        (versions / "tiny" / "current").write_text("../x")
        (versions / "tiny" / "current").write_text("1")
        wait_for(lambda: version_of(server) == "1")
    refused = run_cli("bundle", "promote", "tiny/3", "--model-store", versions)
    one_line_error(refused, 4, "bundle_damaged")
    with running(make_settings(versions)) as server:
        assert version_of(server) == "1"
