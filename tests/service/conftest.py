"""Real parts for the tests of the service: bundles, servers, clients."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.helpers import write_tiny_bundle
from tests.service.serving import PATIENCE_S, RunningServer, make_settings, running


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with one small bundle, tiny/1."""
    path = tmp_path_factory.mktemp("model_store")
    write_tiny_bundle(path / "tiny" / "1")
    return path


@pytest.fixture(scope="session")
def server(store: Path) -> Iterator[RunningServer]:
    """One server for all tests that neither hold its detector nor count its requests."""
    with running(make_settings(store, max_body_bytes=2_000_000, max_files=4)) as started:
        yield started


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


@pytest.fixture
def held(store: Path) -> Iterator[RunningServer]:
    """A server of its own, with two places and batches of two."""
    settings = make_settings(store, queue_size=2, max_batch=2, max_files=2)
    with running(settings) as started:
        yield started


@pytest.fixture(autouse=True)
def no_loading_left() -> Iterator[None]:
    """Wait for a server that a test stopped while it loaded its models.

    Its thread draws from PyTorch's global random state, and the next test may do so too.
    """
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("inference"):
            thread.join(PATIENCE_S)


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Undo what `configure_logging` does to the process."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    names = ("service", "wscxr", "uvicorn", "uvicorn.error", "uvicorn.access")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:], root.level = before
    logging.captureWarnings(capture=False)
    logging.getLogger("uvicorn.access").disabled = False
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
