"""What hospitals paste, each run as it lies in ``integrations/``."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from service.pacs.settings import PacsSettings
from tests.dicom_files import PATIENT_ID
from tests.service.pacs.conftest import StartOrthanc
from tests.service.pacs.orthanc import PASSWORD, PLUGINS, USER, Orthanc, need
from tests.service.pacs.scorer import study
from tests.service.serving import (
    PATIENCE_S,
    RunningServer,
    free_port,
    make_settings,
    running,
    wait_for,
)
from wscxr.results.dicom.identity import is_own_result

FOLDER = Path(__file__).parents[3] / "integrations"
KINDS = 2
KEY = "key-of-the-service"


def results(orthanc: Orthanc, sources: list[str]) -> list[pydicom.Dataset]:
    """Headers of all that is there beside the sources."""
    return [
        pydicom.dcmread(io.BytesIO(orthanc.file(sop)))
        for sop in orthanc.sops()
        if sop not in sources
    ]


def assert_results_of(orthanc: Orthanc, sop: str, others: list[str]) -> None:
    source = pydicom.dcmread(io.BytesIO(orthanc.file(sop)))
    found = results(orthanc, [sop, *others])
    assert sorted(item.Modality for item in found) == ["OT", "SR"]
    assert all(is_own_result(item) for item in found)
    assert {item.StudyInstanceUID for item in found} == {source.StudyInstanceUID}


def ran(command: list[object], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture
def guarded(store: Path) -> Iterator[RunningServer]:
    """A service that wants an API key."""
    with running(make_settings(store, api_key=KEY)) as started:
        yield started


def test_curl_scores_a_file(guarded: RunningServer, tmp_path: Path) -> None:
    need(shutil.which("curl") is not None, "curl")
    file, out = tmp_path / "Doe, Jane.dcm", tmp_path / "out.dcm"
    _, data = study(1)
    file.write_bytes(data)
    told = {"WSCXR_URL": guarded.url, "WSCXR_API_KEY": KEY}
    scored = ran(["sh", FOLDER / "score.sh", file], **told)
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["decision"] in {"normal", "abnormal"}
    saved = ran(["sh", FOLDER / "score.sh", file, "sr", out], **told)
    assert saved.returncode == 0, saved.stderr
    assert pydicom.dcmread(out).Modality == "SR"
    refused = ran(["sh", FOLDER / "score.sh", file], **{**told, "WSCXR_API_KEY": "wrong"})
    assert refused.returncode != 0
    assert json.loads(refused.stdout)["code"] == "unauthorized"


def test_plain_python_scores_and_stores(
    orthanc: Orthanc, guarded: RunningServer, tmp_path: Path
) -> None:
    sop, data = study(2)
    lateral, skipped = study(2, ViewPosition="LL", SOPInstanceUID="1.2.3.4")
    orthanc.stow([data, skipped])
    good, bad = tmp_path / "good.dcm", tmp_path / "bad.dcm"
    good.write_bytes(data)
    bad.write_bytes(skipped)
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    told = {
        "WSCXR_URL": guarded.url,
        "WSCXR_API_KEY": KEY,
        "PACS_AUTHORIZATION": f"Basic {basic}",
    }
    command = [sys.executable, FOLDER / "score_study.py", f"{orthanc.url}/dicom-web"]
    first = ran([*command, bad, good, tmp_path / "missing"], **told)
    assert first.returncode == 1
    assert first.stdout.splitlines() == [
        "1 of 3: lateral_view",
        "2 of 3: stored",
        "3 of 3: FileNotFoundError",
    ]
    assert_results_of(orthanc, sop, [lateral])
    again = ran([*command, good], **told)
    assert again.returncode == 0
    assert len(orthanc.sops()) == 2 + KINDS


@pytest.mark.slow
def test_lua_sends_complete_studies_for_analysis(
    start_orthanc: StartOrthanc, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("WSCXR_PACS_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("WSCXR_PACS_USER", USER)
    monkeypatch.setenv("WSCXR_PACS_PASSWORD", PASSWORD)
    with running(make_settings(store, api_key=KEY)) as service:
        monkeypatch.setenv("WSCXR_URL", service.url)
        monkeypatch.setenv("WSCXR_API_KEY", KEY)
        script = str(FOLDER / "orthanc_autoroute.lua")
        orthanc = start_orthanc(LuaScripts=[script], StableAge=1, HttpPort=port)
        sop, data = study(3)
        orthanc.stow([data])
        wait_for(lambda: len(orthanc.sops()) == 1 + KINDS)
        assert_results_of(orthanc, sop, [])


PYTHON_PLUGIN = PLUGINS / "libOrthancPython.so"


@pytest.mark.slow
def test_the_python_plugin_scores_what_arrives(
    start_orthanc: StartOrthanc,
    guarded: RunningServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need(PYTHON_PLUGIN.exists(), "orthanc-python")
    monkeypatch.setenv("WSCXR_URL", guarded.url)
    monkeypatch.setenv("WSCXR_API_KEY", KEY)
    script = str(FOLDER / "orthanc_plugin.py")
    orthanc = start_orthanc([PYTHON_PLUGIN], PythonScript=script, PythonVerbose=False)
    sop, data = study(4)
    lateral, skipped = study(4, ViewPosition="LL", SOPInstanceUID="1.2.3.4")
    scan, other = study(4, Modality="CT", SOPInstanceUID="1.2.3.5")
    orthanc.stow([skipped, other, data])
    wait_for(lambda: len(orthanc.sops()) == 3 + KINDS)
    assert_results_of(orthanc, sop, [lateral, scan])
    log = (tmp_path / "orthanc" / "log").read_text()
    assert re.search("wscxr refused .*HTTP 422", log)
    assert PATIENT_ID not in log


UNIT = (FOLDER / "wscxr-pacs.service").read_text()


def test_the_systemd_unit_sets_what_there_is() -> None:
    names = set(re.findall(r"WSCXR_PACS_([A-Z_]+)=", UNIT))
    assert {"URL", "STATE", "PASSWORD_FILE"} <= names
    assert names <= {name.upper() for name in PacsSettings.model_fields}


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="needs systemd-analyze; on Debian: apt-get install systemd",
)
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("wscxr")
    unit = tmp_path / "wscxr-pacs.service"
    unit.write_text(UNIT.replace("/opt/wscxr/bin/wscxr", str(command)))
    verified = ran(["systemd-analyze", "verify", unit])
    assert verified.returncode == 0, verified.stderr
    assert "wscxr-pacs.service" not in verified.stderr
