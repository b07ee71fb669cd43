"""A slow or dead database delays no answer and loses none; whoever looks at health sees it."""

import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.records import recorder as module
from service.records.database import Database
from service.records.keys import RecordKey
from service.records.ledger import Ledger
from service.records.location import Location
from service.records.store import Records
from tests.service import pictures
from tests.service.records.drift.streams import images
from tests.service.serving import RunningServer, make_settings, running, wait_for

FILES = {"file": pictures.png()}


def metric(server: RunningServer, name: str) -> float:
    lines = server.metrics.exposition().decode().splitlines()
    [value] = [line.split()[-1] for line in lines if line.startswith(name + " ")]
    return float(value)


def health(server: RunningServer) -> Any:
    return httpx.get(f"{server.url}/health/ready").json()


def test_a_database_that_comes_later(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", (0.05, 0.05))
    place = tmp_path / "place"
    place.write_text("a file where the folder of the database is to be")
    url = f"sqlite:///{place / 'records.sqlite3'}"
    key = tmp_path / "key"
    key.write_text("k" * 40)
    settings = make_settings(store, records=url, records_key_file=key, records_buffer=2)
    with running(settings) as server:
        wait_for(lambda: health(server) == {"status": "ready", "records": "records_unavailable"})
        for _ in range(3):
            answer = httpx.post(f"{server.url}/v1/predict", files=FILES)
            assert answer.status_code == 200
        assert metric(server, "wscxr_records_waiting") == 2
        assert metric(server, "wscxr_records_lost_total") == 1
        assert metric(server, "wscxr_records_healthy") == 0
        listed = httpx.get(f"{server.url}/v1/analyses")
        assert (listed.status_code, listed.json()["code"]) == (503, "records_unavailable")
        place.unlink()
        wait_for(lambda: health(server)["records"] == "ok")
        wait_for(lambda: metric(server, "wscxr_records_written_total") == 2)
        assert len(httpx.get(f"{server.url}/v1/analyses").json()["items"]) == 2


def test_a_slow_database(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add = Records.add

    def slow(*arguments: Any) -> None:
        time.sleep(1)
        add(*arguments)

    monkeypatch.setattr(Records, "add", slow)
    url = f"sqlite:///{tmp_path / 'records.sqlite3'}"
    with running(make_settings(store, records=url)) as server:
        for _ in range(3):
            assert httpx.post(f"{server.url}/v1/predict", files=FILES).status_code == 200
        assert metric(server, "wscxr_records_written_total") == 0
    # What waited was written before the service stopped.
    with running(make_settings(store, records=url)) as server:
        assert len(httpx.get(f"{server.url}/v1/analyses").json()["items"]) == 3


def test_warnings_of_drift_are_counted_by_model(store: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'records.sqlite3'}"
    location = Location.parse(url)
    assert location is not None
    database = Database(location)
    records = Records(database, Ledger(RecordKey.read(None, location)))
    rng = np.random.default_rng(0)
    for ago, sharpness in ((2, 0.02), (1, 0.02), (0, 0.03)):
        records.add([*images(ago, 200, rng, sharpness=sharpness)])
        records.add([*images(ago, 200, rng, model_name="other", model_sha256="d" * 64)])
    database.close()
    with running(make_settings(store, records=url)) as server:
        wait_for(lambda: b"wscxr_drift_warnings{" in server.metrics.exposition())
        assert metric(server, 'wscxr_drift_warnings{model="chest"}') == 1
        assert metric(server, 'wscxr_drift_warnings{model="other"}') == 0


def test_a_fault_in_looking_for_drift_hinders_no_record(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "look_for_drift", broken)
    url = f"sqlite:///{tmp_path / 'records.sqlite3'}"
    with running(make_settings(store, records=url)) as server:
        assert httpx.post(f"{server.url}/v1/predict", files=FILES).status_code == 200
        wait_for(lambda: metric(server, "wscxr_records_written_total") == 1)
        wait_for(lambda: "drift cannot be looked for" in caplog.text)
        assert health(server)["records"] == "ok"
