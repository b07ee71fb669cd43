"""Several processes behind one port."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from pathlib import Path

import httpx
import pytest

from service.stores import LocalStore, SharedStore, StoreServer
from tests.service import pictures
from tests.service.serving import PATIENCE_S, clean_environment, free_port, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need SO_REUSEPORT")

SECRET = b"secret"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[SharedStore]:
    stores = {"maps": LocalStore(10, 60, len)}
    server = StoreServer(stores, tmp_path / "socket", SECRET)
    yield SharedStore("maps", tmp_path / "socket", SECRET)
    server.close()


def test_a_shared_store(shared: SharedStore, tmp_path: Path) -> None:
    other = SharedStore("maps", tmp_path / "socket", SECRET)
    assert shared.get("a") is None
    assert shared.put("a", b"\0 123")
    assert other.get("a") == b"\0 123"
    assert not other.put("b", bytes(11))
    assert other.put("c", b"")
    assert shared.get("c") == b""
    shared.pop("a")
    shared.pop("a")
    assert other.get("a") is None


def test_a_store_opens_for_nobody_without_its_secret(shared: SharedStore, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError):
        SharedStore("maps", tmp_path / "socket", b"guessed")
    assert shared.get("a") is None


def below(pid: int) -> list[int]:
    """All processes below one."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                found += [child, *below(child)]
    return found


def listening(port: int) -> set[str]:
    """The sockets that listen on a port of this machine, as /proc names them."""
    rows = map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {
        f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"
    }


def sockets(pid: int) -> set[str]:
    """What the descriptors of a process stand for."""
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(link.readlink()))
    return found


class Service:
    """``wscxr serve --workers 2``."""

    def __init__(self, store: Path, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "wscxr", "serve", "--model-store", str(store)),
                    *("--port", str(self.port), "--device", "cpu", "--workers", "2"),
                ],
                env=clean_environment() | {"OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=output,
            )

    def workers(self) -> list[int]:
        """Processes below the first that listen on its port."""
        inodes = listening(self.port)
        return [pid for pid in below(self.process.pid) if inodes & sockets(pid)]

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return len(self.workers()) == 2 and all(self._answers() for _ in range(8))

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def total(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.fixture(scope="module")
def service(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(store, tmp_path_factory.mktemp("workers") / "log")
    try:
        wait_for(service.ready, every_s=0.2)
        yield service
    finally:
        service.process.terminate()
        assert service.process.wait(PATIENCE_S) == 0, service.log.read_text()
        assert not listening(service.port)


def predict(service: Service, query: str = "") -> httpx.Response:
    files = {"file": pictures.png()}
    return httpx.post(f"{service.url}/v1/predict{query}", files=files, timeout=PATIENCE_S)


@pytest.mark.slow
def test_metrics_add_up_and_maps_are_found_by_every_worker(service: Service) -> None:
    before = service.total("wscxr_images_total")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: predict(service, "?map=url"), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        for _ in range(4):  # each a connection of its own, and so a worker by chance
            assert httpx.get(service.url + answer.json()["map"]["url"]).status_code == 200
    for _ in range(8):
        assert service.total("wscxr_images_total") == before + 16
        assert service.total("wscxr_inference_seconds_count") >= before + 4
    assert service.total("wscxr_model_info") == 1
    assert service.total("process_resident_memory_bytes") > 100e6


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(service: Service) -> None:
    counted = service.total("wscxr_images_total")
    first = service.workers()
    os.kill(first[0], signal.SIGKILL)
    wait_for(lambda: first[0] not in service.workers())
    wait_for(service.ready, every_s=0.2)
    assert len(set(service.workers()) - set(first)) == 1
    assert predict(service).status_code == 200
    # What the dead one counted is not lost.
    assert service.total("wscxr_images_total") == counted + 1


@pytest.mark.slow
def test_a_service_that_cannot_start_ends(tmp_path: Path) -> None:
    service = Service(tmp_path / "nothing", tmp_path / "log")
    assert service.process.wait(PATIENCE_S) == 1
    assert "start-up refused" in service.log.read_text()


@pytest.mark.slow
def test_workers_end_with_the_process_above_them(store: Path, tmp_path: Path) -> None:
    service = Service(store, tmp_path / "log")
    try:
        wait_for(service.ready, every_s=0.2)
        assert len(listening(service.port)) == 2
    finally:
        service.process.kill()
        service.process.wait(PATIENCE_S)
    wait_for(lambda: not listening(service.port), every_s=0.1)
