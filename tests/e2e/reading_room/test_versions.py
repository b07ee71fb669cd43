"""An admin takes another version of a model into use in the reading room, and goes back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from service.http.keys import new_key
from tests.e2e.reading_room.room import PATIENCE_MS, Room, accessible, no_wider_than
from tests.service.serving import make_settings, running


@pytest.fixture
def versions(coloured: Path, tmp_path: Path) -> Path:
    """A store with versions 1 and 2, of which 1 is in use.

    A file of version 3 is damaged; of version 4 it is the manifest, which the list shows.
    """
    store = tmp_path / "store"
    model = store / "coloured"
    for version in "1234":
        shutil.copytree(coloured, model / version)
    (model / "3" / "discriminator.safetensors").write_bytes(b"damaged")
    (model / "4" / "bundle.json").write_bytes(b"{}")
    (model / "current").write_text("1\n")
    return store


@pytest.fixture
def url(versions: Path) -> Iterator[str]:
    with running(make_settings(versions)) as server:
        yield server.url


def row(page: Page, version: str) -> Locator:
    """The row of a version."""
    named = page.get_by_role("rowheader", name=version, exact=True)
    return page.get_by_role("region", name="Versions", exact=True).locator("tr").filter(has=named)


def button(page: Page, version: str) -> Locator:
    return page.get_by_role("button", name=f"Take into use: version {version}", exact=True)


def go_to_the_model(page: Page) -> None:
    page.get_by_role("link", name="Models").click()
    # The result that was open has a link of that name, too.
    page.locator("#page").get_by_role("link", name="coloured").click()
    expect(row(page, "1")).to_be_visible(timeout=PATIENCE_MS)


def take(page: Page, version: str, instead_of: str) -> None:
    """Take a version into use, by keyboard alone once its button has the focus."""
    button(page, version).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Take version {version} into use?")
    expect(dialog).to_contain_text(
        f"Version {version} takes the place of version {instead_of}. "
        "This applies to the whole service"
    )
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    # Until the service has answered, nothing can be taken into use.
    expect(button(page, "3")).to_be_enabled(timeout=PATIENCE_MS)
    expect(page.get_by_role("status")).not_to_contain_text("Loading", timeout=PATIENCE_MS)


def check_answer(room: Room, chest: Path, version: str) -> None:
    """Make sure that a version answers a new file; the page of the model is open afterwards."""
    room.page.get_by_role("link", name="Reading").click()
    room.choose(chest)
    room.page.locator(".item").last.click()
    named = room.page.locator("#result .model a")
    expect(named).to_have_text(f"coloured {version}", timeout=PATIENCE_MS)
    go_to_the_model(room.page)


def test_a_version_is_taken_into_use_and_back(
    browser: Browser, url: str, chests: list[Path]
) -> None:
    with Room.opened(browser, url) as room:
        page = room.page
        check_answer(room, chests[0], "1")
        expect(row(page, "1")).to_contain_text("In use")
        assert button(page, "1").count() == 0
        for version, old in (("2", "1"), ("1", "2")):
            take(page, version, instead_of=old)
            expect(page.get_by_role("status")).to_have_text(f"Version {version} is in use.")
            expect(page.get_by_role("status")).to_be_focused()
            expect(page.locator("#page h2").first).to_have_text(f"coloured {version}")
            expect(row(page, version)).to_contain_text("In use")
            expect(button(page, old)).to_be_enabled()
            check_answer(room, chests[1], version)
            page.get_by_role("link", name="All models").click()
            expect(page.locator("#page td").first).to_have_text(version)
            page.go_back()


def test_what_cannot_be_used_says_why_and_the_old_version_stays(
    browser: Browser, url: str, chests: list[Path]
) -> None:
    with Room.opened(browser, url) as room:
        page = room.page
        go_to_the_model(page)
        expect(row(page, "4")).to_contain_text(
            "Cannot be used: A file of the bundle is missing, or its hash is wrong. "
            "(bundle_damaged)"
        )
        assert button(page, "4").count() == 0
        take(page, "3", instead_of="1")
        expect(page.get_by_role("alert")).to_have_text(
            "Version 3 was not taken into use: the old version stays; the new one cannot be used "
            "(bundle_damaged): A file of the bundle is missing, or its hash is wrong."
        )
        expect(page.get_by_role("status")).to_have_text("")
        expect(row(page, "1")).to_contain_text("In use")
        expect(button(page, "3")).to_be_enabled()
        check_answer(room, chests[0], "1")


def test_nothing_changes_without_a_yes(browser: Browser, url: str) -> None:
    with Room.opened(browser, url) as room:
        page = room.page
        go_to_the_model(page)
        button(page, "2").click()
        page.get_by_role("button", name="Cancel").click()
        expect(button(page, "2")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.reload()
        expect(row(page, "1")).to_contain_text("In use")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_everybody_can_use_it(browser: Browser, url: str, width: int, height: int) -> None:
    with Room.opened(browser, url, width, height) as room:
        page = room.page
        go_to_the_model(page)
        expect(button(page, "2")).to_be_visible()
        accessible(page)
        no_wider_than(page, width)
        button(page, "2").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        accessible(page)
        no_wider_than(page, width)


def test_a_reader_has_no_buttons(browser: Browser, versions: Path, tmp_path: Path) -> None:
    key, entry = new_key("dr-a", "reader")
    keys = tmp_path / "keys.toml"
    keys.write_text(entry.toml())
    with (
        running(make_settings(versions, api_keys_file=keys)) as server,
        Room.opened(browser, server.url) as room,
    ):
        page = room.page
        dialog = page.get_by_role("dialog", name="Sign in")
        dialog.get_by_label("API key").fill(key)
        dialog.get_by_role("button").click()
        go_to_the_model(page)
        expect(row(page, "2")).to_contain_text("Not in use")
        assert page.get_by_role("button", name="Take into use").count() == 0
