"""Arrivals at an archive that has DICOMweb alone, whatever their dates say."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.pacs.dicomweb import DicomWeb
from service.pacs.errors import ArchiveFault, ArchiveRefuses, ArchiveUnavailable
from service.pacs.feeds import Coverage
from service.pacs.qido import QidoFeed
from service.pacs.state import State
from service.pacs.transport import Server
from tests.dicom_files import dataset
from tests.service.pacs.conftest import StartWatcher
from tests.service.pacs.orthanc import Orthanc
from tests.service.pacs.processes import get, wait_until_holds
from tests.service.pacs.scorer import Scorer, study, with_results
from tests.service.serving import free_port
from tests.service.serving import wait_for as wait_closely

wait_for = partial(wait_closely, every_s=0.1)

DATES = {"old": "20100101", "empty": "", "future": "20991231"}


def of_dates(start: int) -> dict[str, tuple[str, bytes]]:
    return {
        name: study(start + number, StudyDate=date)
        for number, (name, date) in enumerate(DATES.items())
    }


def health(port: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = get(port, "/health").json()
    except httpx.HTTPError:
        return {}
    return found


@pytest.mark.parametrize(
    ("start", "taken", "outside"),
    [
        (None, ["empty", "future"], 1),
        ("beginning", ["old", "empty", "future"], 0),
        ("now", [], 3),
    ],
)
def test_any_date(
    orthanc: Orthanc, watch: StartWatcher, start: str | None, taken: list[str], outside: int
) -> None:
    before, after = of_dates(10), of_dates(20)
    orthanc.stow([data for _, data in before.values()])
    port = free_port()
    more = {} if start is None else {"start": start}
    watch(kind="dicomweb", rescan_s=0.2, metrics_port=port, **more)
    held = [sop for sop, _ in before.values()]
    expected = [*held, *with_results([before[name][0] for name in taken])]
    wait_for(lambda: health(port).get("scanned") is True)
    wait_until_holds(orthanc, sorted(set(expected)))
    assert health(port) == {
        "status": "ok",
        "code": None,
        "outside_window": outside,
        "scanned": True,
    }
    assert f"wscxr_pacs_outside_window {outside}.0" in get(port, "/metrics").text
    orthanc.stow([data for _, data in after.values()])
    new = [sop for sop, _ in after.values()]
    wait_until_holds(orthanc, sorted({*expected, *with_results(new)}))
    assert health(port)["outside_window"] == outside


def test_a_study_that_was_left_out_and_grows(
    orthanc: Orthanc, scorer: Scorer, watch: StartWatcher
) -> None:
    first, data = study(1, StudyDate="20100101")
    orthanc.stow([data])
    port = free_port()
    watcher = watch(kind="dicomweb", rescan_s=0.2, metrics_port=port)
    wait_for(lambda: health(port).get("scanned") is True)
    assert health(port)["outside_window"] == 1
    # What is known is known after a restart, too.
    watcher.stop()
    watch(kind="dicomweb", rescan_s=0.2, metrics_port=port)
    wait_for(lambda: health(port).get("scanned") is True)
    assert health(port)["outside_window"] == 1
    assert scorer.calls == []
    second, more = study(1, StudyDate="20100101", SOPInstanceUID="1.2.3.4.5")
    orthanc.stow([more])
    wait_until_holds(orthanc, with_results([first, second]))
    wait_for(lambda: health(port)["outside_window"] == 0)


class Archive(httpx.AsyncBaseTransport):
    """QIDO-RS of one radiograph a study; pages and private attributes as a test wants them."""

    def __init__(self, dates: list[str], *, receipt: bool = False, pages: bool = True) -> None:
        self.studies = {str(dataset(seed=n).StudyInstanceUID): d for n, d in enumerate(dates)}
        self.queries: list[dict[str, str]] = []
        self.failing = 0
        self._receipt = receipt
        self._pages = pages

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/studies").strip("/").split("/")
        query = dict(request.url.params)
        self.queries.append(query)
        if path == [""]:
            found = [_item(uid, date) for uid, date in self._matching(query)]
        elif path[-1] == "series" and self.failing:
            self.failing -= 1
            return httpx.Response(500)
        elif path[-1] == "series":
            found = [{"0020000E": {"Value": ["1.2"]}, "00080060": {"Value": ["CR"]}}]
        else:
            found = [{"00080018": {"Value": [f"{path[0][:50]}.1"]}}]
        offset = int(query["offset"]) if self._pages else 0
        return httpx.Response(200, json=found[offset : offset + 3])

    def _matching(self, query: dict[str, str]) -> Iterator[tuple[str, str]]:
        for uid, date in self.studies.items():
            if query.get("ModalitiesInStudy", "CR") != "CR":
                continue
            received = query.get("StudyReceiveDateTime")
            if self._receipt and received is not None and not received[:8] <= "20261127":
                continue
            since = query.get("StudyDate", "")[:8]
            if not since or date >= since:
                yield uid, date


def _item(uid: str, date: str) -> dict[str, Any]:
    values = {"0020000D": uid, "00080020": date, "00201208": 1}
    return {tag: {"Value": [value]} for tag, value in values.items()}


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with contextlib.closing(State(tmp_path / "state.sqlite3", "http://pacs/")) as opened:
        yield opened


def follow(
    archive: Archive, state: State, until: Callable[[list[str], Coverage], bool]
) -> tuple[list[str], Coverage]:
    """Keys that a feed finds until something holds; each is finished at once."""

    async def run() -> tuple[list[str], Coverage]:
        http = httpx.AsyncClient(base_url="http://pacs/", transport=archive)
        server = Server(http, ArchiveUnavailable, ArchiveRefuses, ArchiveFault, 1_000_000)
        feed = QidoFeed(
            DicomWeb(server), state, ("CR", "DX"), start="window", since_days=3, rescan_s=0.01
        )
        keys: list[str] = []
        async with asyncio.timeout(60):
            while True:
                for arrival in await feed.arrivals():
                    assert arrival.key is not None
                    keys.append(arrival.key)
                    feed.finished(arrival)
                coverage = feed.coverage
                assert coverage is not None
                assert feed.backlog == 0
                if until(keys, coverage):
                    return keys, coverage
                await asyncio.sleep(0.01)

    return asyncio.run(run())


def scanned(_: list[str], coverage: Coverage) -> bool:
    return coverage.seen_at is not None


def test_a_scan_goes_through_all_pages_again_and_again(state: State) -> None:
    archive = Archive(["20100101"] * 10)
    keys, coverage = follow(archive, state, scanned)
    assert (keys, coverage.left_out) == ([], 10)
    archive.studies |= Archive(["20100101"] * 11).studies
    keys, coverage = follow(archive, state, lambda keys, _: len(keys) > 0)
    assert (len(keys), coverage.left_out) == (1, 10)


def test_a_server_that_ignores_the_offset(state: State) -> None:
    archive = Archive(["20100101"] * 10, pages=False)
    _, coverage = follow(archive, state, scanned)
    assert coverage.left_out == 3


def test_an_archive_that_knows_when_it_received_a_study(state: State) -> None:
    archive = Archive(["20100101"], receipt=True)
    keys, _ = follow(archive, state, scanned)
    assert len(keys) == 1
    assert not any("StudyDate" in query for query in archive.queries)


def test_an_archive_that_ignores_what_it_does_not_know(state: State) -> None:
    archive = Archive(["20100101"])
    keys, _ = follow(archive, state, scanned)
    assert keys == []
    tries = [query for query in archive.queries if "StudyReceiveDateTime" in query]
    assert len(tries) == 2
    assert any("StudyDate" in query for query in archive.queries)


def test_a_failing_study_comes_again(state: State) -> None:
    archive = Archive(["20991231"] * 2)
    archive.failing = 1
    keys, _ = follow(archive, state, lambda keys, _: len(keys) == 2)
    assert len(set(keys)) == 2
    assert archive.failing == 0
