import base64
import io
import itertools
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.helpers import CPU, encode
from tests.service import pictures
from tests.service.serving import RunningServer, make_settings, running
from wscxr.bundle.bundle import Bundle
from wscxr.prediction import Prediction


@pytest.fixture(scope="module")
def bundle(store: Path) -> Bundle:
    return Bundle.load(store / "tiny" / "1", CPU)


def expected(bundle: Bundle, data: bytes) -> Prediction:
    return bundle.predict(data)


def post(client: httpx.Client, data: bytes, path: str = "/v1/predict") -> httpx.Response:
    response = client.post(path, files={"file": ("x", data)})
    assert response.status_code == 200, response.text
    return response


def test_a_prediction(client: httpx.Client, bundle: Bundle) -> None:
    data = pictures.png()
    response = post(client, data)
    body = response.json()
    prediction = expected(bundle, data)
    assert body["id"] == response.headers["x-request-id"]
    assert uuid.UUID(body["id"]).version == 4
    assert body["model"] == {"name": "tiny", "version": "1", "sha256": bundle.manifest.sha256}
    assert body["score"] == pytest.approx(prediction.score, abs=1e-4)
    assert body["p_value"] == pytest.approx(prediction.p_value, abs=0.03)
    assert body["threshold"] == bundle.manifest.calibration.threshold
    assert body["decision"] == bundle.manifest.calibration.decide(body["score"])
    assert body["ood_score"] == pytest.approx(prediction.ood_score, abs=1e-4)
    assert body["image"] == {"width": 80, "height": 64, "format": "PNG", "bits": 8}
    assert set(body["timings_ms"]) == {"decode", "queue", "inference", "encode", "total"}
    assert body["timings_ms"]["total"] >= body["timings_ms"]["decode"] > 0
    assert body["map"] is None
    assert body["warnings"] == bundle.manifest.warnings
    assert response.headers["cache-control"] == "no-store"


def test_a_map_behind_a_url(client: httpx.Client) -> None:
    response = client.post("/v1/predict?map=url&style=heat", files={"file": pictures.png()})
    link = response.json()["map"]
    assert link == {"style": "heat", "url": f"/v1/maps/{response.json()['id']}"}
    picture = client.get(link["url"])
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(picture.content)).size == (80, 64)


def test_a_map_in_the_answer(client: httpx.Client) -> None:
    response = client.post("/v1/predict?map=base64", files={"file": pictures.png()})
    found = response.json()["map"]
    assert found["style"] == "overlay"
    assert found["media_type"] == "image/png"
    assert Image.open(io.BytesIO(base64.b64decode(found["base64"]))).mode == "RGB"
    assert response.json()["timings_ms"]["encode"] > 0


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        (f"/v1/maps/{uuid.UUID(int=0)}", "map_not_found", 404),
        ("/v1/maps/1", "invalid_request", 422),
    ],
)
def test_no_such_map(client: httpx.Client, path: str, code: str, status: int) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize("style", ["overlay", "outlined", "heat", "raw16"])
def test_a_picture_with_scores_in_its_headers(client: httpx.Client, style: str) -> None:
    data = pictures.png(3)
    body = post(client, data).json()
    response = post(client, data, f"/v1/predict/map?style={style}")
    headers = response.headers
    assert headers["content-type"] == "image/png"
    assert headers["x-result-id"] == headers["x-request-id"]
    assert float(headers["x-score"]) == pytest.approx(body["score"], abs=1e-4)
    assert float(headers["x-p-value"]) == body["p_value"]
    assert float(headers["x-threshold"]) == body["threshold"]
    assert headers["x-decision"] == body["decision"]
    assert float(headers["x-ood-score"]) == pytest.approx(body["ood_score"], abs=1e-4)
    assert headers["x-model-name"] == body["model"]["name"]
    assert headers["x-model-version"] == body["model"]["version"]
    assert headers["x-model-sha256"] == body["model"]["sha256"]
    assert ("x-score-slope" in headers) == (style == "raw16")


