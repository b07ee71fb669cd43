"""Everything that arrives is analysed once, whatever happens on the way."""

import contextlib
import json
import sqlite3
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.dicom_files import PATIENT_ID, PATIENT_NAME
from tests.service.pacs.conftest import StartWatcher
from tests.service.pacs.orthanc import Orthanc
from tests.service.pacs.processes import get, pacs, wait_until_holds
from tests.service.pacs.scorer import (
    Scorer,
    result_of,
    result_uid,
    studies,
    study,
    with_results,
)
from tests.service.serving import free_port
from tests.service.serving import wait_for as wait_closely

# Each look at the archive costs it time that the watcher needs.
wait_for = partial(wait_closely, every_s=0.1)

MANY = 40
WORKERS = 4


def results_there(orthanc: Orthanc, sources: dict[str, bytes]) -> int:
    return len(set(orthanc.sops()) & set(map(result_uid, sources)))


@pytest.mark.parametrize("kind", ["orthanc", "dicomweb"])
def test_c_store_and_stow_are_answered_with_results_in_the_archive(
    orthanc: Orthanc, watch: StartWatcher, tmp_path: Path, kind: str
) -> None:
    watch(kind=kind)
    pushed, sent = studies(4), tmp_path / "sent"
    sent.mkdir()
    by_c_store = dict(list(pushed.items())[:2])
    for number, data in enumerate(by_c_store.values()):
        (sent / f"{number}.dcm").write_bytes(data)
    orthanc.storescu(sent)
    orthanc.stow([data for sop, data in pushed.items() if sop not in by_c_store])
    wait_until_holds(orthanc, with_results(list(pushed)))
    for sop, data in pushed.items():
        if sop not in by_c_store:  # C-STORE may change the file meta information
            assert orthanc.file(result_uid(sop)) == result_of(data)


@pytest.mark.slow
def test_many_at_once_with_orderly_stop(
    orthanc: Orthanc, scorer: Scorer, watch: StartWatcher
) -> None:
    many = studies(MANY)
    orthanc.stow(list(many.values()))
    scorer.pause_s = 0.05
    first = watch()
    wait_for(lambda: results_there(orthanc, many) > 5)
    assert first.stop() == 0
    assert len(scorer.calls) < MANY
    watch()
    wait_until_holds(orthanc, with_results(list(many)))
    assert len(scorer.calls) == MANY


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["orthanc", "dicomweb"])
def test_killed_in_the_middle(
    orthanc: Orthanc, scorer: Scorer, watch: StartWatcher, kind: str
) -> None:
    many = studies(MANY)
    orthanc.stow(list(many.values()))
    scorer.pause_s = 0.05
    for wanted in (5, 15):
        watcher = watch(kind=kind, workers=WORKERS)
        wait_for(partial(_more_than, wanted, orthanc, many))
        watcher.kill()
    assert results_there(orthanc, many) < MANY
    watch(kind=kind)
    wait_until_holds(orthanc, with_results(list(many)))
    assert len(set(scorer.calls)) == MANY
    assert len(scorer.calls) <= MANY + 2 * 2 * WORKERS


@pytest.mark.slow
def test_archive_restarted_in_the_middle(
    orthanc: Orthanc, scorer: Scorer, watch: StartWatcher
) -> None:
    many = studies(MANY)
    orthanc.stow(list(many.values()))
    scorer.pause_s = 0.05
    port = free_port()
    watcher = watch(metrics_port=port)
    wait_for(lambda: results_there(orthanc, many) > 10)
    orthanc.stop()
    wait_for(lambda: get(port, "/health").status_code == 503)
    assert get(port, "/health").json()["code"] in {"pacs_unavailable", "pacs_fault"}
    orthanc.start()
    wait_until_holds(orthanc, with_results(list(many)))
    wait_for(lambda: get(port, "/health").status_code == 200)
    assert watcher.running
    assert 'wscxr_pacs_instances_total{code="",outcome="stored"}' in get(port, "/metrics").text


@pytest.mark.slow
def test_two_watchers_store_nothing_twice(orthanc: Orthanc, watch: StartWatcher) -> None:
    many = studies(MANY)
    orthanc.stow(list(many.values()))
    ports = free_port(), free_port()
    for number, port in enumerate(ports):
        watch(f"watcher{number}", metrics_port=port)
    for port in ports:
        wait_for(partial(_all_done, port))
    wait_until_holds(orthanc, with_results(list(many)))


def _more_than(wanted: int, orthanc: Orthanc, sources: dict[str, bytes]) -> bool:
    return results_there(orthanc, sources) > wanted


def _all_done(port: int) -> bool:
    return _done(port) >= 2 * MANY


