"""Watcher, service and archive, killed at random (SIGKILL) while studies arrive."""

import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.service.pacs.orthanc import Orthanc
from tests.service.pacs.processes import WatcherProcess, get
from tests.service.pacs.scorer import Scorer, study
from tests.service.serving import PATIENCE_S, clean_environment, free_port, wait_for

WATCHER, SERVICE, ARCHIVE = "watcher", "service", "archive"
RESULTS = ["OT", "SR"]
"""Modalities of a result set."""

UNREACHABLE = "unreachable"
"""What an operator sees of a watcher that is dead."""

SEEN_BY = {
    WATCHER: {UNREACHABLE},
    SERVICE: {"analyser_unavailable", "analyser_fault"},
    ARCHIVE: {"pacs_unavailable", "pacs_fault", "starting"},
}
"""What health may say while one of them is dead."""


class Service:
    """``wscxr serve`` with the models of a store, on a port that stays."""

    def __init__(self, store: Path, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [
            *(sys.executable, "-m", "wscxr", "serve", "--model-store", str(store)),
            *("--port", str(self.port), "--device", "cpu"),
        ]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=clean_environment(), stdout=log, stderr=log
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_S)


@dataclass
class Survived:
    """What happened: kills by program, how often health said what, and the seconds it took."""

    kills: Counter[str] = field(default_factory=Counter)
    health: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Chaos:
    """Sends studies into an archive and kills programs; see `survive`."""

    def __init__(self, root: Path, store: Path, seed: int) -> None:
        self._root = root
        self._random = random.Random(seed)  # noqa: S311 - a game of chance, not a secret
        self._port = free_port()
        self._archive = Orthanc(root / "orthanc")
        self._service = Service(store, root / "service.log")
        self._stand_in = Scorer()  # only asked for its address, which is replaced
        self._sent: list[str] = []
        self.survived = Survived()
        self._archive.start()
        self._service.start()
        self._watcher = self._new_watcher()

    def _new_watcher(self) -> WatcherProcess:
        settings = {"service_url": self._service.url, "metrics_port": str(self._port)}
        return WatcherProcess(
            self._archive, self._stand_in, self._root / "watcher", own=None, **settings
        )

    def send(self, count: int) -> None:
        """Let some studies arrive."""
        made = [study(len(self._sent) + number) for number in range(count)]
        self._archive.stow([data for _, data in made])
        self._sent += [sop for sop, _ in made]

    def health(self) -> str:
        """What the operator sees now."""
        try:
            answer = get(self._port, "/health").json()
        except (httpx.HTTPError, ValueError):
            said = UNREACHABLE
        else:
            said = answer["code"] or answer["status"]
        self.survived.health[said] += 1
        return said

    def strike(self, victim: str, count: int) -> None:
        """Kill a program in the midst of work, see that the operator sees it, start it again."""
        if victim == SERVICE:
            self._service.kill()
            self.send(count)
        else:
            self.send(count)
            time.sleep(self._random.uniform(0, 1))
            (self._archive if victim == ARCHIVE else self._watcher).kill()
        wait_for(lambda: self.health() in SEEN_BY[victim], every_s=0.2)
        match victim:
            case "service":
                self._service.start()
            case "archive":
                self._archive.start()
            case _:
                self._watcher = self._new_watcher()
        self.survived.kills[victim] += 1

    def settle(self) -> None:
        """Wait until all is done and the operator sees that; every study has one result set."""
        # As long as it goes on: on a busy machine a hundred studies take their time.
        while (before := self._stored()) < self._wanted:
            wait_for(lambda: self._stored() > before, every_s=0.5)
        wait_for(lambda: self.health() == "ok", every_s=0.2)
        assert self._watcher.stop() == 0
        with self._archive.client() as client:
            found = client.get("/studies", params={"expand": ""}).json()
            for one in found:
                modalities = [
                    client.get(f"/series/{series}").json()["MainDicomTags"]["Modality"]
                    for series in one["Series"]
                ]
                instances = client.get(f"/studies/{one['ID']}/instances").json()
                assert sorted(modalities) == ["CR", *RESULTS]
                assert len(instances) == 1 + len(RESULTS)
        assert len(found) == len(self._sent)

    def stop(self) -> None:
        """End what still runs."""
        self._archive.kill()
        self._service.kill()
        if self._watcher.running:
            self._watcher.kill()

    @property
    def _wanted(self) -> int:
        return len(self._sent) * (1 + len(RESULTS))

    def _stored(self) -> int:
        self.health()
        return len(self._archive.sops())


def survive(root: Path, store: Path, studies: int, kills: int, seed: int = 0) -> Survived:
    """Have studies arrive while programs are killed; in the end each has exactly one result set.

    Parameters
    ----------
    root
        Folder for all that they write.
    store
        Model store of the service.
    studies
        How many studies arrive.
    kills
        How many programs are killed, one after the other; each of the three at least once.
    seed
        Of the choice of victims and moments.

    Raises
    ------
    AssertionError
        A study has more or less than one result set, or a dead program was not seen in health.
    """
    chaos = Chaos(root, store, seed)
    chooser = random.Random(seed)  # noqa: S311 - a game of chance, not a secret
    victims = [WATCHER, SERVICE, ARCHIVE]
    victims += chooser.choices(victims, k=kills - len(victims))
    chooser.shuffle(victims)
    started = time.monotonic()
    try:
        for number, victim in enumerate(victims):
            done, due = number * studies // kills, (number + 1) * studies // kills
            chaos.strike(victim, due - done)
        chaos.settle()
    finally:
        chaos.stop()
    chaos.survived.seconds = time.monotonic() - started
    return chaos.survived
