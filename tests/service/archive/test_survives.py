"""Runs that are killed, files that kill, and what the log says of them."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.archive.plan import Plan
from service.archive.process import ScoringProcess
from service.archive.rows import ITEMS, chunks_of
from tests.dicom_files import PATIENT_NAME, dataset, written
from tests.helpers import Ran
from tests.service.archive.conftest import rows_in
from tests.service.serving import clean_environment, wait_for

COPIES = 80


def children(pid: int) -> list[int]:
    """What a process started and has not waited for, whichever of its threads did."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread ended meanwhile
            found += map(int, path.read_text().split())
    return found


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" not in status.read_text()


def command(bundle: Path, out: Path, *arguments: str | Path) -> list[str]:
    options = ("--bundle", bundle, "--processes", "2", "--shard-rows", "20", "--device", "cpu")
    given = map(str, (out, *arguments, *options))
    return [sys.executable, "-m", "wscxr", "archive", "score", *given]


@pytest.fixture
def many(unseen: Path, tmp_path: Path) -> Path:
    """A few hundred files."""
    folder = tmp_path / "many"
    for number in range(COPIES):
        shutil.copytree(unseen / "normal", folder / f"{number:03d}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return folder


@pytest.mark.slow
def test_killed_at_any_moment_it_scores_every_row_once(
    many: Path, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for shards in (1, 4):
        process = subprocess.Popen(
            command(bundle, out, many),
            env=clean_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda count=shards: len(list(out.glob("rows-*"))) >= count)  # type: ignore[misc]
        scorers = children(process.pid)
        assert len(scorers) == 2
        process.kill()
        process.wait()
        wait_for(lambda pids=scorers: not any(map(alive, pids)))  # type: ignore[misc]
    rows_in(out)  # each once
    subprocess.run(command(bundle, out, many), env=clean_environment(), check=True)
    rows = rows_in(out)
    assert len(rows) == 5 * COPIES + 1
    assert sum(row["error"] is not None for row in rows) == 1


@pytest.mark.slow
def test_an_interrupted_run_keeps_its_rows(unseen: Path, bundle: Path, tmp_path: Path) -> None:
    # So many that the run is not over before the signal comes.
    for number in range(8 * COPIES):
        shutil.copytree(
            unseen / "normal", tmp_path / "many" / f"{number:03d}", copy_function=os.link
        )
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(bundle, out, tmp_path / "many"), env=clean_environment(), stderr=subprocess.PIPE
    )
    wait_for(lambda: any(out.glob("rows-*")))
    scorers = children(process.pid)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert not any(map(alive, scorers))
    assert rows_in(out)


def test_two_runs_do_not_write_into_one_folder(many: Path, bundle: Path, tmp_path: Path) -> None:
    first = subprocess.Popen(
        command(bundle, tmp_path / "out", many),
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for((tmp_path / "out" / ".work" / "worklist.parquet").exists)
        second = run(bundle, tmp_path / "out", many)
        assert second.code == 1
        assert "[run_under_way]" in second.err
    finally:
        first.kill()
        first.wait()


def run(bundle: Path, out: Path, *arguments: str | Path, **environment: str) -> Ran:
    done = subprocess.run(
        command(bundle, out, *arguments),
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_a_file_that_kills_the_process_is_a_row(unseen: Path, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    shutil.copytree(unseen / "normal", folder)
    shutil.copy(folder / "0000.png", folder / "0002-kills.png")
    hook = tmp_path / "hook"
    hook.mkdir()
    # As a fault in a decoder would: the whole process ends, with no Python error.
    (hook / "sitecustomize.py").write_text(
        "import builtins, os\n"
        "whole = builtins.open\n"
        "def opened(path, *rest, **more):\n"
        "    if isinstance(path, bytes) and path.endswith(b'-kills.png'):\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return whole(path, *rest, **more)\n"
        "builtins.open = opened\n"
    )
    ran = run(bundle, tmp_path / "out", folder, PYTHONPATH=str(hook))
    assert ran.code == 0, ran.err
    errors = {Path(row["id"]).name: row["error"] for row in rows_in(tmp_path / "out")}
    assert len(errors) == 6
    assert {name for name, code in errors.items() if code is not None} == {"0002-kills.png"}
    assert errors["0002-kills.png"] == "scorer_died"


@pytest.fixture
def scoring(bundle: Path) -> Iterator[ScoringProcess]:
    plan = Plan(
        bundle=str(bundle),
        device="cpu",
        engine="auto",
        precision="auto",
        threads=1,
        lateral="refuse",
        maps=False,
        pacs=None,
    )
    with ScoringProcess(plan) as process:
        yield process


def test_a_process_that_dies_by_itself_costs_no_row(scoring: ScoringProcess, many: Path) -> None:
    import pyarrow as pa

    paths = sorted(many.glob("00?/*.png"))
    items = [
        {"number": number, "id": str(path), "place": os.fsencode(path)}
        for number, path in enumerate(paths)
    ]
    batch = pa.RecordBatch.from_pylist(items, schema=ITEMS)
    first = scoring.pid
    numbers: list[int] = []
    for rows in scoring.score(chunks_of(iter([batch]), 8)):
        if not numbers:
            os.kill(first, signal.SIGKILL)
        assert rows["error"].null_count == rows.num_rows
        numbers += rows["number"].to_pylist()
    assert numbers == list(range(len(paths)))
    assert scoring.pid != first


def test_the_log_names_no_file_and_no_instance(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / PATIENT_NAME
    folder.mkdir()
    source = dataset(PatientID="PID-7719-QX", Modality="MR")
    (folder / f"{source.SOPInstanceUID}.dcm").write_bytes(written(source))
    (folder / "Zzyzx.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    ran = run(bundle, tmp_path / "out", folder)
    assert ran.code == 0, ran.err
    said = ran.out + ran.err
    assert "wrong_modality\t1" in said
    for secret in ("Zzyzx", "7719", str(source.SOPInstanceUID), str(folder)):
        assert secret not in said
