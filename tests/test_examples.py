"""Each script of examples/ runs as its first lines say."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.service.serving import make_settings, running

ROOT = Path(__file__).parent.parent


def run(script: str, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, ROOT / "examples" / script, *arguments]
    ran = subprocess.run([str(word) for word in words], text=True, capture_output=True)
    assert ran.returncode == code, ran.stderr
    return ran


def test_there_is_a_test_of_each() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_examples.py"))
    for script in (ROOT / "examples").glob("*.py"):
        assert f'"{script.name}"' in tests


def test_score_folder(trained: Path, unseen: Path, tmp_path: Path) -> None:
    (tmp_path / "archive").symlink_to(unseen)
    folder = tmp_path / "archive" / "normal"
    out = tmp_path / "scores.csv"
    run("score_folder.py", folder, out, "--bundle", trained)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["file"] for row in rows] == sorted(path.name for path in folder.iterdir())
    assert all(float(row["p_value"]) > 0 and not row["error"] for row in rows)


def test_score_folder_names_what_cannot_be_used(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "note.txt").write_text("not an image")
    run("score_folder.py", tmp_path / "archive", tmp_path / "scores.csv", "--bundle", trained)
    [row] = csv.DictReader((tmp_path / "scores.csv").read_text().splitlines())
    assert (row["file"], row["error"]) == ("note.txt", "unsupported_format")


def test_plot_map(unseen: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    run("plot_map.py", unseen / "abnormal" / "0000.png", figure)
    with Image.open(figure) as image:
        assert image.width > image.height > 100


def test_train_and_evaluate(phantoms: Path, unseen: Path, tmp_path: Path) -> None:
    ran = run("train_and_evaluate.py", phantoms, unseen, tmp_path / "store/chest/1", "-k", 4)
    assert ran.stdout.startswith("AUROC ")
    assert (tmp_path / "store/chest/1/bundle.json").is_file()


def test_service_client(
    trained: Path, unseen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "a-key-of-more-than-sixteen-characters"
    monkeypatch.setenv("WSCXR_API_KEY", key)
    image = unseen / "abnormal" / "0000.png"
    note = tmp_path / "note.txt"
    note.write_text("not an image")
    with running(make_settings(trained.parents[1])) as server:
        url = ("--url", server.url)
        ran = run("service_client.py", image, *url, "--maps", tmp_path / "maps")
        assert "score" in ran.stdout
        with Image.open(tmp_path / "maps" / "0000.png") as drawn, Image.open(image) as source:
            assert drawn.size == source.size
        ran = run("service_client.py", note, *url, code=1)
        assert "[unsupported_format]" in ran.stderr
        monkeypatch.delenv("WSCXR_API_KEY")
        ran = run("service_client.py", image, *url, code=1)
        assert "[unauthorized]" in ran.stderr
