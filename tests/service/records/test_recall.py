"""Pictures that the record never kept come out of a real Orthanc, found by hashes alone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import Dataset

from tests.dicom_files import dataset, picture, written
from tests.service.pacs.conftest import orthanc, start_orthanc
from tests.service.pacs.orthanc import PASSWORD, USER, Orthanc
from tests.service.records.test_api import listed, recording, send
from tests.service.serving import RunningServer, check_problem

__all__ = ["orthanc", "start_orthanc"]  # fixtures

PACS = {"X-WSCXR-Source": "pacs"}


def study(seed: int, age_days: int = 0) -> Dataset:
    day = datetime.now(UTC) - timedelta(days=age_days)
    return dataset(picture(seed=seed), seed=seed, StudyDate=f"{day:%Y%m%d}")


@pytest.fixture(params=["orthanc", "dicomweb"])
def beside(
    request: pytest.FixtureRequest,
    orthanc: Orthanc,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RunningServer]:
    """A service with a record that keeps no pictures, beside an archive with studies of its own."""
    orthanc.stow([written(study(seed)) for seed in range(10, 14)])
    path = "" if request.param == "orthanc" else "/dicom-web/"
    values = {"URL": f"{orthanc.url}{path}", "KIND": request.param}
    for name, value in {**values, "USER": USER, "PASSWORD": PASSWORD}.items():
        monkeypatch.setenv(f"WSCXR_PACS_{name}", value)
    with recording(store, tmp_path) as server:
        yield server


def test_a_picture_comes_from_the_pacs(
    beside: RunningServer, orthanc: Orthanc, tmp_path: Path
) -> None:
    wanted = study(1)
    orthanc.stow([written(wanted)])
    file = orthanc.file(wanted.SOPInstanceUID)
    answer = send(beside, file, **PACS)
    url = f"{beside.url}/v1/analyses/{answer['id']}"
    image = httpx.get(f"{url}/image", timeout=30)
    assert image.headers["content-type"] == "application/dicom"
    assert image.content == file
    said = httpx.post(f"{beside.url}/v1/predict/map?style=raw16", files={"file": file})
    assert httpx.get(f"{url}/map", timeout=30).content == said.content
    # To look at it is no analysis: what is recorded are three answers, in their order.
    send(beside, file, **PACS)
    assert len(listed(beside)) == 3
    for kept in tmp_path.glob("records.sqlite3*"):
        assert wanted.SOPInstanceUID.encode() not in kept.read_bytes()
    # A second look asks for the picture alone, and an archive that is down says so.
    assert httpx.get(f"{url}/image", timeout=30).content == file
    orthanc.kill()
    check_problem(httpx.get(f"{url}/image", timeout=60), 503, "archive_silent")


def test_what_is_not_to_be_found(beside: RunningServer, orthanc: Orthanc) -> None:
    uploaded, old, gone = study(2), study(3, age_days=30), study(4)
    orthanc.stow([written(uploaded), written(old)])
    for sent, headers in ((uploaded, {}), (old, PACS), (gone, PACS)):
        answer = send(beside, written(sent), **headers)
        for name in ("image", "map"):
            found = httpx.get(f"{beside.url}/v1/analyses/{answer['id']}/{name}", timeout=30)
            check_problem(found, 404, "image_not_kept")
