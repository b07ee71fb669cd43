"""The page itself: files in, radiographs and results on the screen."""

import itertools
import math
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from service.settings import Settings
from tests.dicom_files import dataset, written
from tests.e2e.reading_room.room import Room, accessible, grey, no_wider_than
from tests.helpers import encode
from tests.service.serving import RunningServer, make_settings, running
from wscxr.bundle.bundle import Bundle
from wscxr.results.png import _COLOURS

MIDDLE = (0.5, 0.5)


def test_files_are_chosen_or_dropped(room: Room, chests: list[Path]) -> None:
    room.choose(*chests[:2])
    room.drop([(path.name, path.read_bytes()) for path in chests[2:4]])
    expect(room.page.locator(".item.done")).to_have_count(4)
    expect(room.page.locator(".count")).to_have_text("4 of 4 analysed")


def test_each_file_fails_for_itself(room: Room, chests: list[Path]) -> None:
    room.drop([("notes.txt", b"no picture"), ("chest.png", chests[0].read_bytes())])
    expect(room.page.locator(".item.failed .problem")).to_have_text(
        "the file is neither PNG nor JPEG nor DICOM"
    )
    expect(room.page.locator(".item.done")).to_have_count(1)
    expect(room.page.locator(".count")).to_have_text("2 of 2 analysed, 1 failed")


def test_a_file_name_is_shown_as_text(room: Room, chests: list[Path]) -> None:
    name = "<img src=x onerror=alert(1)><b>name</b>.png"
    room.drop([(name, chests[0].read_bytes())])
    expect(room.page.locator(".item .title")).to_have_text(name)
    assert room.page.locator("#browser img, #browser b, #result img, #result b").count() == 0


def test_what_the_model_says(room: Room, chests: list[Path], coloured: Path) -> None:
    room.choose(chests[-1])
    prediction = Bundle.load(coloured, "cpu").predict(chests[-1])
    result = room.page.locator("#result")
    expect(result.locator("p.decision")).to_have_text(prediction.decision.value)
    expect(result.locator("dd").nth(2)).to_have_text(f"{prediction.p_value:.4f}")
    expect(result.locator(".words")).to_contain_text("of the calibration")
    for warning in prediction.warnings:
        expect(result).to_contain_text(warning)
    expect(result.locator(".model a")).to_have_text("coloured 1")


def test_the_window_is_on_the_files_own_values(room: Room, deep: Path) -> None:
    room.choose(deep)
    room.press("s")  # the radiograph alone is on the left
    left, right = (0.05, 0.5), (0.45, 0.5)
    # A step of 256 values has one grey of an 8-bit picture: all of the ramp looks the same.
    assert abs(grey(room.pixel(*left)) - grey(room.pixel(*right))) <= 1
    width, level = (room.page.get_by_label(name, exact=True) for name in ("W", "L"))
    level.fill("30064")
    width.fill("128")
    width.press("Enter")
    assert grey(room.pixel(*left)) < 40
    assert grey(room.pixel(*right)) > 215
    room.page.locator("#stage").focus()
    room.press("i")
    assert grey(room.pixel(*left)) > 215
    room.press("l")
    assert grey(room.pixel(*left)) < 40
    room.press("w")
    assert abs(grey(room.pixel(*left)) - grey(room.pixel(*right))) <= 1


