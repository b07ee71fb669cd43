import io
import json
import logging
import sys
from typing import Any

import httpx
import pytest

from service.logs import FloodFilter, SafeJsonFormatter, configure_logging
from tests.service import pictures
from tests.service.serving import RunningServer, wait_for

MARKER = "SECRET-JANE-DOE"


@pytest.mark.usefixtures("own_logging")
def test_nothing_a_client_sent_is_logged(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging("info")
    written = io.StringIO()
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    headers = {"X-Request-ID": MARKER, "User-Agent": MARKER, "X-API-Key": MARKER}
    with httpx.Client(base_url=server.url, headers=headers) as client:
        named: dict[str, Any] = {"file": (f"{MARKER}.png", pictures.png(), f"image/{MARKER}")}
        ids = [
            client.request(method, path, files=files)
            for method, path, files in [
                ("POST", f"/v1/predict?view={MARKER}", named),
                ("POST", f"/v1/predict?model={MARKER}", named),
                ("POST", "/v1/predict", {MARKER: (MARKER, b"")}),
                ("GET", f"/v1/models/{MARKER}", None),
                ("GET", f"/{MARKER}?x={MARKER}", None),
                ("PROPFIND", "/v1/predict", None),
                ("POST", f"/v1/predict?{MARKER}=1", named),
            ]
        ]

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError(MARKER)

        monkeypatch.setattr("service.scoring.pipeline.read_radiograph", broken)
        ids.append(client.post("/v1/predict", files=named))
    known = [response.headers["x-request-id"] for response in ids]

    def logged_requests() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in written.getvalue().splitlines()]
        requests = [line for line in lines if line["message"] == "request"]
        # Of others before them, one may still come in.
        return [line for line in requests if line["request_id"] in known]

    # A request is logged after its answer is on its way.
    wait_for(lambda: len(logged_requests()) == len(known))
    access = logged_requests()
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert MARKER not in written.getvalue()
    assert [line["request_id"] for line in access] == known
    assert [line["status"] for line in access] == [200, 404, 422, 404, 404, 405, 422, 500]
    assert access[0]["route"] == "/v1/predict"
    assert access[3]["route"] == "/v1/models/{name}"
    assert access[4]["route"] == "unmatched"
    assert all(line["duration_ms"] > 0 and line["timestamp"] for line in access)
    [unexpected] = [line for line in lines if line["message"] == "unexpected error"]
    assert "RuntimeError at" in unexpected["exc_info"]
    assert "test_logs.py" in unexpected["exc_info"]


def test_exceptions_are_told_without_their_message() -> None:
    try:
        try:
            raise KeyError(MARKER)
        except KeyError as error:
            raise ValueError(MARKER) from error
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "it failed", (), None)
        record.exc_info = sys.exc_info()
    line = json.loads(SafeJsonFormatter().format(record))
    assert MARKER not in str(line)
    assert "ValueError at" in line["exc_info"]
    assert "caused by builtins.KeyError at" in line["exc_info"]
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "a", "it failed")


def record(level: int, message: str, created: float) -> logging.LogRecord:
    made = logging.LogRecord("service", level, "", 0, message, None, None)
    made.created = created
    return made


def test_a_flood_of_one_kind_is_limited() -> None:
    flood = FloodFilter(limit=3, period_s=10)
    passed = [flood.filter(record(logging.WARNING, "refused", 0)) for _ in range(10)]
    assert passed == [True] * 3 + [False] * 7
    assert flood.filter(record(logging.WARNING, "another", 0))
    assert flood.filter(record(logging.ERROR, "refused", 0))
    after = record(logging.WARNING, "refused", 11)
    assert flood.filter(after)
    assert vars(after)["suppressed"] == 7
    for level in (logging.INFO, logging.CRITICAL):
        assert all(flood.filter(record(level, "refused", 12)) for _ in range(10))


@pytest.mark.usefixtures("own_logging")
def test_every_command_limits_floods(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    for _ in range(1000):
        logging.getLogger("asyncio").error("socket.accept() out of system resource")
    assert len(capfd.readouterr().err.splitlines()) == 50
