"""What the service says of an image unlike the training images."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.helpers import write_tiny_bundle
from tests.service import pictures
from tests.service.serving import RunningServer, make_settings, running


@pytest.fixture(scope="module")
def wary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server to whose only bundle every image is strange."""
    store = tmp_path_factory.mktemp("model_store")
    write_tiny_bundle(store / "tiny" / "1", ood_threshold=1e-3)
    with running(make_settings(store)) as started:
        yield started


def post(server: RunningServer, path: str, field: str = "file") -> httpx.Response:
    answer = httpx.post(f"{server.url}{path}", files={field: pictures.png()}, timeout=30)
    return answer.raise_for_status()


def told(warnings: list[str]) -> list[str]:
    return [warning for warning in warnings if warning.startswith("OUT OF DISTRIBUTION")]


def test_it_is_warned_of_in_every_kind_of_answer(wary: RunningServer) -> None:
    body = post(wary, "/v1/predict").json()
    assert body["ood_score"] > 1
    [warning] = told(body["warnings"])
    assert "its anomaly score means little" in warning
    assert f"OOD score {body['ood_score']:.2f}" in warning
    [item] = post(wary, "/v1/predict/batch", "files").json()["items"]
    assert item["result"]["ood_score"] == pytest.approx(body["ood_score"], rel=1e-4)
    assert len(told(item["result"]["warnings"])) == 1
    headers = post(wary, "/v1/predict/map").headers
    assert float(headers["x-ood-score"]) == pytest.approx(body["ood_score"], rel=1e-4)


def test_an_image_like_the_training_images_is_not(server: RunningServer) -> None:
    body = post(server, "/v1/predict").json()
    assert 0 <= body["ood_score"] <= 1
    assert told(body["warnings"]) == []


def counted(server: RunningServer) -> float:
    name = 'wscxr_out_of_distribution_images_total{model="tiny"} '
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_prometheus_counts_them(wary: RunningServer, held: RunningServer) -> None:
    before = counted(wary)
    post(wary, "/v1/predict")
    post(held, "/v1/predict")
    assert counted(wary) == before + 1
    assert counted(held) == 0


def test_a_bundle_of_an_old_schema_has_no_ood_score_and_says_so(tmp_path: Path) -> None:
    old = Path(__file__).parents[2] / "wscxr" / "bundle" / "fixtures" / "schema_1" / "1"
    shutil.copytree(old, tmp_path / "old" / "1")
    with running(make_settings(tmp_path)) as server:
        body = post(server, "/v1/predict").json()
        assert body["ood_score"] is None
        assert [w for w in body["warnings"] if w.startswith("NO OOD SCORER")]
        headers = post(server, "/v1/predict/map").headers
        assert "x-ood-score" not in headers
        assert float(headers["x-score"]) == pytest.approx(body["score"], abs=1e-4)
