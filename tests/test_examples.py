"""Each script of examples/ runs as its first lines say."""

import csv
import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image

from tests.service.serving import make_settings, running

ROOT = Path(__file__).parent.parent


def run(script: str, *arguments: object) -> int:
    """Run a script in this process, which has the heavy modules already; its exit code."""
    words = [script, *map(str, arguments)]
    with mock.patch.object(sys, "argv", words):
        try:
            runpy.run_path(str(ROOT / "examples" / script), run_name="__main__")
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else 1
    return 0


def test_there_is_a_test_of_each() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_examples.py"))
    for script in (ROOT / "examples").glob("*.py"):
        assert f'"{script.name}"' in tests


def test_score_folder(trained: Path, unseen: Path, tmp_path: Path) -> None:
    folder, out = unseen / "normal", tmp_path / "scores.csv"
    assert run("score_folder.py", folder, out, "--bundle", trained) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["file"] for row in rows] == sorted(path.name for path in folder.iterdir())
    assert all(float(row["p_value"]) > 0 and not row["error"] for row in rows)


def test_score_folder_names_what_cannot_be_used(trained: Path, tmp_path: Path) -> None:
    archive, out = tmp_path / "archive", tmp_path / "scores.csv"
    archive.mkdir()
    (archive / "note.txt").write_text("not an image")
    assert run("score_folder.py", archive, out, "--bundle", trained) == 0
    [row] = csv.DictReader(out.read_text().splitlines())
    assert (row["file"], row["error"]) == ("note.txt", "unsupported_format")


def test_plot_map(unseen: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    assert run("plot_map.py", unseen / "abnormal" / "0000.png", figure) == 0
    with Image.open(figure) as image:
        assert image.width > image.height > 100


def test_train_and_evaluate(
    phantoms: Path, unseen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "store" / "chest" / "1"
    assert run("train_and_evaluate.py", phantoms, unseen, bundle, "-k", 4) == 0
    assert capsys.readouterr().out.startswith("AUROC ")
    assert (bundle / "bundle.json").is_file()


def test_service_client(
    trained: Path,
    unseen: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WSCXR_API_KEY", "a-key-of-more-than-sixteen-characters")
    image, note = unseen / "abnormal" / "0000.png", tmp_path / "note.txt"
    note.write_text("not an image")
    with running(make_settings(trained.parents[1])) as server:
        url = ("--url", server.url)
        assert run("service_client.py", image, *url, "--maps", tmp_path / "maps") == 0
        assert "score" in capsys.readouterr().out
        with Image.open(tmp_path / "maps" / "0000.png") as drawn, Image.open(image) as source:
            assert drawn.size == source.size
        assert run("service_client.py", note, *url) == 1
        assert "[unsupported_format]" in capsys.readouterr().err
        monkeypatch.delenv("WSCXR_API_KEY")
        assert run("service_client.py", image, *url) == 1
        assert "[unauthorized]" in capsys.readouterr().err
