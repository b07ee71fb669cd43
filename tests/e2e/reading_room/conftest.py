"""A real browser on a real service."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.reading_room.room import Room
from tests.helpers import CPU, encode
from tests.service.serving import RunningServer, make_settings, running
from training.phantoms import write_phantoms
from wscxr.bundle.bundle import Bundle
from wscxr.results.png import ColourScale

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_AS_ROOT = ["--no-sandbox"]
"""Chromium's sandbox refuses to run as root, as containers of a CI do."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, of the system: nothing is downloaded.

    Not for the whole session: Playwright leaves its event loop running, which other tests refuse.
    """
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        missing = "needs a browser; on Debian: apt-get install chromium"
        (pytest.fail if os.environ.get("WSCXR_REQUIRE_CHROMIUM") else pytest.skip)(missing)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, args=_AS_ROOT if os.geteuid() == 0 else []
        )
        yield started
        started.close()


@pytest.fixture(scope="session")
def coloured(trained_aligned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that looks for the lungs, with a colour scale that its few steps reach."""
    bundle = Bundle.load(trained_aligned, CPU)
    scale = {"colour_scale": ColourScale(low=0.2, high=0.6)}
    bundle.manifest = bundle.manifest.model_copy(update=scale)
    path = tmp_path_factory.mktemp("coloured") / "coloured" / "1"
    bundle.write(path)
    return path


@pytest.fixture(scope="package")
def reading_room(coloured: Path) -> Iterator[RunningServer]:
    """A service with that bundle."""
    with running(make_settings(coloured.parent.parent)) as server:
        yield server


@pytest.fixture
def room(browser: Browser, reading_room: RunningServer) -> Iterator[Room]:
    """The page, just opened; what its scripts complain of fails the test."""
    with Room.opened(browser, reading_room.url) as opened:
        yield opened


@pytest.fixture
def page(room: Room) -> Page:
    return room.page


@pytest.fixture(scope="session")
def chests(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three normal and three abnormal phantoms of 128 px."""
    folder = tmp_path_factory.mktemp("chests")
    write_phantoms(folder, normal=3, abnormal=3, size=128, seed=5)
    return [
        *sorted((folder / "normal").glob("*.png")),
        *sorted((folder / "abnormal").glob("*.png")),
    ]


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16-bit grey from 30,000 on the left to 30,127 on the right, between black and white."""
    ramp = np.broadcast_to(np.arange(30_000, 30_128, dtype=np.uint16), (96, 128)).copy()
    ramp[:8], ramp[-8:] = 0, 65_535
    path = tmp_path_factory.mktemp("deep") / "ramp.png"
    path.write_bytes(encode(ramp))
    return path
