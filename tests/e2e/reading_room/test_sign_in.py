"""With an API key set, the page asks for it once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from service.http.keys import new_key
from tests.e2e.reading_room.room import Room, accessible
from tests.service.serving import make_settings, running


@pytest.fixture(scope="module")
def guarded(coloured: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a service with one key, and that key."""
    key, entry = new_key("reading-room", "reader")
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text(entry.toml())
    with running(make_settings(coloured.parent.parent, api_keys_file=path)) as server:
        yield server.url, key


def test_the_key_is_asked_for_once(
    browser: Browser, guarded: tuple[str, str], chests: list[Path]
) -> None:
    url, key = guarded
    with Room.opened(browser, url) as room:
        dialog = room.page.get_by_role("dialog", name="Sign in")
        expect(dialog).to_be_visible()
        accessible(room.page)
        dialog.get_by_label("API key").fill("not the key")
        dialog.get_by_role("button").click()
        expect(dialog.get_by_role("alert")).to_contain_text("API key")
        dialog.get_by_label("API key").fill(key)
        dialog.get_by_role("button").click()
        expect(dialog).to_be_hidden()
        expect(room.page.locator("#account")).to_contain_text("reading-room (reader)")
        room.choose(chests[0])
        expect(room.page.locator(".item.done")).to_have_count(1)
        room.page.reload()
        expect(room.page.locator("#account")).to_contain_text("reading-room (reader)")
        expect(dialog).to_be_hidden()
        assert key not in room.page.evaluate(
            "() => JSON.stringify([document.cookie, localStorage, sessionStorage])"
        )
        room.page.get_by_role("button", name="Sign out").click()
        expect(dialog).to_be_visible()
