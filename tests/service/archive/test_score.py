"""``wscxr archive score`` on one machine: what its rows say, and what it refuses."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import one_line_error, write_tiny_bundle
from tests.service.archive.conftest import BAD, Score, rows_in
from wscxr.bundle.bundle import Bundle
from wscxr.files import write_file

pytestmark = pytest.mark.usefixtures("own_logging")


def test_rows_say_what_the_bundle_says(
    score: Score, images: Path, bundle: Path, tmp_path: Path
) -> None:
    ran = score(images, "--maps")
    assert ran.code == 0, ran.err
    rows = {
        Path(row["id"]).relative_to(images).as_posix(): row for row in rows_in(tmp_path / "out")
    }
    model = Bundle.load(bundle, "cpu")
    assert len(rows) == 13
    for name, row in rows.items():
        identity = row["model_name"], row["model_version"], row["model_sha256"]
        assert identity == ("tiny", "1", model.identity.sha256)
        assert (row["engine"], row["precision"]) == (model.engine.name, model.engine.precision)
        if name in BAD:
            continue
        said = model.predict(images / name)
        assert row["score"] == pytest.approx(said.score, abs=1e-5)
        assert row["p_value"] == pytest.approx(said.p_value)
        assert row["ood_score"] == pytest.approx(said.ood_score, abs=1e-4)
        assert (row["decision"], row["threshold"]) == (said.decision.value, said.threshold)
        assert row["warnings"] == list(said.warnings)
        assert row["error"] is None
        with Image.open(io.BytesIO(row["anomaly_map"])) as png:
            scale = float(png.info["score_slope"]), float(png.info["score_offset"])
            drawn = np.asarray(png, np.float64) * scale[0] + scale[1]
        assert drawn == pytest.approx(said.anomaly_map, abs=1e-3)
    assert {name: rows[name]["error"] for name in BAD} == {
        "broken.png": "corrupt_image",
        "empty.jpg": "empty_file",
        "text.dcm": "unsupported_format",
    }
    assert all(rows[name]["score"] is None for name in BAD)
    assert ran.out.splitlines() == [
        "already scored\t0",
        "scored\t10",
        "corrupt_image\t1",
        "empty_file\t1",
        "unsupported_format\t1",
    ]


def test_started_again_it_scores_what_is_new(score: Score, images: Path, tmp_path: Path) -> None:
    score(images / "normal")
    before = rows_in(tmp_path / "out")
    ran = score(images)
    assert ran.out.splitlines()[:2] == ["already scored\t5", "scored\t5"]
    after = rows_in(tmp_path / "out")
    assert len(after) == 13
    assert [row for row in after if row in before] == before
    ran = score(images)
    assert ran.out.splitlines() == ["already scored\t13", "scored\t0"]
    assert rows_in(tmp_path / "out") == after


def test_a_manifest_names_files(score: Score, images: Path, tmp_path: Path) -> None:
    listed = "path,label\nnormal/0000.png,normal\nnormal/0000.png,normal\ngone.png,abnormal\n"
    (images / "all.csv").write_text(listed)
    os.mkfifo(images / "pipe.png")
    with (images / "all.csv").open("a") as file:
        file.write(f"{images / 'pipe.png'},normal\n")
    ran = score("--manifest", images / "all.csv")
    assert ran.code == 0, ran.err
    found = {Path(row["id"]).name: row["error"] for row in rows_in(tmp_path / "out")}
    assert found == {
        "0000.png": None,
        "gone.png": "unreadable_file",
        "pipe.png": "unreadable_file",
    }


def test_file_names_of_any_bytes(score: Score, images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "names"
    folder.mkdir()
    content = (images / "normal" / "0000.png").read_bytes()
    for name in (b"r\xf6ntgen.png", b"r\xc3\xb6ntgen.png", b"new\nline.png"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(content)
    assert score(folder).code == 0
    rows = rows_in(tmp_path / "out")
    assert {Path(row["id"]).name for row in rows} == {
        "r\\xf6ntgen.png",
        "röntgen.png",
        "new\nline.png",
    }
    assert len({row["score"] for row in rows}) == 1
    assert rows[0]["score"] is not None


def test_keyed_ids(score: Score, images: Path, tmp_path: Path) -> None:
    key, other = tmp_path / "key", tmp_path / "other"
    write_file(key, b"k" * 32)
    write_file(other, b"o" * 32)
    assert score(images / "normal", "--id-key-file", key).code == 0
    ids = [row["id"] for row in rows_in(tmp_path / "out")]
    assert all(len(name) == 64 for name in ids)
    for shard in (tmp_path / "out").glob("rows-*"):
        assert str(images).encode() not in shard.read_bytes()
    assert "already scored\t5" in score(images / "normal", "--id-key-file", key).out
    for options in ((), ("--id-key-file", other)):
        one_line_error(score(images / "normal", *options), 2, "other_run")
    write_file(other, b"short")
    one_line_error(score(images, "--id-key-file", other), 2, "invalid_config")


def test_rows_of_two_bundles_do_not_mix(score: Score, images: Path, tmp_path: Path) -> None:
    score(images / "normal")
    other = tmp_path / "store" / "tiny" / "2"
    write_tiny_bundle(other, ood_threshold=1e3)
    one_line_error(score(images, "--bundle", other), 2, "other_run")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], "invalid_config"),
        (["FOLDER", "--manifest", "a.csv"], "invalid_config"),
        (["--manifest", "a.csv", "--dates", "20240101"], "invalid_config"),
        (["--dates", "20240102-20240101"], "invalid_config"),
        (["--dates", "2024"], "invalid_config"),
        (["--dates", "20240101"], "invalid_config"),  # where?
        (["FOLDER/none"], "invalid_data"),
        (["FOLDER"], "nothing_to_score"),
        (["--manifest", "FOLDER/none.csv"], "invalid_manifest"),
        (["FOLDER", "--bundle", "FOLDER"], "bundle_not_found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_refused(score: Score, arguments: list[str], code: str, tmp_path: Path) -> None:
    given = [text.replace("FOLDER", str(tmp_path)) for text in arguments]
    ran = score(*given)
    one_line_error(ran, ran.code, code)
    assert ran.code in (2, 3, 4)
