"""Judged images of a PACS, which the record never kept, fetched from a real Orthanc."""

import csv
import hashlib
from pathlib import Path
from uuid import UUID

import pytest

from service.records.database import Database
from service.records.facts import instance_hash
from service.records.keys import RecordKey
from service.records.ledger import Ledger
from service.records.location import Location
from service.records.record import NewReview, Verdict
from service.records.store import Records
from tests.dicom_files import dataset, picture, written
from tests.helpers import one_line_error, run_cli
from tests.service.pacs.conftest import orthanc, start_orthanc
from tests.service.pacs.orthanc import PASSWORD, USER, Orthanc
from tests.service.records.rows import analysis

__all__ = ["orthanc", "start_orthanc"]  # fixtures


@pytest.fixture
def url(orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A record of three judged instances, two of them in Orthanc, where there is another."""
    for name, value in (("URL", orthanc.url), ("USER", USER), ("PASSWORD", PASSWORD)):
        monkeypatch.setenv(f"WSCXR_PACS_{name}", value)
    files = [dataset(picture(seed=seed), seed=seed, StudyDate="20240502") for seed in range(4)]
    orthanc.stow([written(file) for file in files[:3]])
    location = Location.parse(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    assert location is not None
    key = RecordKey.read(None, location)
    database = Database(location)
    records = Records(database, Ledger(key))
    rows = [
        analysis(instance_hash=instance_hash(files[number].SOPInstanceUID, key), patient_hash="p")
        for number in (0, 1, 3)
    ]
    records.add(rows)
    for row, verdict in zip(rows, ("abnormal", "normal", "abnormal"), strict=True):
        records.review(UUID(row["id"]), NewReview(verdict=Verdict(verdict), revision=0), "dr-a")
    database.close()
    return location.url


@pytest.mark.usefixtures("own_logging")
def test_images_come_from_the_pacs(url: str, orthanc: Orthanc, tmp_path: Path) -> None:
    out = tmp_path / "reviewed"
    ran = run_cli(
        "reviews", "export", "--records", url, "--out", out, "--dates", "20240501-20240503"
    )
    # One of the three is not in Orthanc.
    assert ran.out.strip() == "1 abnormal and 1 normal images"
    assert "1 judged images" in one_line_error(ran, 3, "images_not_kept")
    with (out / "reviews.csv").open(newline="") as stream:
        rows = {row["label"]: out / row["path"] for row in csv.DictReader(stream)}
    for seed, label in enumerate(("abnormal", "normal")):
        uid = str(dataset(seed=seed).SOPInstanceUID)
        assert hashlib.sha256(orthanc.file(uid)).hexdigest() == rows[label].stem
        assert rows[label].suffix == ".dcm"


@pytest.mark.usefixtures("own_logging")
def test_another_day_and_a_bad_one(url: str, tmp_path: Path) -> None:
    options = ("reviews", "export", "--records", url, "--out")
    ran = run_cli(*options, tmp_path / "a", "--dates", "20240503")
    assert "3 judged images" in one_line_error(ran, 3, "images_not_kept")
    ran = run_cli(*options, tmp_path / "b", "--dates", "yesterday")
    one_line_error(ran, 2, "invalid_config")
    one_line_error(run_cli(*options, tmp_path / "c"), 2, "invalid_config")
