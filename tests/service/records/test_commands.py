"""The commands of the record."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from service.records.database import Database
from service.records.facts import study_hash
from service.records.keys import RecordKey
from service.records.ledger import Ledger
from service.records.location import Location
from service.records.pictures import PictureFolder
from service.records.record import NewReview, Verdict
from service.records.store import Records
from tests.helpers import one_line_error, run_cli
from tests.service import pictures
from tests.service.records.drift.streams import images
from tests.service.records.rows import analysis


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A record with two judged pictures of one patient, one judged PNG, and an old analysis."""
    location = Location.parse(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    assert location is not None
    key = RecordKey.read(None, location)
    folder = PictureFolder(tmp_path / "pictures")
    kept = [folder.put(pictures.png(seed=seed)) for seed in range(3)]
    study = study_hash("1.2.3", key)
    rows = [
        analysis(image_sha256=kept[0], study_hash=study, patient_hash="p"),
        analysis(image_sha256=kept[1], study_hash=study, patient_hash="p"),
        analysis(image_sha256=kept[2], manufacturer="=cmd()"),
        analysis(time=datetime.now(UTC) - timedelta(days=200)),
    ]
    database = Database(location)
    records = Records(database, Ledger(key))
    records.add(rows)
    for row, verdict in zip(rows, ("abnormal", "normal", "abnormal", "normal"), strict=True):
        review = NewReview(verdict=Verdict(verdict), note='a "note"', revision=0)
        records.review(UUID(row["id"]), review, "dr-a")
    database.close()
    return location.url


def test_verify_prints_the_head(url: str) -> None:
    ran = run_cli("records", "verify", "--records", url)
    head = ran.out.strip().removeprefix("head\t")
    assert (ran.code, head.split(":")[0]) == (0, "8")
    assert run_cli("records", "verify", "--records", url, "--head", head).code == 0
    other = f"8:{'f' * 64}"
    one_line_error(
        run_cli("records", "verify", "--records", url, "--head", other), 3, "invalid_data"
    )
    one_line_error(
        run_cli("records", "verify", "--records", url, "--head", "x"), 2, "invalid_config"
    )
    one_line_error(run_cli("records", "verify"), 2, "invalid_config")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_export(url: str, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"all.{suffix}"
    assert run_cli("records", "export", "--records", url, "--out", out).code == 0
    if suffix == "csv":
        with out.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert rows[2]["manufacturer"] == "'=cmd()"
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'wscxr[parquet]'")
        rows = parquet.read_table(out).to_pylist()
    assert [row["review_verdict"] for row in rows] == ["abnormal", "normal", "abnormal", "normal"]
    assert rows[0]["review_note"] == 'a "note"'
    assert float(rows[0]["score"]) == 0.1234567890123456


def test_delete_and_prune_keep_the_chain(url: str, tmp_path: Path) -> None:
    assert (
        "2 analyses"
        in run_cli(
            "records",
            "delete",
            "--records",
            url,
            "--record-images",
            tmp_path / "pictures",
            "--study",
            "1.2.3",
        ).out
    )
    assert len([path for path in (tmp_path / "pictures").rglob("*") if path.is_file()]) == 1
    assert "1 analyses" in run_cli("records", "prune", "--records", url, "--days", "180").out
    assert run_cli("records", "verify", "--records", url).code == 0
    gone = run_cli("records", "delete", "--records", url, "--study", "1.2.3")
    assert "holds no analysis" in gone.err


def test_reviews_become_a_manifest(url: str, tmp_path: Path) -> None:
    out = tmp_path / "reviewed"
    options = ("--records", url, "--record-images", tmp_path / "pictures", "--out", out)
    ran = run_cli("reviews", "export", *options)
    # The old analysis was judged, too, but its picture was not kept.
    assert ran.out.strip() == "2 abnormal and 1 normal images"
    assert "1 judged images are not in the manifest" in one_line_error(ran, 3, "images_not_kept")
    with (out / "reviews.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows] == ["abnormal", "normal", "abnormal"]
    assert rows[0]["patient_id"] == rows[1]["patient_id"] == "p" != rows[2]["patient_id"]
    assert all((out / row["path"]).is_file() for row in rows)
    # What headers say never runs in a spreadsheet.
    assert [row["manufacturer"] for row in rows] == ["", "", "'=cmd()"]
    one_line_error(run_cli("reviews", "export", *options), 2, "invalid_config")


def test_the_latest_verdict_on_a_picture_stands(url: str, tmp_path: Path) -> None:
    """Whichever analysis of it was judged, and however these follow each other."""
    folder = PictureFolder(tmp_path / "pictures")
    location = Location.parse(url)
    assert location is not None
    database = Database(location)
    records = Records(database, Ledger(RecordKey.read(None, location)))
    kept = folder.put(pictures.png(seed=7))
    rows = [analysis(image_sha256=kept), analysis(image_sha256=kept)]
    records.add(rows)
    # The second analysis is judged first.
    for row, verdict in zip(rows[::-1], ("normal", "abnormal"), strict=True):
        review = NewReview(verdict=Verdict(verdict), revision=0)
        records.review(UUID(row["id"]), review, "dr-a")
    database.close()
    out = tmp_path / "reviewed"
    options = ("--records", url, "--record-images", tmp_path / "pictures", "--out", out)
    assert "3 abnormal and 1 normal" in run_cli("reviews", "export", *options).out


def test_drift_prints_weeks_and_warnings(tmp_path: Path) -> None:
    location = Location.parse(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    assert location is not None
    rng = np.random.default_rng(0)
    database = Database(location)
    records = Records(database, Ledger(RecordKey.read(None, location)))
    for ago in range(3, -1, -1):
        sharpness = 0.02 if ago else 0.03
        records.add([*images(ago, 200, rng, sharpness=sharpness, manufacturer="ACME", device="A")])
    database.close()
    out = tmp_path / "drift.json"
    store = ("--model-store", tmp_path / "none")
    ran = run_cli("records", "drift", "--records", location.url, *store, "--json", out)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert [line.split("\t")[3:5] for line in lines[:4]] == [["ACME A", "200 images"]] * 4
    assert lines[4].startswith("chest 1 is not served here")
    assert "upload ACME A: Sharpness against the first weeks here: higher" in lines[5]
    report = json.loads(out.read_text())
    [warned] = [row for row in report["rows"] if row["warnings"]]
    assert warned == report["rows"][-1]
    assert lines[6:] == [f"  analysis {name}" for name in warned["warnings"][0]["analyses"]]
    only = run_cli("records", "drift", "--records", location.url, *store, "--weeks", "2")
    assert "Sharpness" in only.out
    assert len(only.out.splitlines()) == len(lines) - 2
