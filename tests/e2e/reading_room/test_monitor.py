"""Drift as the monitor shows it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from service.records.database import Database
from service.records.keys import RecordKey
from service.records.ledger import Ledger
from service.records.location import Location
from service.records.record import NewReview, Verdict
from service.records.store import Records
from tests.e2e.reading_room.room import Room, accessible, no_wider_than
from tests.service.records.drift.streams import images
from tests.service.serving import make_settings, running


@dataclass(frozen=True)
class Watched:
    """A service whose record has eight weeks of two devices; one of them changed this week."""

    url: str
    warned: str


@pytest.fixture(scope="module")
def watched(coloured: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    url = f"sqlite:///{folder / 'records.sqlite3'}"
    location = Location.parse(url)
    assert location is not None
    database = Database(location)
    records = Records(database, Ledger(RecordKey.read(None, location)))
    rng = np.random.default_rng(3)
    for ago in range(7, -1, -1):
        steady = list(images(ago, 120, rng, source="pacs", manufacturer="ACME", device="DX 1"))
        sharpness = 0.02 if ago else 0.03
        records.add(steady)
        records.add(
            [*images(ago, 120, rng, sharpness=sharpness, manufacturer="<b>ACME</b>", device="DX 2")]
        )
        for row in steady[:10]:
            records.review(row["id"], NewReview(verdict=Verdict.NORMAL, revision=0), "dr-a")
    database.close()
    with running(make_settings(coloured.parent.parent, records=url)) as server:
        report = httpx.get(f"{server.url}/v1/drift").json()
        [warned] = [row for row in report["rows"] if row["warnings"]]
        yield Watched(server.url, warned["warnings"][0]["analyses"][0])


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desk", "phone"])
def test_weeks_of_each_device(browser: Browser, watched: Watched, width: int, height: int) -> None:
    with Room.opened(browser, watched.url, width, height) as room:
        page = room.page
        page.get_by_role("link", name="Monitor").click()
        expect(page.get_by_role("status")).to_have_text(
            "Warnings in the latest week: 1 of 2 devices."
        )
        # What has changed comes first; what a header says is text.
        streams = page.locator(".stream")
        expect(streams.nth(0).get_by_role("heading")).to_have_text(
            "chest 1 · uploads · <b>ACME</b> DX 2"
        )
        expect(streams.nth(1).get_by_role("heading")).to_have_text("chest 1 · PACS · ACME DX 1")
        warning = streams.nth(0).locator(".warning").first
        expect(warning).to_contain_text("Sharpness against the first weeks here: higher")
        expect(warning).to_contain_text("wscxr calibrate")
        assert streams.nth(1).locator(".warning").count() == 0
        # A line of six points for the weeks after the first ones; the last of them past the limit.
        chart = streams.nth(0).get_by_role("img", name="Sharpness")
        assert chart.locator("circle.first_weeks").count() == 6
        assert chart.locator("circle.above").count() == 1
        expect(
            streams.nth(1).get_by_role("img", name="False alarms, four weeks: latest")
        ).to_be_visible()
        assert streams.nth(0).get_by_role("img", name="False alarms").count() == 0
        streams.nth(0).get_by_text("Weeks as a table").click()
        cells = streams.nth(0).locator("tbody tr").first.locator("td")
        expect(cells).to_have_text(["120", "3.33 %", "nothing judged normal", "Sharpness"])
        accessible(page)
        no_wider_than(page, width)


def test_an_image_to_look_at_opens(browser: Browser, watched: Watched) -> None:
    with Room.opened(browser, watched.url) as room:
        page = room.page
        page.get_by_role("link", name="Monitor").click()
        page.get_by_role("link", name="Image 1").first.click()
        expect(page.locator(".worklist .item")).to_have_count(1)
        expect(page.locator(f"#analysis-{watched.warned}")).to_have_attribute(
            "aria-selected", "true"
        )
        page.get_by_role("button", name="Refresh").click()
        expect(page.locator(".worklist .item")).to_have_count(100)
        page.go_back()
        expect(page.locator(".stream")).to_have_count(2)


def test_without_a_record_there_is_no_monitor(room: Room) -> None:
    expect(room.page.get_by_role("link", name="Models")).to_be_visible()
    assert room.page.get_by_role("link", name="Monitor").count() == 0
