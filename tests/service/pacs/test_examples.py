"""The example that works on a PACS."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.dicom_files import dataset
from tests.service.pacs.orthanc import PASSWORD, USER, Orthanc
from tests.service.pacs.scorer import study
from tests.service.serving import make_settings, running

SCRIPT = Path(__file__).parents[3] / "examples" / "pacs_study.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], text=True, capture_output=True)


def test_pacs_study(orthanc: Orthanc, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sop, data = study(5)
    orthanc.stow([data])
    monkeypatch.setenv("WSCXR_PACS_URL", orthanc.url)
    monkeypatch.setenv("WSCXR_PACS_USER", USER)
    monkeypatch.setenv("WSCXR_PACS_PASSWORD", PASSWORD)
    with running(make_settings(store)) as server:
        done = run(str(dataset(seed=5).StudyInstanceUID), "--url", server.url)
        missing = run("1.2.3", "--url", server.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [sop, "stored"]
    assert missing.returncode == 1
    assert "study_not_found" in missing.stderr


def test_without_a_pacs_it_says_so(store: Path) -> None:
    with running(make_settings(store)) as server:
        ran = run("1.2.3", "--url", server.url)
    assert ran.returncode == 1
    assert "[pacs_not_configured]" in ran.stderr
