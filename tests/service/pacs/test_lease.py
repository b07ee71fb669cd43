"""Two watchers with one state: one works, the other waits and takes over."""

from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.helpers import one_line_error, run_cli
from tests.service.pacs.conftest import StartWatcher
from tests.service.pacs.orthanc import Orthanc
from tests.service.pacs.processes import get, wait_until_holds
from tests.service.pacs.scorer import Scorer, studies, with_results
from tests.service.serving import free_port
from tests.service.serving import wait_for as wait_closely

wait_for = partial(wait_closely, every_s=0.1)


def _health(port: int) -> dict[str, str | None]:
    try:
        health: dict[str, str | None] = get(port, "/health").json()
    except httpx.HTTPError:
        return {"status": "not started"}
    return health


@pytest.mark.parametrize("killed", [True, False])
def test_the_second_waits_and_takes_over(
    orthanc: Orthanc, scorer: Scorer, watch: StartWatcher, tmp_path: Path, killed: bool
) -> None:
    state = tmp_path / "shared.sqlite3"
    ports = free_port(), free_port()
    first = watch("first", state=state, metrics_port=ports[0])
    wait_for(lambda: _health(ports[0])["status"] == "ok")
    second = watch("second", state=state, metrics_port=ports[1])
    wait_for(lambda: _health(ports[1])["status"] == "waiting")
    seen = _health(ports[1])["active"]
    assert seen is not None
    assert seen.endswith(f"/{first.process.pid}")
    assert "wscxr_pacs_active 0.0" in get(ports[1], "/metrics").text
    assert "wscxr_pacs_active 1.0" in get(ports[0], "/metrics").text
    some = studies(6)
    orthanc.stow(list(some.values())[:3])
    wait_until_holds(orthanc, with_results(list(some)[:3]))
    assert len(scorer.calls) == 3  # nobody did it twice
    if killed:
        first.kill()
    else:
        assert first.stop() == 0
    wait_for(lambda: _health(ports[1])["status"] == "ok")
    assert "active" not in _health(ports[1])
    orthanc.stow(list(some.values())[3:])
    wait_until_holds(orthanc, with_results(list(some)))
    assert len(set(scorer.calls)) == len(some)
    assert second.stop() == 0


def test_one_that_waits_can_be_stopped(watch: StartWatcher, tmp_path: Path) -> None:
    state = tmp_path / "shared.sqlite3"
    first = watch("first", state=state)
    wait_for(lambda: '"watching"' in first.output.read_text())
    second = watch("second", state=state)
    wait_for(lambda: "another watcher is active" in second.output.read_text())
    assert second.stop() == 0
    assert first.running


def test_no_lock_can_be_made(tmp_path: Path) -> None:
    state = tmp_path / "missing" / "state.sqlite3"
    ran = run_cli("pacs", "watch", "--url", "http://127.0.0.1:1", "--state", state)
    assert "lock" in one_line_error(ran, 1, "invalid_pacs_state")
