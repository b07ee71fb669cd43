"""Orthanc, scorer and watchers, all real processes or sockets."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.pacs.orthanc import Orthanc, installed
from tests.service.pacs.processes import WatcherProcess
from tests.service.pacs.scorer import Scorer

StartWatcher = Callable[..., WatcherProcess]


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    if not installed():
        missing = "NOT TESTED: Orthanc or its DICOMweb plugin is not installed"
        if os.environ.get("WSCXR_REQUIRE_ORTHANC"):
            pytest.fail(missing)
        pytest.skip(missing)
    server = Orthanc(tmp_path / "orthanc")
    server.start()
    yield server
    server.kill()  # nothing is kept of it


@pytest.fixture
def scorer() -> Iterator[Scorer]:
    server = Scorer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def watch(orthanc: Orthanc, scorer: Scorer, tmp_path: Path) -> Iterator[StartWatcher]:
    """Starts watchers; each name has a state and an output of its own."""
    started: list[WatcherProcess] = []

    def start(name: str = "watcher", **settings: Any) -> WatcherProcess:
        values = {key: str(value) for key, value in settings.items()}
        started.append(WatcherProcess(orthanc, scorer, tmp_path / name, **values))
        return started[-1]

    yield start
    for watcher in started:
        if watcher.running:
            watcher.kill()
