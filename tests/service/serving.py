"""A real server in a thread, and ways to hold its detector."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import torch
import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.scoring.batching import Batcher
from service.scoring.runtime import Runtime
from service.settings import Settings
from wscxr.prediction import Prediction

PATIENCE_S = 300.0


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds; a bound against hanging, not a measure of time."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "never happened"
        time.sleep(0.005)


def make_settings(store: Path, **values: Any) -> Settings:
    return Settings(**{"model_store": store, "device": "cpu", "decode_workers": 2, **values})


class RunningServer:
    """The app behind a socket."""

    def __init__(self, app: FastAPI, port: int) -> None:
        self.app = app
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.runtime: Runtime = app.state.runtime

    def batcher(self, model: str | None = None) -> Batcher:
        return self.runtime.pipeline(self.runtime.registry.get(model)).batcher


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[RunningServer]:
    """Serve on a free port until the block ends; ready when it begins."""
    app = create_app(settings, stop=lambda: None)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/health/ready"
        wait_for(lambda: httpx.get(url).status_code == 200)
        yield RunningServer(app, port)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


class HeldDetector:
    """Stands before a real scorer: records batch sizes and computes only when let go."""

    def __init__(self, batcher: Batcher) -> None:
        self.batches: list[int] = []
        self.entered = threading.Event()
        self.go = threading.Event()
        self._score = batcher._score
        batcher._score = self

    def __call__(self, images: torch.Tensor) -> Sequence[Prediction]:
        self.batches.append(len(images))
        self.entered.set()
        assert self.go.wait(PATIENCE_S)
        return self._score(images)
