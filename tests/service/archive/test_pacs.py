"""An archive read from a real Orthanc by date, its password from the environment."""

from pathlib import Path

import pytest

from tests.dicom_files import dataset, picture, written
from tests.helpers import one_line_error
from tests.service.archive.conftest import Score, rows_in
from tests.service.pacs.orthanc import PASSWORD, USER, Orthanc
from wscxr.bundle.bundle import Bundle


@pytest.fixture
def filled(orthanc: Orthanc) -> Orthanc:
    """Radiographs of three days, one of them no chest, and one of another modality."""
    dates = ("20240501", "20240502", "20240502", "20240503")
    files = [
        dataset(picture(seed=number), seed=number, StudyDate=day)
        for number, day in enumerate(dates)
    ]
    files += [
        dataset(seed=10, StudyDate="20240502", BodyPartExamined="HAND"),
        dataset(seed=11, StudyDate="20240502", Modality="MR"),
    ]
    orthanc.stow([written(file) for file in files])
    return orthanc


@pytest.fixture
def options(filled: Orthanc, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("WSCXR_PACS_PASSWORD", PASSWORD)
    return ["--url", filled.url, "--user", USER]


@pytest.mark.usefixtures("own_logging")
def test_studies_of_some_days(
    score: Score, options: list[str], filled: Orthanc, bundle: Path, tmp_path: Path
) -> None:
    ran = score("--dates", "20240502-20240503", *options)
    assert ran.code == 0, ran.err
    rows = rows_in(tmp_path / "out")
    assert [row["error"] for row in rows if row["error"]] == ["wrong_body_part"]
    scores = {row["id"].split("/")[2]: row["score"] for row in rows}
    expected = dict.fromkeys((str(dataset(seed=10).SOPInstanceUID),))
    model = Bundle.load(bundle, "cpu")
    for number in (1, 2, 3):
        uid = str(dataset(seed=number).SOPInstanceUID)
        expected[uid] = model.predict(filled.file(uid)).score
    assert scores == pytest.approx(expected, abs=1e-5)
    ran = score("--dates", "20240501-20240503", *options)
    assert ran.out.splitlines()[:2] == ["already scored\t4", "scored\t1"]


@pytest.mark.usefixtures("own_logging")
def test_a_server_that_refuses(score: Score, options: list[str]) -> None:
    ran = score("--dates", "20240502", *options[:3], "nobody")
    one_line_error(ran, 1, "pacs_refuses")
