"""Orthanc, scorer and watchers, all real processes or sockets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.service.pacs.orthanc import Orthanc, installed, need
from tests.service.pacs.processes import WatcherProcess
from tests.service.pacs.scorer import Scorer

StartOrthanc = Callable[..., Orthanc]
StartWatcher = Callable[..., WatcherProcess]


@pytest.fixture
def start_orthanc(tmp_path: Path) -> Iterator[StartOrthanc]:
    """Starts an Orthanc with plugins and configuration beyond the usual."""
    need(installed(), "orthanc orthanc-dicomweb dcmtk")
    started: list[Orthanc] = []

    def start(plugins: Sequence[Path] = (), **more: Any) -> Orthanc:
        started.append(Orthanc(tmp_path / "orthanc", plugins, **more))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.kill()  # nothing is kept of it


@pytest.fixture
def orthanc(start_orthanc: StartOrthanc) -> Orthanc:
    return start_orthanc()


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

    def start(
        name: str = "watcher", own: Mapping[str, str] | None = None, **settings: Any
    ) -> WatcherProcess:
        values = {key: str(value) for key, value in settings.items()}
        started.append(WatcherProcess(orthanc, scorer, tmp_path / name, own=own, **values))
        return started[-1]

    yield start
    for watcher in started:
        if watcher.running:
            watcher.stop()
