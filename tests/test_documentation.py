"""README, documentation and metadata say what is true of the program."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import wscxr
from service.app import create_app
from service.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [*sorted(ROOT.glob("*.md")), *PAGES, *sorted((ROOT / "examples").glob("*.md"))]

README_LINES = 130

texts = pytest.mark.parametrize(
    "text", TEXTS, ids=[path.relative_to(ROOT).as_posix() for path in TEXTS]
)


def without_code(markdown: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", markdown, flags=re.MULTILINE | re.DOTALL)


def slugs(markdown: str) -> set[str]:
    """Anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[\s-]+", "-", heading) for heading in words}


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


@texts
def test_links_lead_somewhere(text: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = text.parent / name if name else text
        assert target.exists(), link
        if anchor:
            assert anchor in slugs(target.read_text()), link


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in PAGES:
        assert page.relative_to(ROOT / "docs").as_posix() in navigation


def test_http_reference_names_every_path() -> None:
    page = (ROOT / "docs/reference/http.md").read_text()
    paths = create_app(Settings()).openapi()["paths"]
    for path, operations in paths.items():
        for method in operations:
            assert f"`{method.upper()} {path}`" in page


def test_one_version_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    cited = re.findall(r"^(?:version|date-released): (\S+)$", citation, re.MULTILINE)
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d[^\]]*)\] - (\S+)$", changelog, re.MULTILINE)
    assert cited == [wscxr.__version__, released[0][1]]
    assert released[0][0] == wscxr.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]


def test_image_installs_the_pinned_versions() -> None:
    pins = pinned(ROOT / "constraints.txt")
    image = pinned(ROOT / "requirements-image.txt")
    assert image
    assert image.items() <= pins.items()


def pinned(file: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([\w.]+)", file.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}
