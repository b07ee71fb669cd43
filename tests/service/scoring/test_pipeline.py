"""Full queues, deadlines and clients that go: the detector is held, so nothing depends on luck."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.scoring import pipeline
from tests.service import pictures
from tests.service.serving import (
    PATIENCE_S,
    HeldDetector,
    RunningServer,
    check_problem,
    make_settings,
    running,
    wait_for,
)
from wscxr.errors import CorruptImage
from wscxr.imaging import Radiograph

FILES = {"file": pictures.png()}


def predict(server: RunningServer) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/predict", files=FILES, timeout=30)


def outcomes(server: RunningServer, code: str) -> float:
    lines = server.metrics.exposition().decode().splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if "requests_total{" in line and code in line
    )


def test_a_full_queue(held: RunningServer) -> None:
    detector = HeldDetector(held.batcher())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(predict, held)
        assert detector.entered.wait(PATIENCE_S)
        second = pool.submit(predict, held)
        wait_for(lambda: held.batcher().depth == 1)
        refused = predict(held)
        check_problem(refused, 503, "queue_full")
        assert refused.headers["retry-after"] == "1"
        parts: list[Any] = [("files", pictures.png())] * 2
        batch = httpx.post(f"{held.url}/v1/predict/batch", files=parts)
        check_problem(batch, 503, "queue_full")
        detector.go.set()
        assert first.result().status_code == second.result().status_code == 200
    assert predict(held).status_code == 200


def test_stuck_decoders_make_the_service_unready(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def hang(*_: object, **__: object) -> Radiograph:
        assert go.wait(PATIENCE_S)
        raise CorruptImage

    with running(make_settings(store, request_timeout_s=0.5, decode_workers=2)) as server:
        ready = f"{server.url}/health/ready"
        monkeypatch.setattr(pipeline, "read_radiograph", hang)
        check_problem(predict(server), 504, "deadline_exceeded")
        assert httpx.get(ready).status_code == 200  # one thread is left
        check_problem(predict(server), 504, "deadline_exceeded")
        wait_for(lambda: httpx.get(ready).status_code == 503)
        check_problem(httpx.get(ready), 503, "workers_stuck")
        check_problem(predict(server), 503, "workers_stuck")
        go.set()
        wait_for(lambda: httpx.get(ready).status_code == 200)


def test_a_deadline(store: Path) -> None:
    go = threading.Event()
    with running(make_settings(store, request_timeout_s=0.5)) as server:
        detector = HeldDetector(server.batcher())
        detector.go.set()
        server.registry._inference.submit(go.wait, PATIENCE_S)
        for _ in range(3):
            check_problem(predict(server), 504, "deadline_exceeded")
        parts: list[Any] = [("files", pictures.png())]
        [item] = httpx.post(f"{server.url}/v1/predict/batch", files=parts).json()["items"]
        assert item["error"]["code"] == "deadline_exceeded"
        go.set()
    # The first may have been on its way into the detector; none of the others was computed.
    assert detector.batches in ([], [1])


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/batch"])
def test_a_client_that_has_gone_is_not_computed_for(held: RunningServer, path: str) -> None:
    detector = HeldDetector(held.batcher())
    field = "files" if path.endswith("batch") else "file"
    request = httpx.Request("POST", held.url + path, files=[(field, pictures.png())])
    head = f"POST {path} HTTP/1.1\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in request.headers.items()
    )
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(predict, held)
        assert detector.entered.wait(PATIENCE_S)
        with socket.create_connection(("127.0.0.1", held.port)) as connection:
            connection.sendall(head.encode() + b"\r\n" + request.read())
            wait_for(lambda: held.batcher().depth == 1)
        wait_for(lambda: outcomes(held, "client_gone") == 1)
        detector.go.set()
        assert first.result().status_code == 200
    assert predict(held).status_code == 200
    assert detector.batches == [1, 1]


def test_a_client_that_goes_in_the_midst_of_its_upload(held: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", held.port)) as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
    wait_for(lambda: outcomes(held, "client_gone") == 1)


def test_a_failing_detector(held: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise ValueError("patient Jane Doe")

    held.batcher()._score = broken  # type: ignore[assignment]
    response = predict(held)
    check_problem(response, 500, "inference_failed")
    assert "Jane" not in response.text
    [record] = [r for r in caplog.records if r.message == "inference failed"]
    assert vars(record)["request_id"] == response.headers["x-request-id"]
    assert record.exc_info is not None


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/batch"])
def test_what_nobody_foresaw(
    held: RunningServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def broken(_: bytes, __: object) -> None:
        raise RuntimeError("patient Jane Doe")

    monkeypatch.setattr("service.scoring.pipeline.read_radiograph", broken)
    field = "files" if path.endswith("batch") else "file"
    response = httpx.post(held.url + path, files={field: pictures.png()})
    assert "Jane" not in response.text
    if field == "files":
        assert response.json()["items"][0]["error"]["code"] == "internal_error"
    else:
        check_problem(response, 500, "internal_error")
