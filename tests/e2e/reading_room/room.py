"""The page as a reader sees and uses it."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

PATIENCE_MS = 60_000

_PIXELS = """
([x, y]) => {
  const canvas = document.getElementById("stage");
  const at = [x * canvas.width, y * canvas.height].map(Math.floor);
  return [...canvas.getContext("2d").getImageData(...at, 1, 1).data.slice(0, 3)];
}
"""
_DROP = """
async (files) => {
  const dropped = new DataTransfer();
  for (const { name, bytes } of files) {
    dropped.items.add(new File([Uint8Array.from(bytes)], name));
  }
  for (const kind of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: dropped, bubbles: true }));
  }
}
"""


class Room:
    """One tab with the page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.origins: set[str] = set()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._hear(said.type, said.text))
        page.on("request", lambda request: self.origins.add(_origin(request.url)))
        page.set_default_timeout(PATIENCE_MS)

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, browser: Browser, url: str, width: int = 1280, height: int = 800
    ) -> Iterator["Room"]:
        """Open the page in a window of its own, without the cookies of others."""
        context = browser.new_context(viewport={"width": width, "height": height})
        room = cls(context.new_page(), url)
        room.page.goto(url)
        yield room
        context.close()
        assert room.complaints == []
        # Pictures that the page made itself have no origin.
        assert room.origins <= {_origin(url), "blob:"}

    def choose(self, *paths: Path) -> None:
        """Choose files, and wait until each is analysed or failed."""
        before = self.items()
        self.page.set_input_files("input[type=file]", paths)
        self.ended(before + len(paths))

    def drop(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Drop files onto the page, and wait as `choose` does."""
        before = self.items()
        said = [{"name": name, "bytes": list(data)} for name, data in files]
        self.page.evaluate(_DROP, said)
        self.ended(before + len(files))

    def items(self) -> int:
        return self.page.locator(".item").count()

    def ended(self, count: int) -> None:
        expect(self.page.locator(".item.done, .item.failed")).to_have_count(
            count, timeout=PATIENCE_MS
        )
        self.still()

    def still(self) -> None:
        """Wait until the open radiograph is drawn."""
        expect(self.page.locator("#surface[aria-busy]")).to_have_count(0, timeout=PATIENCE_MS)
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def pixel(self, x: float, y: float) -> tuple[int, int, int]:
        """Red, green and blue of the canvas, at shares of its width and height."""
        self.still()
        red, green, blue = self.page.evaluate(_PIXELS, [x, y])
        return red, green, blue

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.still()

    def _hear(self, kind: str, text: str) -> None:
        # A browser reports every refusal of the service as an error, expected or not.
        if kind == "error" and "Failed to load resource" not in text:
            self.complaints.append(text)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return "blob:" if parts.scheme == "blob" else f"{parts.scheme}://{parts.netloc}"


def grey(pixel: tuple[int, int, int]) -> int:
    """The grey of a pixel without colour."""
    assert len(set(pixel)) == 1, json.dumps(pixel)
    return pixel[0]


def accessible(page: Page) -> None:
    """Make sure that axe finds nothing serious."""
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    said = [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in serious]
    assert said == []


def no_wider_than(page: Page, width: int) -> None:
    """Make sure that nothing has to be scrolled sideways."""
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
