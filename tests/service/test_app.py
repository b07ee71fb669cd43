"""The server as an operator starts and stops it: its own process, environment, signals."""

import asyncio
import hashlib
import json
import logging
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
import uvicorn

from service import app as app_module
from service.app import create_app, serve
from service.settings import Settings
from tests.service import pictures
from tests.service.serving import PATIENCE_S, clean_environment, free_port, make_settings, wait_for
from wscxr.bundle.manifest import BundleManifest

KEY = "an-api-key-of-good-length"


def start(store: Path, *arguments: str, **values: str) -> "subprocess.Popen[str]":
    environment = clean_environment(model_store=store, **values)
    command = arguments or (
        "-c",
        "from service.app import serve; from service.settings import Settings; serve(Settings())",
    )
    return subprocess.Popen(
        [sys.executable, *command], env=environment, stderr=subprocess.PIPE, text=True
    )


def damaged(store: Path) -> None:
    with (store / "tiny/1/backbone.safetensors").open("ab") as file:
        file.write(b"\0")


def missing_file(store: Path) -> None:
    (store / "tiny/1/golden.json").unlink()


def failing_golden(store: Path) -> None:
    """A bundle that is whole, but does not score as it did when it was written."""
    folder = store / "tiny/1"
    cases = json.loads((folder / "golden.json").read_bytes())
    cases[0]["score"] += 1
    golden = json.dumps(cases).encode()
    (folder / "golden.json").write_bytes(golden)
    manifest = BundleManifest.model_validate_json((folder / "bundle.json").read_bytes())
    files = {**manifest.files, "golden.json": hashlib.sha256(golden).hexdigest()}
    sealed = manifest.model_copy(update={"files": files}).sealed()
    (folder / "bundle.json").write_text(sealed.model_dump_json())


def emptied(store: Path) -> None:
    shutil.rmtree(store / "tiny")


def untouched(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "values", "code"),
    [
        (emptied, {}, "bundle_not_found"),
        (untouched, {"model": "tiny/2"}, "bundle_not_found"),
        (damaged, {}, "bundle_damaged"),
        (missing_file, {}, "bundle_damaged"),
        (failing_golden, {}, "golden_check_failed"),
        pytest.param(
            untouched,
            {"device": "cuda"},
            "device_unavailable",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here"),
        ),
    ],
)
@pytest.mark.usefixtures("own_logging")
def test_start_up_refuses(
    store: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    values: dict[str, Any],
    code: str,
) -> None:
    shutil.copytree(store, tmp_path, dirs_exist_ok=True)
    change(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        serve(make_settings(tmp_path, port=free_port(), **values))
    assert stopped.value.code == 1
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    [refusal] = [line for line in lines if line["level"] == "CRITICAL"]
    assert (refusal["message"], refusal["code"]) == ("start-up refused", code)
    assert refusal["reason"]


@pytest.mark.parametrize("command", [(), ("-m", "uvicorn", "service.app:app", "--port", "0")])
def test_a_refusal_ends_the_process(tmp_path: Path, command: tuple[str, ...]) -> None:
    process = start(tmp_path, *command, port="0")
    _, written = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert "Traceback" not in written
    assert '"bundle_not_found"' in written


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    process = start(tmp_path, "-m", "uvicorn", "service.app:app", api_key="short")
    _, written = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    [line] = written.splitlines()
    assert "shorter than 16" in json.loads(line)["reason"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ((), 0),
        (("-m", "wscxr", "serve"), 0),
        # uvicorn's own command ends by the signal, as shells report with 143.
        (("-m", "uvicorn", "service.app:app"), -signal.SIGTERM),
    ],
)
def test_sigterm_finishes_what_is_under_way(
    store: Path, command: tuple[str, ...], code: int
) -> None:
    port = free_port()
    arguments = (*command, "--port", str(port)) if command else ()
    process = start(store, *arguments, port=str(port))

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
        except httpx.ConnectError:
            assert process.poll() is None
            return False

    def refuses() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return True
        return False

    try:
        wait_for(answers)
        request = httpx.Request(
            "POST",
            f"http://127.0.0.1:{port}/v1/predict?view=QUERY-MARKER",
            files={"file": ("NAME-MARKER", pictures.png())},
        )
        body = request.read()
        head = "POST " + request.url.raw_path.decode() + " HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        head += "Expect: 100-continue\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            connection.sendall(head.encode() + b"\r\n" + body[:100])
            # What lies in the queue of the port when that closes is lost; this is under way.
            assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            process.send_signal(signal.SIGTERM)
            wait_for(refuses)
            connection.sendall(body[100:])
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"decision"' in answer
        _, written = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code
    lines = [json.loads(line) for line in written.splitlines()]
    assert any(line.get("route") == "/v1/predict" for line in lines)
    assert "MARKER" not in written


@pytest.mark.usefixtures("own_logging")
def test_serving_until_told_to_stop(
    store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    servers: list[uvicorn.Server] = []

    class Remembered(uvicorn.Server):
        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            servers.append(self)

    monkeypatch.setattr(uvicorn, "Server", Remembered)
    port = free_port()
    host = "0.0.0.0"  # noqa: S104 - to be warned of it
    settings = make_settings(store, port=port, host=host, header_timeout_s=0.2)
    thread = threading.Thread(target=serve, args=[settings])
    thread.start()
    wait_for(lambda: bool(servers) and servers[0].started)
    wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200)
    # Load balancers keep idle connections for 60 s, and would send a request on one just closed.
    assert servers[0].config.timeout_keep_alive > 60
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(b"GET")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
    servers[0].should_exit = True
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert "no API key is set" in capfd.readouterr().err


def test_a_failure_nobody_foresaw_ends_the_process(
    store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Settings) -> None:
        raise MemoryError("patient Jane Doe")

    monkeypatch.setattr("service.scoring.registry.load_bundles", broken)

    async def main() -> None:
        stopped = asyncio.Event()
        app = create_app(make_settings(store), stop=stopped.set)
        async with app.router.lifespan_context(app), asyncio.timeout(PATIENCE_S):
            await stopped.wait()

    asyncio.run(main())
    [record] = [r for r in caplog.records if r.levelno == logging.CRITICAL]
    assert record.message == "start-up failed"


@pytest.mark.usefixtures("own_logging")
def test_the_app_from_the_environment(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSCXR_MODEL_STORE", str(store))
    assert app_module.app.state.settings.model_store == store
    with pytest.raises(AttributeError):
        app_module.nothing  # noqa: B018 - asking is the test
    monkeypatch.setenv("WSCXR_PORT", "-1")
    with pytest.raises(SystemExit) as stopped:
        _ = app_module.app
    assert stopped.value.code == 2


def test_stop_process() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        app_module.stop_process()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_importing_the_app_changes_nothing() -> None:
    code = (
        "import logging, os, sys; before = dict(os.environ), logging.root.handlers[:]; "
        "import service.app; after = dict(os.environ), logging.root.handlers[:]; "
        "print(before == after, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"]
