"""DICOM over HTTP: radiographs in, result objects out."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from service.multipart import dicom_files
from tests.dicom_files import PATIENT_ID, PATIENT_NAME, dataset, picture, written
from tests.helpers import CPU, run_cli
from tests.service import pictures
from tests.service.serving import PATIENCE_S, make_settings, running, served
from wscxr.bundle.bundle import Bundle
from wscxr.process import quiet_dicom
from wscxr.results.dicom.identity import ResultKind
from wscxr.results.dicom.make import make_results, to_bytes


def post(client: httpx.Client, data: bytes, path: str = "/v1/predict/dicom") -> httpx.Response:
    return client.post(path, files={"file": ("x", data)})


def test_a_dicom_file_is_scored_like_any_other(client: httpx.Client) -> None:
    body = post(client, written(dataset(BodyPartExamined=None)), "/v1/predict").json()
    assert body["image"] == {"width": 80, "height": 96, "format": "DICOM", "bits": 16}
    assert body["warnings"][-1] == "body_part_unknown"
    drawn = post(client, written(dataset()), "/v1/predict/map")
    assert drawn.headers["content-type"] == "image/png"
    assert float(drawn.headers["x-score"]) == pytest.approx(body["score"], abs=1e-4)


def test_results_come_as_one_related_message(client: httpx.Client, store: Path) -> None:
    data = written(dataset())
    answer = post(client, data)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith('multipart/related; type="application/dicom"')
    files = dicom_files(answer.headers["content-type"], answer.content)
    wanted = make_results(Bundle.load(store / "tiny" / "1", CPU).predict(data))
    found = [pydicom.dcmread(io.BytesIO(file)) for file in files]
    assert [item.SOPInstanceUID for item in found] == [
        item.SOPInstanceUID for item in wanted.values()
    ]
    assert files == dicom_files(
        answer.headers["content-type"], post(client, data).content
    )  # the same bytes each time
    assert len(files[0]) == len(to_bytes(wanted[ResultKind.SC]))


@pytest.mark.parametrize("kind", list(ResultKind))
def test_one_result_can_be_asked_for(client: httpx.Client, kind: ResultKind) -> None:
    answer = post(client, written(dataset()), f"/v1/predict/dicom?only={kind}")
    assert answer.headers["content-type"] == "application/dicom"
    found = pydicom.dcmread(io.BytesIO(answer.content))
    assert found.StudyInstanceUID == dataset().StudyInstanceUID
    assert found.Modality == {"sc": "OT", "sr": "SR", "seg": "SEG", "gsps": "PR"}[kind]


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (pictures.png, 415, "unsupported_format"),
        (lambda: written(dataset(ViewPosition="LL")), 422, "lateral_view"),
        (lambda: written(dataset(Modality="CT")), 422, "wrong_modality"),
        (lambda: written(dataset(BodyPartExamined="HIP")), 422, "wrong_body_part"),
        (lambda: written(dataset())[:-50], 422, "corrupt_image"),
        (lambda: written(dataset(Rows=60000, Columns=60000)), 413, "too_many_pixels"),
    ],
)
def test_what_is_refused(client: httpx.Client, make: Any, status: int, code: str) -> None:
    answer = post(client, make())
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert PATIENT_ID not in answer.text


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/map", "/v1/predict/dicom"])
def test_a_wrong_tag_can_be_overridden(client: httpx.Client, path: str) -> None:
    data = written(dataset(BodyPartExamined="HIP", ViewPosition="LL", Modality="CT"))
    query = "?body_part=CHEST&view=PA&modality=CR"
    assert post(client, data, path + query).status_code == 200
    answer = post(client, data, path + "?photometric=RGB")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_the_score_of_a_flipped_tag_can_be_set_right(client: httpx.Client) -> None:
    right = post(client, written(dataset()), "/v1/predict").json()["score"]
    flipped = written(dataset(PhotometricInterpretation="MONOCHROME1"))
    wrong = post(client, flipped, "/v1/predict").json()["score"]
    fixed = post(client, flipped, "/v1/predict?photometric=MONOCHROME2").json()["score"]
    assert fixed == pytest.approx(right, abs=1e-4)
    assert wrong != pytest.approx(right, abs=1e-4)


@pytest.fixture(scope="module")
def lenient(store: Path) -> Iterator[httpx.Client]:
    rules = {"lateral": "warn", "modalities": ["CR", "DX", "CT"]}
    settings = make_settings(store, dicom=rules, dicom_results=("sr",))
    with running(settings) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def test_rules_and_kinds_are_settings(lenient: httpx.Client) -> None:
    data = written(dataset(ViewPosition="LL", Modality="CT"))
    assert post(lenient, data, "/v1/predict").json()["warnings"][-1] == "lateral_view"
    answer = post(lenient, data)
    assert answer.headers["content-type"] == "application/dicom"
    assert pydicom.dcmread(io.BytesIO(answer.content)).Modality == "SR"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSCXR_DICOM__LATERAL", "accept")
    monkeypatch.setenv("WSCXR_DICOM_RESULTS", '["sc","gsps"]')
    settings = make_settings(Path())
    assert settings.dicom.lateral == "accept"
    assert settings.dicom_results == ("sc", "gsps")


def test_a_batch_takes_dicom_and_others(client: httpx.Client) -> None:
    parts: list[Any] = [
        ("files", written(dataset())),
        ("files", written(dataset(Modality="MR"))),
        ("files", pictures.png()),
    ]
    items = client.post("/v1/predict/batch", files=parts).json()["items"]
    assert [item["result"]["image"]["format"] if item["result"] else item["error"]["code"]
            for item in items] == ["DICOM", "wrong_modality", "PNG"]  # fmt: skip


def test_the_command_line_writes_the_same_objects(
    client: httpx.Client, store: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "IM0001").write_bytes(written(dataset()))
    (source / "leg.dcm").write_bytes(written(dataset(BodyPartExamined="LEG")))
    (source / "plain.png").write_bytes(pictures.png())
    out, report = tmp_path / "out", tmp_path / "p.json"
    ran = run_cli(
        *("predict", store / "tiny" / "1", source, "--dicom", out),
        *("--objects", "sr,gsps", "--json", report),
    )
    assert "1 of 3 images could not be scored" in ran.err
    rows = json.loads(report.read_text())
    assert [row.get("code") for row in rows] == [None, "wrong_body_part", None]
    assert sorted(path.name for path in out.iterdir()) == ["IM0001.gsps.dcm", "IM0001.sr.dcm"]
    over_http = post(client, (source / "IM0001").read_bytes(), "/v1/predict/dicom?only=sr")
    assert (out / "IM0001.sr.dcm").read_bytes() == over_http.content


@pytest.mark.parametrize("arguments", [["--objects", "pm"], ["--lateral", "perhaps"]])
def test_the_command_line_refuses_what_is_unknown(
    store: Path, tmp_path: Path, arguments: list[str]
) -> None:
    ran = run_cli("predict", store / "tiny" / "1", tmp_path, "--dicom", tmp_path, *arguments)
    assert ran.code == 2
    assert "invalid_config" in ran.err


def test_nothing_of_a_patient_is_written_by_the_service(store: Path, tmp_path: Path) -> None:
    """Everything a served process writes, for good files and bad ones."""
    log = tmp_path / "log"
    with quiet_dicom:
        good = written(dataset(PatientName=PATIENT_NAME, PatientID=PATIENT_ID))
        odd = written(dataset(picture(), PatientAge="nonsense", PatientBirthDate="19701399"))
    with served(store, log) as url:
        for data in (good, good[:-100], good[:700], odd, good[132:]):
            form = {"file": (PATIENT_NAME, data)}
            httpx.post(f"{url}/v1/predict/dicom", files=form, timeout=PATIENCE_S)
        metrics = httpx.get(f"{url}/metrics", timeout=PATIENCE_S).text
    everything = log.read_text() + metrics
    assert everything.count('"message": "request"') >= 5
    for secret in (PATIENT_NAME, PATIENT_ID, "19701399", str(dataset().StudyInstanceUID)):
        assert secret not in everything
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