def _done(port: int) -> int:
    """Sources and results that a watcher is finished with."""
    try:
        lines = get(port, "/metrics").text.splitlines()
    except httpx.HTTPError:
        return 0
    counts = [line for line in lines if line.startswith("wscxr_pacs_instances_total{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in counts)


def test_failures_are_listed_and_stop_nobody(
    orthanc: Orthanc, scorer: Scorer, watch: StartWatcher, tmp_path: Path
) -> None:
    good = studies(3)
    bad, corrupt = _cut(101)
    lateral, out_of_scope = study(102, ViewPosition="LL")
    scan, other_modality = study(103, Modality="CT")
    orthanc.stow([corrupt, out_of_scope, other_modality, *good.values()])
    watcher = watch()
    everything = [*with_results(list(good)), bad, lateral, scan]
    wait_until_holds(orthanc, everything)
    wait_for(lambda: _failed_codes(tmp_path) == ["corrupt_image"])
    watcher.stop()
    assert len(scorer.calls) == len(good) + 2  # the CT never left the archive
    folder = tmp_path / "watcher"
    listed = pacs(["failed"], orthanc, scorer, folder)
    assert listed.returncode == 0, listed.stderr
    number, _, code, _, request_id = listed.stdout.strip().split("\t")
    assert code == "corrupt_image"
    assert request_id == scorer.request_id(corrupt)
    again = pacs(["retry", number], orthanc, scorer, folder)
    assert again.returncode == 3
    assert "failed\tcorrupt_image" in again.stdout
    missing = pacs(["retry", "4711"], orthanc, scorer, folder)
    assert missing.returncode == 3
    assert orthanc.sops() == sorted(everything)


def test_scorer_that_fails_on_one_is_retried_by_hand(
    orthanc: Orthanc, scorer: Scorer, watch: StartWatcher, tmp_path: Path
) -> None:
    sop, data = study(1)
    orthanc.stow([data])
    scorer.broken = True
    watcher = watch(tries=2)
    wait_for(lambda: _failed_codes(tmp_path) == ["analyser_fault"])
    watcher.stop()
    scorer.broken = False
    again = pacs(["retry"], orthanc, scorer, tmp_path / "watcher")
    assert again.returncode == 0, again.stderr
    assert _failed_codes(tmp_path) == []
    assert orthanc.sops() == with_results([sop])


def test_scorer_down_for_a_while(orthanc: Orthanc, scorer: Scorer, watch: StartWatcher) -> None:
    some = studies(10)
    scorer.stop()
    port = free_port()
    watch(metrics_port=port)
    orthanc.stow(list(some.values()))
    wait_for(lambda: _health(port) == "analyser_unavailable")
    scorer.busy = True
    scorer.start()
    wait_for(lambda: len(scorer.calls) > 3)
    assert results_there(orthanc, some) == 0
    scorer.busy = False
    wait_until_holds(orthanc, with_results(list(some)))
    wait_for(lambda: _health(port) is None)


def _health(port: int) -> str | None:
    try:
        code: str | None = get(port, "/health").json()["code"]
    except httpx.HTTPError:
        return "not started"
    return code


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["orthanc", "dicomweb"])
def test_nothing_of_the_patient_is_written(
    orthanc: Orthanc, watch: StartWatcher, tmp_path: Path, kind: str
) -> None:
    good = studies(3)
    sop, corrupt = _cut(7)
    port = free_port()
    orthanc.stow([corrupt, *good.values()])
    watcher = watch(kind=kind, metrics_port=port)
    wait_until_holds(orthanc, [*with_results(list(good)), sop])
    wait_for(lambda: _failed_codes(tmp_path) == ["corrupt_image"])
    orthanc.stop()
    wait_for(lambda: _health(port) is not None)
    seen = get(port, "/metrics").content + get(port, "/health").content
    assert watcher.stop() == 0
    folder = tmp_path / "watcher"
    written = seen + b"".join(path.read_bytes() for path in folder.iterdir())
    names = "".join(path.name for path in folder.iterdir())
    for secret in (*PATIENT_NAME.split("^"), PATIENT_ID, "ACC-1", "19700101"):
        assert secret.encode() not in written
        assert secret not in names
    log = (folder / "output").read_text()
    assert not any(uid in log for uid in [*good, sop])
    assert all(isinstance(json.loads(line), dict) for line in log.splitlines())


def _cut(seed: int) -> tuple[str, bytes]:
    """A radiograph that says it is larger than it is: the archive takes it all the same."""
    return study(seed, Rows=4096)


def _failed_codes(tmp_path: Path) -> list[str]:
    try:
        with contextlib.closing(sqlite3.connect(tmp_path / "watcher" / "state.sqlite3")) as db:
            return [code for (code,) in db.execute("SELECT code FROM failed")]
    except sqlite3.OperationalError:
        return []  # not there yet
