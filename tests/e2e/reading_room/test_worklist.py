"""Recorded analyses in the reading room: what is listed, judged, and seen by others."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from service.http.keys import new_key
from tests.dicom_files import dataset, picture, written
from tests.e2e.reading_room.room import Room, accessible, no_wider_than
from tests.helpers import encode
from tests.service.pacs.conftest import orthanc, start_orthanc
from tests.service.pacs.orthanc import PASSWORD, USER, Orthanc
from tests.service.records.test_api import send
from tests.service.serving import RunningServer, make_settings, running, wait_for

__all__ = ["orthanc", "start_orthanc"]  # fixtures

NOTE = "<script>alert(1)</script> right lower lobe"


class Clinic:
    """A service that records what it answers, and two readers with keys of their own."""

    def __init__(self, server: RunningServer, keys: dict[str, str]) -> None:
        self.server = server
        self._keys = keys

    def api(self, name: str = "dr-a") -> httpx.Client:
        headers = {"X-API-Key": self._keys[name]}
        return httpx.Client(base_url=self.server.url, headers=headers, timeout=60)

    def analyse(self, *images: bytes) -> None:
        """Have images analysed, one by one, and recorded."""
        with self.api() as client:
            before = self.recorded(client)
            for image in images:
                client.post("/v1/predict", files={"file": image}).raise_for_status()
            wait_for(lambda: self.recorded(client) == before + len(images), every_s=0.1)

    def recorded(self, client: httpx.Client) -> int:
        """How many analyses the record has."""
        count, query = 0, {"limit": "200"}
        while True:
            page = client.get("/v1/analyses", params=query).json()
            count += len(page["items"])
            if page["next"] is None:
                return count
            query["cursor"] = page["next"]

    @contextlib.contextmanager
    def reader(self, browser: Browser, name: str) -> Iterator[Room]:
        """The worklist, as one of the readers sees it."""
        with Room.opened(browser, self.server.url) as room:
            dialog = room.page.get_by_role("dialog", name="Sign in")
            dialog.get_by_label("API key").fill(self._keys[name])
            dialog.get_by_role("button").click()
            room.page.get_by_role("button", name="Worklist").click()
            yield room


@pytest.fixture
def clinic(coloured: Path, tmp_path: Path) -> Iterator[Clinic]:
    made = {name: new_key(name, "reader") for name in ("dr-a", "dr-b")}
    (tmp_path / "keys.toml").write_text("".join(entry.toml() for _, entry in made.values()))
    settings = make_settings(
        coloured.parent.parent,
        api_keys_file=tmp_path / "keys.toml",
        records=f"sqlite:///{tmp_path / 'records.sqlite3'}",
        record_images=tmp_path / "images",
    )
    with running(settings) as server:
        yield Clinic(server, {name: key for name, (key, _) in made.items()})


def test_kept_pictures_open_with_their_maps(
    clinic: Clinic, browser: Browser, chests: list[Path]
) -> None:
    clinic.analyse(chests[-1].read_bytes())
    with clinic.reader(browser, "dr-a") as room:
        expect(room.page.locator(".worklist .item")).to_have_count(1)
        room.still()
        expect(room.page.locator("#colour-bar")).to_be_visible()
        room.press("o")
        assert any(len(set(room.pixel(0.5, y / 10))) > 1 for y in range(1, 10))


def test_keys_judge_and_go_on(clinic: Clinic, browser: Browser, chests: list[Path]) -> None:
    clinic.analyse(*(path.read_bytes() for path in chests[:3]))
    with clinic.reader(browser, "dr-a") as room:
        page = room.page
        expect(page.locator(".worklist .item")).to_have_count(3)
        page.locator("#stage").focus()
        room.press("e")
        page.keyboard.type(NOTE)
        room.press("Escape")
        page.keyboard.press("a")
        expect(page.locator(".item").nth(0)).to_contain_text("judged abnormal")
        expect(page.locator("[aria-selected=true]")).to_have_count(1)
        expect(page.locator(".item").nth(1)).to_have_attribute("aria-selected", "true")
        page.keyboard.press("n")
        expect(page.locator(".item").nth(1)).to_contain_text("judged normal")
        page.keyboard.press("u")
        expect(page.locator(".item").nth(2)).to_contain_text("judged unsure")
        expect(page.locator(".item.judged")).to_have_count(3)
        # By default the list has what nobody has judged.
        page.get_by_role("button", name="Refresh").click()
        expect(page.locator(".item")).to_have_count(0)
        page.get_by_label("Judged").select_option(label="Judged")
        expect(page.locator(".item")).to_have_count(3)
        expect(page.locator(".standing")).to_contain_text(NOTE)
        assert page.locator("#result script").count() == 0
    with clinic.api() as client:
        items = client.get("/v1/analyses").json()["items"]
        assert [item["review"]["verdict"] for item in items] == ["abnormal", "normal", "unsure"]
        assert items[0]["review"]["note"] == NOTE
        assert {item["review"]["reviewer"] for item in items} == {"dr-a"}


def test_a_model_shows_its_versions_on_the_reviews(
    clinic: Clinic, browser: Browser, chests: list[Path]
) -> None:
    clinic.analyse(*(path.read_bytes() for path in chests[:3]))
    with clinic.reader(browser, "dr-a") as room:
        page = room.page
        expect(page.locator(".worklist .item")).to_have_count(3)
        page.get_by_role("link", name="Models").click()
        page.locator("#page").get_by_role("link").first.click()
        expect(page.locator("#page")).to_contain_text("None of its recorded analyses was judged")
        with clinic.api() as client:
            for item in client.get("/v1/analyses").json()["items"]:
                body = {"verdict": "normal", "revision": 0}
                address = f"/v1/analyses/{item['id']}/reviews"
                client.post(address, json=body).raise_for_status()
        page.get_by_role("link", name="All models").click()
        page.locator("#page").get_by_role("link").first.click()
        table = page.get_by_role("region", name="Versions on the reviews")
        expect(table.locator("tbody tr")).to_have_count(1)
        expect(table.locator("tbody td").nth(2)).to_have_text("3")
        expect(table.locator("tbody td").nth(3)).to_contain_text(" % (")
        accessible(page)


def test_two_readers_do_not_overwrite_each_other(
    clinic: Clinic, browser: Browser, chests: list[Path]
) -> None:
    clinic.analyse(chests[0].read_bytes())
    with clinic.reader(browser, "dr-a") as first, clinic.reader(browser, "dr-b") as second:
        for room in (first, second):
            expect(room.page.locator(".worklist .item")).to_have_count(1)
            room.still()
            room.page.locator("#stage").focus()
        first.page.keyboard.press("n")
        expect(first.page.locator(".item")).to_contain_text("judged normal")
        second.page.keyboard.press("a")
        review = second.page.locator(".review")
        expect(review.get_by_role("alert")).to_contain_text("Somebody else judged")
        expect(review.locator(".standing")).to_contain_text("dr-a said normal")
        second.page.keyboard.press("a")
        expect(review.locator(".standing")).to_contain_text("dr-b said abnormal")
        expect(review.get_by_role("alert")).to_be_empty()


def test_a_file_of_ones_own_is_judged_too(
    clinic: Clinic, browser: Browser, chests: list[Path]
) -> None:
    with clinic.reader(browser, "dr-a") as room:
        room.page.get_by_role("button", name="Files").click()
        room.choose(chests[0])
        room.page.get_by_role("button", name="Unsure").click()
        expect(room.page.locator(".standing")).to_contain_text("dr-a said unsure")


def test_filters_and_order(clinic: Clinic, browser: Browser, chests: list[Path]) -> None:
    clinic.analyse(*(path.read_bytes() for path in chests))
    with clinic.api() as client:
        items = client.get("/v1/analyses?order=unusual").json()["items"]
    abnormal = sum(item["decision"] == "abnormal" for item in items)
    with clinic.reader(browser, "dr-a") as room:
        expect(room.page.locator(".item")).to_have_count(6)
        room.page.get_by_label("Order").select_option("unusual")
        expect(room.page.locator(".item").first).to_have_id(f"analysis-{items[0]['id']}")
        room.page.get_by_label("Decision").select_option("abnormal")
        expect(room.page.locator(".item")).to_have_count(abnormal)
        room.page.get_by_label("Decision").select_option("")
        room.page.get_by_label("Source").select_option("pacs")
        expect(room.page.locator(".item")).to_have_count(0)


def test_it_can_be_used_by_everybody(clinic: Clinic, browser: Browser, chests: list[Path]) -> None:
    clinic.analyse(*(path.read_bytes() for path in chests[:2]))
    with clinic.reader(browser, "dr-a") as room:
        expect(room.page.locator(".item")).to_have_count(2)
        room.still()
        room.page.set_viewport_size({"width": 390, "height": 844})
        accessible(room.page)
        no_wider_than(room.page, 390)


@pytest.mark.slow
def test_four_hundred_analyses(clinic: Clinic, browser: Browser) -> None:
    rng = np.random.default_rng(0)
    noise = (rng.integers(0, 256, (64, 64), dtype=np.uint8) for _ in range(400))
    clinic.analyse(*map(encode, noise))
    with clinic.reader(browser, "dr-a") as room:
        expect(room.page.locator(".item")).to_have_count(100)
        for count in (200, 300, 400):
            room.page.get_by_role("button", name="More").click()
            expect(room.page.locator(".item")).to_have_count(count)
        expect(room.page.get_by_role("button", name="More")).to_be_hidden()
        ids = room.page.evaluate("() => [...document.querySelectorAll('.item')].map((e) => e.id)")
        assert len(set(ids)) == 400


def test_a_study_of_the_pacs_opens_with_its_picture(
    browser: Browser,
    coloured: Path,
    orthanc: Orthanc,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The record keeps no pictures; a real Orthanc has them."""
    today = f"{datetime.now(UTC):%Y%m%d}"
    sent = [dataset(picture(seed=seed), seed=seed, StudyDate=today) for seed in range(2)]
    orthanc.stow([written(sent[0])])
    for name, value in (("URL", orthanc.url), ("USER", USER), ("PASSWORD", PASSWORD)):
        monkeypatch.setenv(f"WSCXR_PACS_{name}", value)
    settings = make_settings(
        coloured.parent.parent, records=f"sqlite:///{tmp_path / 'records.sqlite3'}"
    )
    with running(settings) as server:
        for data in (written(sent[1]), written(sent[0])):
            send(server, data, **{"X-WSCXR-Source": "pacs"})
        with Room.opened(browser, server.url) as room:
            page = room.page
            page.get_by_role("button", name="Worklist").click()
            expect(page.locator(".item").first).to_contain_text("PACS")
            room.still()
            expect(page.locator("#message")).to_be_empty()
            expect(page.locator("#colour-bar")).to_be_visible()
            # The other one is in the archive no more.
            page.locator("#stage").focus()
            room.press("j")
            expect(page.locator("#message")).to_contain_text("not kept")
