"""The versions of a model in the model store, and who may take one into use."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.http.keys import new_key
from tests.helpers import write_tiny_bundle
from tests.service.serving import RunningServer, check_problem, make_settings, running
from wscxr.bundle.identity import ModelIdentity
from wscxr.bundle.signing import new_key as new_signing_key
from wscxr.bundle.signing import sign
from wscxr.bundle.store import read_manifest


@pytest.fixture
def versions(store: Path, tmp_path: Path) -> Path:
    """Versions 1, 2 and 10, of which 1 is in use, and 3, whose manifest was changed."""
    folder = tmp_path / "store"
    shutil.copytree(store / "tiny" / "1", folder / "tiny" / "1")
    for version in ("2", "10", "3"):
        write_tiny_bundle(folder / "tiny" / version, ood_threshold=5e3)
    changed = folder / "tiny" / "3" / "bundle.json"
    changed.write_bytes(changed.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    (folder / "tiny" / "current").write_text("1\n")
    return folder


def listed(url: str, **headers: str) -> dict[str, Any]:
    answer = httpx.get(f"{url}/v1/models/tiny/versions", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_versions_of_a_model(versions: Path) -> None:
    with running(make_settings(versions)) as server:
        found = listed(server.url)
        [served] = httpx.get(f"{server.url}/v1/models").json()["models"]
        assert found["in_use"] == {key: served[key] for key in ("name", "version", "sha256")}
        assert [(each["version"], each["in_use"]) for each in found["versions"]] == [
            ("10", False),
            ("3", False),
            ("2", False),
            ("1", True),
        ]
        _, changed, second, first = found["versions"]
        assert first["sha256"] == served["sha256"] != second["sha256"]
        assert second["training"] == served["training"]
        assert (first["error"], second["error"]) == (None, None)
        assert (changed["sha256"], changed["training"]) == (None, None)
        assert changed["error"] == {
            "code": "bundle_damaged",
            "summary": "A file of the bundle is missing, or its hash is wrong.",
        }

        url = f"{server.url}/v1/models/tiny/promote"
        assert httpx.post(url, json={"version": "2"}, timeout=60).status_code == 200
        found = listed(server.url)
        assert found["in_use"]["sha256"] == second["sha256"]
        assert [each["version"] for each in found["versions"] if each["in_use"]] == ["2"]
        detail = check_problem(
            httpx.post(url, json={"version": "3"}, timeout=60), 409, "promotion_failed"
        )
        assert detail == (
            "the old version stays; the new one cannot be used (bundle_damaged): "
            "A file of the bundle is missing, or its hash is wrong."
        )


@pytest.mark.parametrize("name", ["other", "..", "%2e%2e%2fstore%2ftiny", "tiny%2f1"])
def test_only_served_models_have_versions(server: RunningServer, name: str) -> None:
    answer = httpx.get(f"{server.url}/v1/models/{name}/versions")
    assert (answer.status_code, answer.json()["status"]) == (404, 404)


def test_a_version_that_was_replaced_on_disk_does_not_answer(versions: Path) -> None:
    with running(make_settings(versions)) as server:
        model = versions / "tiny"
        shutil.rmtree(model / "1")
        shutil.copytree(model / "2", model / "1")
        assert not any(each["in_use"] for each in listed(server.url)["versions"])
        (model / "1" / "bundle.json").write_bytes(b"{}")
        [first] = [each for each in listed(server.url)["versions"] if each["version"] == "1"]
        assert (first["in_use"], first["error"]["code"]) == (True, "bundle_damaged")


def test_a_version_that_nobody_trusted_signed(versions: Path, tmp_path: Path) -> None:
    private = tmp_path / "private.pem"
    public = new_signing_key(private)
    for version in versions.glob("tiny/[12]"):
        sign(version, ModelIdentity.at(version, read_manifest(version).sha256), private)
    with running(make_settings(versions, trusted_keys=(public,))) as server:
        codes = {
            each["version"]: each["error"] and each["error"]["code"]
            for each in listed(server.url)["versions"]
        }
        assert codes == {"1": None, "2": None, "3": "bundle_damaged", "10": "bundle_unsigned"}


def test_a_reader_sees_versions_but_takes_none_into_use(versions: Path, tmp_path: Path) -> None:
    reader, reader_entry = new_key("dr-a", "reader")
    admin, admin_entry = new_key("ml", "admin")
    keys = tmp_path / "keys.toml"
    keys.write_text(reader_entry.toml() + admin_entry.toml())
    with running(make_settings(versions, api_keys_file=keys)) as server:
        url = f"{server.url}/v1/models/tiny"
        check_problem(httpx.get(f"{url}/versions"), 401, "unauthorized")
        refused = httpx.post(
            f"{url}/promote", json={"version": "2"}, headers={"X-API-Key": reader}, timeout=60
        )
        check_problem(refused, 403, "forbidden")
        assert listed(server.url, **{"X-API-Key": reader})["in_use"]["version"] == "1"
        taken = httpx.post(
            f"{url}/promote", json={"version": "2"}, headers={"X-API-Key": admin}, timeout=60
        )
        assert taken.json()["version"] == "2"
        assert listed(server.url, **{"X-API-Key": reader})["in_use"]["version"] == "2"
