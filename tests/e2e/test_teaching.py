"""Look, judge, export, teach, compare, promote: the whole way round, with the real parts."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers import run_cli
from tests.service.serving import RunningServer, make_settings, running, wait_for
from training.phantoms import write_phantoms


def analyse(server: RunningServer, file: Path) -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/v1/predict", files={"file": file.read_bytes()})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def judge(server: RunningServer, analysis: str, verdict: str) -> None:
    address = f"{server.url}/v1/analyses/{analysis}"
    wait_for(lambda: httpx.get(address).status_code == 200)
    body = {"verdict": verdict, "note": "", "revision": 0}
    assert httpx.post(f"{address}/reviews", json=body).status_code == 201


@pytest.mark.slow
def test_verdicts_become_the_next_version(trained: Path, phantoms: Path, tmp_path: Path) -> None:
    store = tmp_path / "model_store"
    shutil.copytree(trained, store / "chest" / "1")
    write_phantoms(tmp_path / "arrived", normal=14, abnormal=14, size=64, seed=9)
    records = f"sqlite:///{tmp_path / 'records.sqlite3'}"
    kept = tmp_path / "pictures"
    settings = make_settings(store, records=records, record_images=kept, store_poll_s=0.1)
    with running(settings) as server:
        for label in ("normal", "abnormal"):
            for file in sorted((tmp_path / "arrived" / label).iterdir()):
                judge(server, analyse(server, file)["id"], label)

        record = ("--records", records, "--record-images", kept)
        exported = run_cli("reviews", "export", *record, "--out", tmp_path / "reviewed")
        assert "14 abnormal and 14 normal images" in exported.out, exported.err

        data = ("--normal", phantoms / "normal", "--abnormal", phantoms / "abnormal")
        places = ("--model-store", store, "--report", tmp_path / "report")
        taught = run_cli("teach", "chest", "--reviews", tmp_path / "reviewed", *data, *places)
        assert taught.code == 0, taught.err
        assert (tmp_path / "report" / "comparison.html").is_file()
        example = next((tmp_path / "arrived" / "abnormal").iterdir())
        assert analyse(server, example)["model"]["version"] == "1"

        promoted = run_cli("bundle", "promote", "chest/2", "--model-store", store)
        assert promoted.code == 0, promoted.err
        wait_for(lambda: analyse(server, example)["model"]["version"] == "2", every_s=0.1)
        assert run_cli("bundle", "promote", "chest/1", "--model-store", store).code == 0
        wait_for(lambda: analyse(server, example)["model"]["version"] == "1", every_s=0.1)
