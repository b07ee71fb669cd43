"""The bridge with the real scoring service: its results, and its own route."""

import io
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image

from service.app import create_app
from tests.dicom_files import dataset
from tests.service.pacs.conftest import StartWatcher
from tests.service.pacs.orthanc import PASSWORD, USER, Orthanc
from tests.service.pacs.processes import get
from tests.service.pacs.scorer import studies, study
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
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(shown))), pixels)


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
