"""The commands beside a PACS, as far as they need none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import run_cli


def test_the_bridge_loads_no_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wscxr", "pacs", "failed", "--url", "http://127.0.0.1:1"]
    done = subprocess.run(
        [*command, "--state", str(tmp_path / "state.sqlite3")],
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "service.pacs.watcher" in loaded
    assert not loaded & {"torch", "torchvision", "fastapi", "highdicom"}


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