def test_a_script_can_recover_the_map(client: httpx.Client, bundle: Bundle) -> None:
    data = pictures.png(4)
    response = post(client, data, "/v1/predict/map?style=raw16")
    picture = Image.open(io.BytesIO(response.content))
    offset, slope = (float(response.headers[f"x-score-{n}"]) for n in ("offset", "slope"))
    scale = bundle.manifest.colour_scale
    assert picture.info == {
        "score_offset": repr(offset),
        "score_slope": repr(slope),
        "colour_low": repr(scale.low),
        "colour_high": repr(scale.high),
    }
    recovered = offset + slope * np.asarray(picture, dtype=np.float64)
    np.testing.assert_allclose(recovered, expected(bundle, data).anomaly_map, atol=1e-4)
    assert recovered.max() == pytest.approx(float(response.headers["x-score"]), abs=1e-4)


def test_a_batch_keeps_the_order_and_one_bad_file_spoils_nothing(
    client: httpx.Client, bundle: Bundle
) -> None:
    good = [pictures.png(seed) for seed in range(3)]
    parts: list[Any] = [("files", data) for data in (good[0], b"no image", good[1], good[2])]
    response = client.post("/v1/predict/batch?map=url", files=parts)
    assert response.status_code == 200
    body = response.json()
    assert body["id"] == response.headers["x-request-id"]
    items = body["items"]
    assert [item["index"] for item in items] == [0, 1, 2, 3]
    assert items[1]["result"] is None
    assert items[1]["error"]["code"] == "unsupported_format"
    assert items[1]["error"]["request_id"] == body["id"]
    for place, data in zip((0, 2, 3), good, strict=True):
        assert items[place]["error"] is None
        result = items[place]["result"]
        assert result["score"] == pytest.approx(expected(bundle, data).score, abs=1e-4)
        assert client.get(result["map"]["url"]).status_code == 200
    assert len({item["result"]["id"] for item in items if item["result"]}) == 3


def test_batch_order_and_company_change_no_score(client: httpx.Client, bundle: Bundle) -> None:
    files = [pictures.png(seed, 60 + seed, 70) for seed in range(4)]
    alone = [post(client, data).json()["score"] for data in files]
    np.testing.assert_allclose(alone, [expected(bundle, f).score for f in files], atol=1e-4)
    for order in list(itertools.permutations(range(4)))[::7]:
        parts: list[Any] = [("files", files[place]) for place in order]
        items = client.post("/v1/predict/batch", files=parts).json()["items"]
        scores = [item["result"]["score"] for item in items]
        np.testing.assert_allclose(scores, [alone[place] for place in order], atol=1e-4)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/map"])
def test_the_model_by_name(client: httpx.Client, path: str) -> None:
    files = {"file": pictures.png()}
    assert client.post(f"{path}?model=tiny", files=files).status_code == 200
    response = client.post(f"{path}?model=../tiny", files=files)
    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")


def test_a_map_that_does_not_fit_the_cache(store: Path) -> None:
    with running(make_settings(store, map_cache_bytes=10)) as small:
        client = httpx.Client(base_url=small.url)
        response = client.post("/v1/predict?map=url", files={"file": pictures.png()})
        assert (response.status_code, response.json()["code"]) == (422, "map_too_large")
        parts: list[Any] = [("files", pictures.png())]
        [item] = client.post("/v1/predict/batch?map=url", files=parts).json()["items"]
        assert item["error"]["code"] == "map_too_large"
        client.close()


def test_uploads_never_touch_the_disk(
    server: RunningServer, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rollover(_: object) -> None:
        raise AssertionError("an upload went to a temporary file")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", rollover)
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1500), dtype=np.uint8)
    data = encode(Image.fromarray(noise))
    assert 1_500_000 < len(data) < server.app.state.settings.max_body_bytes
    post(client, data)
