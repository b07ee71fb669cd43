"""The bridge with the real scoring service: its results, and its own route."""

import io
import json
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image

from service.app import create_app
from service.logs import SafeJsonFormatter
from tests.dicom_files import dataset
from tests.service.pacs.conftest import StartWatcher
from tests.service.pacs.orthanc import PASSWORD, USER, Orthanc
from tests.service.pacs.processes import get, pacs
from tests.service.pacs.scorer import Scorer, studies, study
from tests.service.serving import PATIENCE_S, RunningServer, make_settings, running, wait_for
from wscxr.errors import ConfigError
from wscxr.results.dicom.identity import is_own_result

KINDS = 2


@pytest.mark.slow
def test_a_second_watcher_with_an_empty_state_adds_nothing(
    orthanc: Orthanc, server: RunningServer, watch: StartWatcher, tmp_path: Path
) -> None:
    some = studies(3)
    orthanc.stow(list(some.values()))
    whole = len(some) * (1 + KINDS)
    first = watch("first", service_url=server.url)
    wait_for(lambda: len(orthanc.sops()) == whole)
    before = orthanc.sops()
    for sop in set(before) - set(some):
        header = pydicom.dcmread(io.BytesIO(orthanc.file(sop)))
        assert is_own_result(header)
    assert first.stop() == 0
    second = watch("second", service_url=server.url)
    done = tmp_path / "second" / "output"
    wait_for(lambda: done.read_text().count("instance done") == whole)
    assert done.read_text().count('"present"') == len(some)
    assert orthanc.sops() == before
    assert second.stop() == 0


def test_the_archive_shows_the_capture_as_it_was_drawn(
    orthanc: Orthanc, client: httpx.Client
) -> None:
    _, data = study(6)
    drawn = client.post("/v1/predict/dicom?only=sc", files={"file": ("x", data)}).content
    orthanc.stow([drawn])
    with orthanc.client() as archive:
        [instance] = archive.get("/instances").json()
        headers = {"Accept": "image/png"}
        shown = archive.get(f"/instances/{instance}/preview", headers=headers).content
    pixels = pydicom.dcmread(io.BytesIO(drawn)).pixel_array
    difference = np.asarray(Image.open(io.BytesIO(shown))).astype(int) - pixels
    # Two decoders of JPEG need not round alike.
    assert np.abs(difference).max() <= 3


def test_the_service_analyses_a_study_on_request(
    orthanc: Orthanc, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sop, data = study(5)
    lateral, skipped = study(5, ViewPosition="LL", SOPInstanceUID="1.2.3.4")
    orthanc.stow([data, skipped])
    monkeypatch.setenv("WSCXR_PACS_URL", orthanc.url)
    monkeypatch.setenv("WSCXR_PACS_USER", USER)
    monkeypatch.setenv("WSCXR_PACS_PASSWORD", PASSWORD)
    path = f"/v1/studies/{dataset(seed=5).StudyInstanceUID}/analyze"
    with running(make_settings(store)) as server:
        started = httpx.post(server.url + path)
        assert started.status_code == 202
        job = f"/v1/jobs/{started.json()['id']}"
        wait_for(lambda: get(server.port, job).json()["status"] != "running")
        ended = get(server.port, job).json()
        outcomes = {item["sop_instance_uid"]: item for item in ended["instances"]}
        assert ended["status"] == "done"
        assert outcomes[sop]["outcome"] == "stored"
        assert outcomes[lateral]["code"] == "lateral_view"
        assert len(orthanc.sops()) == 2 + KINDS
        again = httpx.post(server.url + path, params={"wait": True}, timeout=PATIENCE_S)
        assert again.status_code == 200
        assert {item["outcome"] for item in again.json()["instances"]} == {
            "present",
            "skipped",
            "own",
        }
        assert len(orthanc.sops()) == 2 + KINDS
        unknown = httpx.post(f"{server.url}/v1/studies/1.2.3/analyze?wait=true", timeout=PATIENCE_S)
        assert unknown.json()["code"] == "study_not_found"


def test_the_request_id_of_a_failure_leads_to_its_cause(
    orthanc: Orthanc,
    server: RunningServer,
    scorer: Scorer,
    watch: StartWatcher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("wscxr.results.dicom.make.make_results", broken)
    _, data = study(8)
    orthanc.stow([data])
    watcher = watch(service_url=server.url, tries=1)
    wait_for(lambda: "instance done" in watcher.output.read_text(), every_s=0.1)
    assert watcher.stop() == 0
    listed = pacs(["failed"], orthanc, scorer, tmp_path / "watcher")
    *_, code, _, request_id = listed.stdout.strip().split("\t")
    assert code == "analyser_fault"
    [ended] = [line for line in watcher.output.read_text().splitlines() if "instance done" in line]
    assert json.loads(ended)["request_id"] == request_id
    [record] = [
        record
        for record in caplog.records
        if record.exc_info and vars(record).get("request_id") == request_id
    ]
    assert record.exc_info is not None
    said = SafeJsonFormatter().formatException(record.exc_info)
    assert "ZeroDivisionError at " in said
    assert "broken" in said


@pytest.mark.slow
def test_one_process_does_it_all(
    orthanc: Orthanc, store: Path, scorer: Scorer, watch: StartWatcher, tmp_path: Path
) -> None:
    some = studies(2)
    orthanc.stow(list(some.values()))
    environment = {"MODEL_STORE": store, "DEVICE": "cpu", "DICOM_RESULTS": '["sc","sr"]'}
    own = {f"WSCXR_{name}": str(value) for name, value in environment.items()}
    watcher = watch(in_process=True, own=own)
    wait_for(lambda: len(orthanc.sops()) == len(some) * (1 + KINDS), every_s=0.1)
    assert watcher.stop() == 0
    assert scorer.calls == []
    uid = str(dataset(seed=0).StudyInstanceUID)
    again = pacs(
        ["analyze", "--study", uid, "--in-process"], orthanc, scorer, tmp_path / "watcher", own=own
    )
    assert sorted(line.split("\t")[1] for line in again.stdout.splitlines()) == [
        *["own"] * KINDS,
        "present",
    ]
    missing = watch("missing", in_process=True, own={**own, "WSCXR_MODEL": "missing"})
    assert missing.process.wait(PATIENCE_S) == 1
    assert "bundle_not_found" in missing.output.read_text()


def test_settings_of_the_pacs_are_checked_at_start(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSCXR_PACS_URL", "http://somebody:secret@pacs")
    with pytest.raises(ConfigError, match="credentials") as caught:
        create_app(make_settings(store))
    assert "secret@" not in str(caught.value)


def test_without_a_pacs_there_are_no_jobs(client: httpx.Client) -> None:
    answer = client.post("/v1/studies/1.2.3/analyze")
    assert (answer.status_code, answer.json()["code"]) == (404, "pacs_not_configured")
    assert client.post("/v1/studies/..%2Fx/analyze").status_code in {404, 422}
    missing = client.get(f"/v1/jobs/{uuid4()}")
    assert (missing.status_code, missing.json()["code"]) == (404, "job_not_found")
