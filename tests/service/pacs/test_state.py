"""A disk that is full under the state file, and files that are none."""

import asyncio
import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import HttpUrl

from service.pacs.bridge import Bridge, Ending, Outcome
from service.pacs.commands import make_retries
from service.pacs.dicomweb import Instance
from service.pacs.errors import PacsError, StateError, StateUnwritable
from service.pacs.feeds import Arrival
from service.pacs.monitor import STARTING, PacsMetrics
from service.pacs.retries import Retries
from service.pacs.settings import PacsSettings
from service.pacs.state import Failure, State
from service.pacs.watcher import Watcher

ARCHIVE = "http://pacs/"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with contextlib.closing(State(tmp_path / "state.sqlite3", ARCHIVE)) as opened:
        yield opened


def fill_disk(state: State) -> None:
    """Let the file grow no more; SQLite then fails as on a full disk."""
    state._db.execute("PRAGMA max_page_count = 1")
    with contextlib.suppress(StateUnwritable):
        for number in range(10_000):
            state.finish(f"filler {number}")


def free_disk(state: State) -> None:
    state._db.execute("PRAGMA max_page_count = 1000000")


def test_a_full_disk(state: State, tmp_path: Path) -> None:
    fill_disk(state)
    with pytest.raises(StateUnwritable) as caught:
        state.fail("key", "1.2.3", "corrupt_image" * 10_000)
    assert str(tmp_path / "state.sqlite3") in str(caught.value)
    assert "database or disk is full" in str(caught.value)
    free_disk(state)
    state.fail("key", "1.2.3", "corrupt_image")
    assert "key" in [failure.key for failure in state.failures()]


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(StateError, match=r"state\.sqlite3 cannot be used: file is not a database"):
        State(path, ARCHIVE)
    with pytest.raises(StateError, match=r"cannot be used: .+"):
        State(tmp_path / "missing" / "state.sqlite3", ARCHIVE)


def test_the_log_says_which_file_and_why(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        state.fail("key", "1.2.3", "corrupt_image" * 10_000)

    async def probe() -> None:
        pass

    fill_disk(state)
    settings = PacsSettings(url=HttpUrl(ARCHIVE), tries=2, min_pause_s=0.01)
    retries = make_retries(settings, asyncio.Event(), PacsMetrics(), patient=False)
    with pytest.raises(StateUnwritable):
        asyncio.run(retries.run(work, probe))
    [record] = caplog.records
    reason = f"the state file {tmp_path / 'state.sqlite3'} cannot be used: database or disk is full"
    assert vars(record)["reason"] == reason


class OneArrival:
    """A feed that brings one instance; what it finishes needs room in the state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._brought = False
        self.done = False

    async def arrivals(self) -> list[Arrival]:
        if self._brought:
            return []
        self._brought = True
        return [Arrival("key", 1)]

    async def locate(self, _: str) -> Instance:
        return Instance("1.2.3", "1.2.4", "1.2.5")

    def finished(self, _: Arrival) -> None:
        for number in range(100):
            self._state.finish(f"needs room {number}")
        self.done = True

    @property
    def backlog(self) -> int:
        return int(not self.done)

    @property
    def coverage(self) -> None:
        return None


class Works(Bridge):
    """A bridge on which everything works."""

    def __init__(self) -> None:
        pass

    async def process(self, _: Instance) -> Outcome:
        return Outcome(Ending.STORED)

    async def probe(self) -> None:
        pass


def test_the_watcher_goes_on_when_space_is_back(state: State) -> None:
    metrics = PacsMetrics()
    seen: list[str] = []

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def main() -> None:
        stop = asyncio.Event()

        def note(error: PacsError) -> None:
            metrics.failing(error)
            seen.append(error.code)

        retries = Retries(stop, note, tries=2, min_pause_s=0.01, max_pause_s=0.05, patient=True)
        feed = OneArrival(state)
        watcher = Watcher(feed, Works(), state, metrics, retries, workers=1, poll_s=0.01)
        assert metrics.trouble == STARTING
        fill_disk(state)
        running = asyncio.create_task(watcher.run(stop, 5))
        await until(lambda: len(seen) > 3)
        assert set(seen) == {StateUnwritable.code}
        assert metrics.trouble == StateUnwritable.code
        assert not feed.done
        free_disk(state)
        await until(lambda: feed.done and metrics.trouble is None)
        stop.set()
        await running

    asyncio.run(main())


def test_a_state_of_version_1_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    archive = hashlib.sha256(ARCHIVE.encode()).hexdigest()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(_VERSION_1)
        db.execute("INSERT INTO cursor VALUES (?, 42)", [archive])
        failed = [archive, "key", "1.2.3", "corrupt_image", 1.5]
        db.execute("INSERT INTO set_aside VALUES (7, ?, ?, ?, ?, ?)", failed)
        db.commit()
    for _ in range(2):
        with contextlib.closing(State(path, ARCHIVE, create=False)) as state:
            assert state.cursor == 42
            assert state.failures() == [Failure(7, "key", "1.2.3", "corrupt_image", 1.5, None)]


_VERSION_1 = """
CREATE TABLE cursor (archive TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
CREATE TABLE done (archive TEXT, digest BLOB, PRIMARY KEY (archive, digest)) STRICT, WITHOUT ROWID;
CREATE TABLE set_aside (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    archive TEXT NOT NULL,
    key TEXT NOT NULL,
    study TEXT,
    code TEXT NOT NULL,
    at REAL NOT NULL,
    UNIQUE (archive, key)
) STRICT;
PRAGMA user_version = 1;
"""
