"""The commands beside a PACS, as far as they need none."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.pacs.state import State
from tests.helpers import one_line_error, run_cli


def known(folder: Path, archive: str) -> Path:
    """A state file that knows an archive, with one failure."""
    path = folder / "state.sqlite3"
    with contextlib.closing(State(path, archive)) as state:
        state.fail("key", "1.2.3", "corrupt_image")
    return path


def test_the_bridge_loads_nothing_that_scores(tmp_path: Path) -> None:
    path = known(tmp_path, "http://127.0.0.1:1/")
    command = [sys.executable, "-m", "wscxr", "pacs", "failed", "--url", "http://127.0.0.1:1"]
    done = subprocess.run(
        [*command, "--state", str(path)],
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "service.pacs.watcher" in loaded
    scoring = {"torch", "torchvision", "fastapi", "highdicom", "contourpy", "imagecodecs", "scipy"}
    assert not loaded & scoring
    assert not any(name.startswith(("service.scoring", "wscxr.model")) for name in loaded)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["failed"], "url: Field required"),
        (["failed", "--url", "pacs"], "url: Input should be a valid URL"),
        (["analyze", "--study", "1.2", "--url", "http://a", "--kind", "fax"], "kind: Input should"),
    ],
)
def test_settings_are_checked(arguments: list[str], said: str) -> None:
    ran = run_cli("pacs", *arguments)
    assert ran.code == 2
    assert said in ran.err


@pytest.mark.parametrize(
    ("recorded", "asked"),
    [
        ("http://pacs:8042/", ["--url", "http://pacs:8042"]),
        ("http://pacs/", ["--url", "HTTP://PACS:80"]),
        ("http://pacs/dicom-web", ["--url", "http://pacs/dicom-web/"]),
        ("http://pacs/dicom-web/", ["--url", "http://pacs/dicom-web"]),
        ("main", ["--url", "http://10.0.0.7:8042", "--archive", "main"]),
        ("http://pacs:8042/", ["--url", "http://pacs:8042", "--archive", "main"]),
    ],
)
def test_an_archive_is_known_however_its_address_is_spelled(
    tmp_path: Path, recorded: str, asked: list[str]
) -> None:
    path = known(tmp_path, recorded)
    for _ in range(2):
        ran = run_cli("pacs", "failed", *asked, "--state", path)
        assert (ran.code, ran.out.split()[2:]) == (0, ["corrupt_image", "1.2.3", "-"])


@pytest.mark.parametrize("command", ["failed", "retry"])
def test_an_archive_that_the_state_does_not_know(tmp_path: Path, command: str) -> None:
    path = known(tmp_path, "http://pacs:8042/")
    ran = run_cli("pacs", command, "--url", "http://other:8042", "--state", path)
    assert "holds nothing of this archive" in one_line_error(ran, 1, "invalid_pacs_state")


@pytest.mark.parametrize("command", ["failed", "retry"])
def test_reading_creates_no_state(tmp_path: Path, command: str) -> None:
    path = tmp_path / "mistyped.sqlite3"
    ran = run_cli("pacs", command, "--url", "http://pacs:8042", "--state", path)
    assert str(path) in one_line_error(ran, 1, "invalid_pacs_state")
    assert not list(tmp_path.iterdir())
    path.touch()
    ran = run_cli("pacs", command, "--url", "http://pacs:8042", "--state", path)
    assert "is no state file" in one_line_error(ran, 1, "invalid_pacs_state")
    assert path.stat().st_size == 0
