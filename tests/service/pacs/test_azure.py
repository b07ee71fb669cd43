"""Arrivals by the change feed of Azure's DICOM service, played here as its manual has it."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.pacs.azure import AzureArchive
from service.pacs.changes import ChangesFeed
from service.pacs.errors import ArchiveFault, ArchiveRefuses, ArchiveUnavailable, InstanceGone
from service.pacs.state import State
from service.pacs.transport import Server


def change(sequence: int, action: str = "create", state: str = "current") -> dict[str, Any]:
    return {
        "Sequence": sequence,
        "StudyInstanceUid": "1.2",
        "SeriesInstanceUid": "1.3",
        "SopInstanceUid": f"1.4.{sequence}",
        "Action": action,
        "Timestamp": "2026-11-27T01:03:08.4834Z",
        "State": state,
    }


@dataclass
class Azure(httpx.AsyncBaseTransport):
    """A change feed; its limit counts changes, or numbers."""

    feed: list[dict[str, Any]] = field(default_factory=list)
    by_number: bool = False
    answer: bytes | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.answer is not None:
            return httpx.Response(200, content=self.answer)
        if request.url.path == "/v1/changefeed/latest":
            return httpx.Response(200, json=self.feed[-1]) if self.feed else httpx.Response(204)
        assert request.url.path == "/v1/changefeed"
        assert request.url.params["includeMetadata"] == "false"
        offset, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        found = [one for one in self.feed if one["Sequence"] > offset]
        if self.by_number:
            found = [one for one in found if one["Sequence"] <= offset + limit]
        return httpx.Response(200, json=found[:limit])


def archive(azure: Azure) -> AzureArchive:
    http = httpx.AsyncClient(base_url="http://pacs/v1/", transport=azure)
    return AzureArchive(
        Server(http, ArchiveUnavailable, ArchiveRefuses, ArchiveFault, max_bytes=1_000_000)
    )


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with contextlib.closing(State(tmp_path / "state.sqlite3", "http://pacs/")) as opened:
        yield opened


def follow(azure: Azure, state: State, *, from_now: bool = False) -> list[str]:
    """The SOP Instance UIDs of all that a feed finds; each arrival is finished at once."""

    async def run() -> list[str]:
        feed = ChangesFeed(archive(azure), state, from_now=from_now)
        sops: list[str] = []
        for _ in range(20):
            for arrival in await feed.arrivals():
                if arrival.key is not None:
                    sops.append((await feed.locate(arrival.key)).sop)
                feed.finished(arrival)
        assert feed.backlog == 0
        return sops

    return asyncio.run(run())


@pytest.mark.parametrize("by_number", [False, True])
def test_every_instance_once_over_pages_gaps_and_restarts(state: State, *, by_number: bool) -> None:
    numbers = [*range(1, 251), 700, 701]
    azure = Azure([change(number) for number in numbers], by_number)
    assert follow(azure, state) == [f"1.4.{number}" for number in numbers]
    assert state.cursor == 701
    azure.feed.append(change(702))
    assert follow(azure, state) == ["1.4.702"]


def test_what_is_gone_or_was_replaced_is_passed_over(state: State) -> None:
    feed = [change(1, state="deleted"), change(2, "delete", "deleted"), change(3, state="replaced")]
    assert follow(Azure([*feed, change(4), change(5, "update")]), state) == ["1.4.4"]


def test_an_empty_archive_and_one_that_begins_now(state: State) -> None:
    azure = Azure()
    assert follow(azure, state) == []
    azure.feed += [change(1), change(2)]
    assert follow(azure, state) == ["1.4.1", "1.4.2"]


def test_from_now_on(state: State) -> None:
    azure = Azure([change(1)])
    assert follow(azure, state, from_now=True) == []
    azure.feed.append(change(2))
    assert follow(azure, state, from_now=True) == ["1.4.2"]


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b"[1]", b'[{"Sequence": "a"}]', b'{"Sequence": []}']
)
def test_answers_that_make_no_sense(state: State, answer: bytes) -> None:
    with pytest.raises(ArchiveFault):
        follow(Azure(answer=answer), state)


def test_uids_that_are_none(state: State) -> None:
    azure = Azure([change(1) | {"StudyInstanceUid": "../1.2"}])
    with pytest.raises(ArchiveFault):
        follow(azure, state)
    with pytest.raises(InstanceGone):
        asyncio.run(archive(azure).find("no uid"))
