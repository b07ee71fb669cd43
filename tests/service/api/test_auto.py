"""``?model=auto``: the service chooses among two bundles by the radiograph."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.scoring.registry import load_bundles
from tests.dicom_files import dataset, written
from tests.helpers import write_tiny_bundle
from tests.service import pictures
from tests.service.serving import (
    PATIENCE_S,
    RunningServer,
    check_problem,
    make_settings,
    running,
)
from wscxr.bundle.manifest import Population
from wscxr.errors import BundleError


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Two bundles; every image is the less strange to the children's."""
    store = tmp_path_factory.mktemp("model_store")
    write_tiny_bundle(store / "children" / "1", population=Population(max_age=17))
    adults = Population(min_age=18)
    write_tiny_bundle(store / "adults" / "3", population=adults, ood_threshold=5e3)
    with running(make_settings(store, request_timeout_s=PATIENCE_S)) as started:
        yield started


def post(server: RunningServer, data: bytes, query: str = "?model=auto") -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/v1/predict{query}", files={"file": data}, timeout=PATIENCE_S)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def chest(**attributes: Any) -> bytes:
    return written(dataset(**({"PatientBirthDate": ""} | attributes)))


@pytest.mark.parametrize(
    ("attributes", "model", "reason"),
    [
        ({"PatientAge": "045Y"}, "adults", "the patient's age is 45, and it is for 18 years and"),
        ({"PatientAge": "017Y"}, "children", "the patient's age is 17, and it is for up to 17"),
        ({"PatientAge": "006M"}, "children", "the patient's age is 0, and"),
        # Born on 1 January 1970, taken in 2024.
        ({"PatientBirthDate": "19700101"}, "adults", "the patient's age is 54"),
    ],
)
def test_the_age_decides(
    two: RunningServer, attributes: dict[str, str], model: str, reason: str
) -> None:
    body = post(two, chest(**attributes))
    assert body["model"]["name"] == model
    assert body["model_choice"]["by"] == "age"
    assert body["model_choice"]["reason"].startswith(reason)


def test_without_an_age_the_ood_scores_decide(two: RunningServer) -> None:
    data = pictures.png()
    body = post(two, data)
    assert body["model"]["name"] == "children"
    assert body["model_choice"]["by"] == "ood_score"
    other = post(two, data, "?model=adults")
    assert other["ood_score"] > body["ood_score"]
    reason = (
        "the image does not say how old the patient is; lowest OOD score of "
        f"adults {other['ood_score']:.2f}, children {body['ood_score']:.2f}"
    )
    assert body["model_choice"]["reason"] == reason
    # The answer is that of the model itself.
    assert body["score"] == pytest.approx(post(two, data, "?model=children")["score"], abs=1e-5)
    assert other["model_choice"] is None


def test_it_works_on_every_path_that_scores(two: RunningServer) -> None:
    drawn = httpx.post(
        f"{two.url}/v1/predict/map?model=auto", files={"file": pictures.png()}, timeout=PATIENCE_S
    )
    assert drawn.headers["x-model-name"] == "children"
    assert drawn.headers["x-model-choice"] == "ood_score"
    made = httpx.post(
        f"{two.url}/v1/predict/dicom?model=auto&only=sc",
        files={"file": chest(PatientAge="070Y")},
        timeout=PATIENCE_S,
    )
    assert made.headers["content-type"] == "application/dicom"
    assert made.headers["x-model-name"] == "adults"
    assert made.headers["x-model-choice"] == "age"
    read = httpx.post(
        f"{two.url}/v1/radiograph?model=auto", files={"file": pictures.png()}, timeout=PATIENCE_S
    )
    assert read.status_code == 200


def test_each_file_of_a_batch_goes_its_own_way(two: RunningServer) -> None:
    files = [chest(PatientAge="070Y"), b"no image", chest(PatientAge="003Y"), pictures.png()]
    answer = httpx.post(
        f"{two.url}/v1/predict/batch?model=auto",
        files=[("files", data) for data in files],
        timeout=PATIENCE_S,
    )
    items = answer.json()["items"]
    names = [item["result"] and item["result"]["model"]["name"] for item in items]
    assert names == ["adults", None, "children", "children"]
    assert items[1]["error"]["code"] == "unsupported_format"


def test_a_file_that_cannot_be_read_is_refused_as_ever(two: RunningServer) -> None:
    answer = httpx.post(
        f"{two.url}/v1/predict?model=auto", files={"file": b"no image"}, timeout=PATIENCE_S
    )
    check_problem(answer, 415, "unsupported_format")
    damaged = chest(PatientAge="045Y")[:900]
    answer = httpx.post(
        f"{two.url}/v1/predict?model=auto", files={"file": damaged}, timeout=PATIENCE_S
    )
    check_problem(answer, 422, "corrupt_image")


def test_bundles_without_ages_take_part_by_their_ood_scores_alone(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "children" / "1", population=Population(max_age=17))
    write_tiny_bundle(tmp_path / "old" / "1")
    write_tiny_bundle(tmp_path / "older" / "1", ood_threshold=2e4)
    with running(make_settings(tmp_path)) as server:
        child = post(server, chest(PatientAge="004Y"))
        assert child["model"]["name"] == "children"
        adult = post(server, chest(PatientAge="040Y"))
        assert adult["model"]["name"] == "older"
        assert adult["model_choice"]["reason"].startswith(
            "the patient's age is 40, which no model declares to be for; lowest OOD score of old "
        )


def test_one_model_is_no_choice(server: RunningServer) -> None:
    body = post(server, pictures.png())
    assert body["model"]["name"] == "tiny"
    assert body["model_choice"] == {"by": "only", "reason": "it is the only model"}


def test_bundles_that_nothing_tells_apart(tmp_path: Path) -> None:
    old = Path(__file__).parents[2] / "wscxr" / "bundle" / "fixtures" / "schema_1" / "1"
    for name in ("a", "b"):
        shutil.copytree(old, tmp_path / name / "1")
    with running(make_settings(tmp_path)) as server:
        answer = httpx.post(
            f"{server.url}/v1/predict?model=auto",
            files={"file": pictures.png()},
            timeout=PATIENCE_S,
        )
        check_problem(answer, 422, "model_required")


def test_no_bundle_has_that_name(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store / "tiny", tmp_path / "auto")
    with pytest.raises(BundleError, match="no bundle may be called auto"):
        load_bundles(make_settings(tmp_path))
