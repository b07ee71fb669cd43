"""A real server in a thread, ways to hold its detector, and what every answer must look like."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from service.app import create_app, server_config
from service.prometheus import Metrics
from service.scoring.batching import Batcher
from service.scoring.registry import Registry
from service.settings import Settings
from wscxr.anatomy import ModelInput
from wscxr.prediction import Prediction

PATIENCE_S = 300.0


def wait_for(
    condition: Callable[[], bool], *, every_s: float = 0.005, patience_s: float = PATIENCE_S
) -> None:
    """Wait until something holds; a bound against hanging, not a measure of time."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "never happened"
        time.sleep(every_s)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_settings(store: Path, **values: Any) -> Settings:
    return Settings(**{"model_store": store, "device": "cpu", "decode_workers": 2, **values})


def check_problem(response: httpx.Response, status: int, code: str) -> str:
    """Make sure that an answer is a well-formed problem; give its detail."""
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert problem["status"] == status
    assert problem["type"] == f"urn:wscxr:problem:{code}"
    assert problem["request_id"] == response.headers["x-request-id"]
    detail: str = problem["detail"]
    return detail


class RunningServer:
    """The app behind a socket."""

    def __init__(self, app: FastAPI, port: int) -> None:
        self.app = app
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.registry: Registry = app.state.registry
        self.metrics: Metrics = app.state.metrics

    def batcher(self, model: str | None = None) -> Batcher:
        return self.registry.get(model).batcher


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[RunningServer]:
    """Serve on a free port until the block ends; ready when it begins."""
    app = create_app(settings, stop=lambda: None)
    config = server_config(app, settings.model_copy(update={"port": 0}))
    with in_thread(uvicorn.Server(config)) as port:
        url = f"http://127.0.0.1:{port}/health/ready"
        wait_for(lambda: httpx.get(url).status_code == 200)
        yield RunningServer(app, port)


@contextlib.contextmanager
def in_thread(server: uvicorn.Server) -> Iterator[int]:
    """Run a server until the block ends; its port."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        port: int = server.servers[0].sockets[0].getsockname()[1]
        yield port
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def clean_environment(prefix: str = "WSCXR_", **settings: object) -> dict[str, str]:
    """The environment of this process with these settings of the project and no others."""
    own = {f"{prefix}{name.upper()}": str(value) for name, value in settings.items()}
    return {key: value for key, value in os.environ.items() if not key.startswith("WSCXR_")} | own


@contextlib.contextmanager
def served(store: Path, log: Path) -> Iterator[str]:
    """``wscxr serve`` in a process of its own, on a port that the system chooses; its address.

    Everything it writes goes to `log`. When the block ends, the process is stopped in order.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "wscxr", "serve", "--model-store", str(store)),
                *("--port", "0", "--device", "cpu"),
            ],
            # As Python has it in the tests: see `openvino_by_name`.
            env=clean_environment(engine="torch"),
            stdout=output,
            stderr=output,
            cwd=log.parent,
        )

    def address() -> str:
        assert process.poll() is None, log.read_text()
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        return found[0] if found else ""

    def ready() -> bool:
        url = address()
        return bool(url) and httpx.get(f"{url}/health/ready").status_code == 200

    try:
        wait_for(ready, every_s=0.05)
        yield address()
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, log.read_text()


class HeldDetector:
    """Stands before a real scorer: records batch sizes and computes only when let go."""

    def __init__(self, batcher: Batcher) -> None:
        self.batches: list[int] = []
        self.entered = threading.Event()
        self.go = threading.Event()
        self._score = batcher._score
        batcher._score = self

    def __call__(self, images: list[ModelInput]) -> Sequence[Prediction]:
        self.batches.append(len(images))
        self.entered.set()
        assert self.go.wait(PATIENCE_S)
        return self._score(images)
