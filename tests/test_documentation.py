"""README, documentation and metadata say what is true of the program."""

import contextlib
import re
import shlex
import shutil
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer
from packaging.utils import canonicalize_name

import wscxr
import wscxr.cli
from service.app import create_app
from service.settings import Settings
from tests.dicom_files import dataset, written
from tests.service.serving import make_settings, running

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [*sorted(ROOT.glob("*.md")), *PAGES, *sorted((ROOT / "examples").glob("*.md"))]

README_LINES = 130

texts = pytest.mark.parametrize(
    "text", TEXTS, ids=[path.relative_to(ROOT).as_posix() for path in TEXTS]
)


def blocks(language: str) -> list[tuple[str, str]]:
    """Every fenced block of one language, with the name of its page."""
    return [
        (f"{text.relative_to(ROOT)}:{number}", code)
        for text in TEXTS
        for number, code in enumerate(
            re.findall(rf"^```{language}\n(.*?)^```$", text.read_text(), re.DOTALL | re.MULTILINE)
        )
    ]


def command_lines() -> list[str]:
    """Every line of a shell block that runs ``wscxr``; continued ones joined, without comments."""
    lines = "\n".join(code for _, code in blocks("sh")).replace("\\\n", " ").splitlines()
    commands = (re.sub(r"\s+#.*|\s*&$", "", line) for line in lines)
    return sorted({line for line in commands if line.startswith("wscxr ")})


python_blocks = pytest.mark.parametrize(
    ("place", "code"), blocks("python"), ids=[place for place, _ in blocks("python")]
)


@pytest.fixture
def folder(trained: Path, unseen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that the documentation speaks of."""
    shutil.copytree(trained, tmp_path / "model_store" / "phantom" / "1")
    shutil.copytree(unseen, tmp_path / "unseen")
    shutil.copy(unseen / "abnormal" / "0000.png", tmp_path / "chest.png")
    (tmp_path / "chest.dcm").write_bytes(written(dataset()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


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


@texts
def test_files_it_names_are_there(text: Path) -> None:
    folders = "benchmarks|docs|examples|integrations|scripts|service|tests|training|wscxr"
    for name in re.findall(rf"`((?:{folders})/[\w./-]+)`", text.read_text()):
        assert (ROOT / name).exists(), name


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


@python_blocks
def test_python_runs_as_printed(place: str, code: str, folder: Path) -> None:
    address = "http://127.0.0.1:8000"
    with contextlib.ExitStack() as stack:
        if address in code:  # then it runs as printed but for the port
            server = stack.enter_context(running(make_settings(folder / "model_store")))
            code = code.replace(address, server.url)
        exec(compile(code, place, "exec"), {})  # noqa: S102 - the project's own documentation


@pytest.mark.parametrize("line", command_lines())
def test_commands_and_options_exist(line: str) -> None:
    app = typer.Typer()
    for part in (wscxr.cli.app, *(p.load() for p in entry_points(group="wscxr.commands"))):
        app.add_typer(part)
    command, name, words = typer.main.get_command(app), "wscxr", shlex.split(line)[1:]
    context = typer.Context(command, info_name=name)
    while isinstance(command, typer.core.TyperGroup):
        name, words = words[0], words[1:]
        found = command.get_command(context, name)
        assert found is not None, name
        command, context = found, typer.Context(found, parent=context, info_name=name)
    command.make_parser(context).parse_args(words)
