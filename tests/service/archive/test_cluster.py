"""A real Ray cluster of two nodes, with token authentication: the rows are those of a local run."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.service.archive.conftest import rows_in
from tests.service.archive.test_survives import children, run
from tests.service.serving import clean_environment, free_port, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None, reason="NOT TESTED: `make deploy-tools` installs Ray"
    ),
]

COPIES = 200
PATIENCE_S = 900.0
RAY = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray has its workers yield to everything else on a machine, here to all other tests.
    "RAY_worker_niceness": "0",
}


class Node:
    """One node of a cluster, started as on a machine of its own; killed with all it started."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
        small = "--object-store-memory=100000000", "--include-log-monitor=false"
        self._process = subprocess.Popen(
            [*command, *small, *options],
            env={**os.environ, **RAY},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        for pid in tree(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


@dataclass
class TwoNodes:
    """A cluster of two nodes on this machine."""

    address: str
    first: Node
    second: Node


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    head = ("--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false")
    with contextlib.ExitStack() as stack:
        # The paths of pytest's own folders are too long for Ray's sockets.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="wscxr-ray-"))
        first = Node(*head, f"--temp-dir={folder}")
        stack.callback(first.kill)
        wait_for(lambda: answers(port), every_s=0.1)
        second = Node(f"--address={address}")
        stack.callback(second.kill)
        yield TwoNodes(address, first, second)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def tree(pid: int) -> list[int]:
    """A process and all its descendants, parents first."""
    found = [pid]
    for one in found:
        found += children(one)
    return found


@pytest.fixture
def many(unseen: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    for number in range(COPIES):
        shutil.copytree(unseen / "abnormal", folder / f"{number:03d}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return folder


def scorers() -> list[int]:
    """Numbers of all scoring processes on this machine that Ray's actors started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            parent = (entry / "status").read_text().partition("PPid:\t")[2].partition("\n")[0]
            if b"service.archive.child" not in command:
                continue
            if b"ray::" in Path(f"/proc/{parent}/cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("PPid:\t")[2].partition("\n")[0])


def test_without_the_token_it_is_refused(
    nodes: TwoNodes, unseen: Path, bundle: Path, tmp_path: Path
) -> None:
    ran = run(bundle, tmp_path / "out", unseen, "--ray", nodes.address, RAY_AUTH_TOKEN="0" * 64)
    assert ran.code == 5
    assert "[cluster_unusable]" in ran.err
    assert not list((tmp_path / "out").glob("rows-*"))


def test_a_worker_and_a_node_are_killed(
    nodes: TwoNodes, many: Path, bundle: Path, tmp_path: Path
) -> None:
    local, out = tmp_path / "local", tmp_path / "ray"
    assert run(bundle, local, many).code == 0
    options = ("--bundle", str(bundle), "--shard-rows", "20", "--device", "cpu")
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "wscxr", "archive", "score", str(out), str(many)),
                *(*options, "--ray", nodes.address),
            ],
            env=clean_environment() | RAY,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        wait_for(lambda: bool(list(out.glob("rows-*"))), every_s=0.1, patience_s=PATIENCE_S)
        os.kill(parent(scorers()[0]), signal.SIGKILL)  # an actor
        nodes.second.kill()
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert rows_in(out) == rows_in(local)
    assert str(many) not in log.read_text()