def test_dragging_changes_the_window(room: Room, chests: list[Path]) -> None:
    room.choose(chests[0])
    page = room.page
    page.keyboard.down(" ")
    before = grey(room.pixel(*MIDDLE))
    page.keyboard.up(" ")
    box = page.locator("#stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 120, steps=4)
    page.mouse.up()
    page.keyboard.down(" ")
    assert grey(room.pixel(*MIDDLE)) < before
    page.keyboard.up(" ")
    assert int(page.get_by_label("L", exact=True).input_value()) > 128


def test_the_map_goes_while_space_is_held_and_with_its_opacity(
    room: Room, chests: list[Path]
) -> None:
    room.choose(chests[-1])
    room.press("o")  # without outlines, colour is the map's
    spread = _spread(room)
    assert spread > 0
    room.page.keyboard.down(" ")
    assert _spread(room) == 0
    room.page.keyboard.up(" ")
    assert _spread(room) == spread
    slider = room.page.get_by_role("slider", name="Map")
    slider.fill("0")
    assert _spread(room) == 0
    slider.fill("1")
    assert _spread(room) > spread
    room.press("[")
    assert slider.input_value() == "0.9"


def _spread(room: Room) -> int:
    """How far from grey the most coloured of some places is."""
    places = [(x / 10, y / 10) for x in range(3, 8) for y in range(1, 10)]
    return max(max(pixel) - min(pixel) for pixel in (room.pixel(*place) for place in places))


def test_the_map_has_the_colours_of_the_services_own_png(
    room: Room, chests: list[Path], coloured: Path
) -> None:
    room.choose(chests[-1])
    room.press("o")
    room.press("1")
    overlay = np.asarray(Bundle.load(coloured, "cpu").predict(chests[-1]).overlay())
    size = room.page.evaluate(
        "() => ['width', 'height'].map((side) => document.getElementById('stage')[side])"
    )
    left, top = (math.floor(side / 2 - 64 + 0.5) for side in size)
    coloured_places = 0
    for row, column in itertools.product(range(8, 128, 20), repeat=2):
        place = (left + column + 0.5) / size[0], (top + row + 0.5) / size[1]
        np.testing.assert_allclose(room.pixel(*place), overlay[row, column], atol=4)
        coloured_places += len(set(overlay[row, column])) > 1
    assert coloured_places > 3


def test_zoom_and_move(room: Room, deep: Path) -> None:
    room.choose(deep)
    room.press("s")
    fitted = room.pixel(0.25, 0.01), room.pixel(0.25, 0.99)
    room.press("1")
    room.press("+")
    assert (room.pixel(0.25, 0.01), room.pixel(0.25, 0.99)) != fitted or fitted[0] == (0, 0, 0)
    for _ in range(40):
        room.press("+")
    for _ in range(200):
        room.page.keyboard.press("ArrowDown")
    assert grey(room.pixel(0.25, 0.3)) == 255  # the white strip at the bottom
    room.press("f")
    assert (room.pixel(0.25, 0.01), room.pixel(0.25, 0.99)) == fitted


def test_next_and_previous(room: Room, chests: list[Path]) -> None:
    room.choose(*chests[:3])
    selected = room.page.locator("[aria-selected=true] .title")
    expect(selected).to_have_text(chests[0].name)
    room.page.locator("#stage").focus()
    room.press("j")
    expect(selected).to_have_text(chests[1].name)
    expect(room.page.locator("#result h2")).to_have_text(chests[1].name)
    room.press("j")
    room.press("j")
    expect(selected).to_have_text(chests[2].name)
    room.press("k")
    expect(selected).to_have_text(chests[1].name)


def test_keys_can_be_switched_off(room: Room, chests: list[Path]) -> None:
    room.choose(chests[0])
    room.press("?")
    dialog = room.page.get_by_role("dialog")
    dialog.get_by_label("Single keys act").uncheck()
    dialog.get_by_role("button", name="Close").click()
    room.press("i")
    expect(room.page.get_by_role("button", name="Invert")).to_have_attribute(
        "aria-pressed", "false"
    )


def test_saving_as_png(room: Room, chests: list[Path]) -> None:
    room.choose(chests[0])
    with room.page.expect_download() as saving:
        room.page.get_by_label("Save").select_option("png")
    saved = Path(saving.value.path()).read_bytes()
    assert saved.startswith(b"\x89PNG")
    assert int.from_bytes(saved[16:20], "big") == 128
    expect(room.page.locator("#message")).to_be_empty()


def test_saving_as_dicom(room: Room) -> None:
    import pydicom

    source = dataset()
    room.drop([("chest.dcm", written(source))])
    for kind, modality in (("sc", "OT"), ("sr", "SR"), ("seg", "SEG"), ("gsps", "PR")):
        with room.page.expect_download() as saving:
            room.page.get_by_label("Save").select_option(kind)
        result = pydicom.dcmread(saving.value.path())
        assert result.Modality == modality
        assert result.StudyInstanceUID == source.StudyInstanceUID


def test_a_png_cannot_be_saved_as_dicom(room: Room, chests: list[Path]) -> None:
    room.choose(chests[0])
    expect(room.page.locator("select[aria-label=Save] option[value=sr]")).to_be_disabled()


def test_models_and_card(room: Room, coloured: Path) -> None:
    room.page.get_by_role("link", name="Models").click()
    expect(room.page.get_by_role("rowheader")).to_have_text("coloured (default)")
    room.page.get_by_role("link", name="coloured").click()
    card = (coloured / "MODEL_CARD.md").read_text()
    expect(room.page.locator(".card")).to_have_text(card)
    room.page.go_back()
    expect(room.page.get_by_role("rowheader")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_it_can_be_used_by_everybody(
    browser: Browser, reading_room: RunningServer, chests: list[Path], width: int, height: int
) -> None:
    with Room.opened(browser, reading_room.url, width, height) as room:
        accessible(room.page)
        room.choose(*chests[:2])
        accessible(room.page)
        no_wider_than(room.page, width)
        room.press("?")
        accessible(room.page)
        room.press("Escape")
        for place in ("Models",):
            room.page.get_by_role("link", name=place).click()
            expect(room.page.locator("#page h2")).to_be_visible()
            accessible(room.page)
            no_wider_than(room.page, width)


@pytest.mark.slow
def test_four_hundred_files(room: Room, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = []
    for number in range(400):
        paths.append(tmp_path / f"{number:03d}.png")
        paths[-1].write_bytes(encode(rng.integers(0, 256, (64, 64), dtype=np.uint8)))
    room.choose(*paths)
    expect(room.page.locator(".count")).to_have_text("400 of 400 analysed")
    room.page.locator(".items").focus()
    room.press("End")
    expect(room.page.locator("[aria-selected=true] .title")).to_have_text("399.png")


def test_the_policy_lets_the_page_run_its_own_files_alone(reading_room: RunningServer) -> None:
    answer = httpx.get(reading_room.url)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert not re.search(r"\s(style|on\w+)=|<style|<script>|https?:", answer.text)


def test_the_page_can_be_switched_off(coloured: Path) -> None:
    settings: Settings = make_settings(coloured.parent.parent, page=False)
    with running(settings) as server:
        assert httpx.get(server.url).status_code == 404
        assert httpx.get(f"{server.url}/page/main.js").status_code == 404


def test_the_colours_are_those_of_the_services_pngs(page: Page) -> None:
    colours = page.evaluate("async () => [...(await import('/page/colours.js')).COLOURS]")
    assert bytes(colours) == _COLOURS.tobytes()
