"""The Open Inference Protocol as its text and that of the binary extension have it."""

import base64
import json
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.helpers import tiny_bundle, tiny_detector, tiny_manifest
from tests.service import pictures
from tests.service.serving import (
    PATIENCE_S,
    HeldDetector,
    RunningServer,
    make_settings,
    running,
    wait_for,
)

INFER = "/v2/models/tiny/infer"
LENGTH = "Inference-Header-Content-Length"
KEY = "an-api-key-of-good-length"
FILES = [pictures.png(), pictures.png(1), pictures.png(2)]


def image(files: Sequence[bytes], **changes: Any) -> dict[str, Any]:
    data = [base64.b64encode(file).decode() for file in files]
    return {"name": "image", "shape": [len(files)], "datatype": "BYTES", "data": data, **changes}


def bytes_tensor(elements: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def post_binary(client: httpx.Client, files: Sequence[bytes], **request: Any) -> httpx.Response:
    tail = bytes_tensor(files)
    tensor = image(files, parameters={"binary_data_size": len(tail)})
    del tensor["data"]
    head = json.dumps({"inputs": [tensor], **request}).encode()
    return client.post(INFER, content=head + tail, headers={LENGTH: str(len(head))})


def outputs(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return {output["name"]: output for output in response.json()["outputs"]}


def check_error(response: httpx.Response, status: int, start: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    [(name, message)] = response.json().items()
    assert name == "error"
    assert message.startswith(start), message
    return str(message)


def test_server_and_model_metadata(client: httpx.Client) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/").json() == client.get("/v2").json()
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}
    assert client.get("/v2/models").json() == {"models": ["tiny"]}
    metadata = client.get("/v2/models/tiny").json()
    assert client.get("/v2/models/tiny/versions/1").json() == metadata
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    tensors = {tensor["name"]: tensor["datatype"] for tensor in metadata["outputs"]}
    assert tensors == {
        "score": "FP32",
        "p_value": "FP32",
        "ood_score": "FP32",
        "anomalous": "BOOL",
        "decision": "BYTES",
        "anomaly_map": "FP32",
    }
    for path in ("/v2/models/tiny/ready", "/v2/models/tiny/versions/1/ready"):
        assert client.get(path).json() == {"name": "tiny", "ready": True}


def test_the_same_numbers_as_the_upload_api(client: httpx.Client) -> None:
    request = {"id": "a-7", "inputs": [image(FILES)]}
    response = client.post(INFER, json=request)
    answer = response.json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("tiny", "1", "a-7")
    found = outputs(response)
    assert list(found) == ["score", "p_value", "ood_score", "anomalous", "decision"]
    for place, file in enumerate(FILES):
        expected = client.post("/v1/predict", files={"file": file}).json()
        for name in ("score", "p_value", "ood_score"):
            assert found[name]["data"][place] == pytest.approx(expected[name], rel=1e-4)
        assert found["decision"]["data"][place] == expected["decision"]
        assert found["anomalous"]["data"][place] is (expected["decision"] == "abnormal")
    assert outputs(client.post("/v2/models/tiny/versions/1/infer", json=request)) == found


def test_the_map_comes_when_it_is_named(server: RunningServer, client: httpx.Client) -> None:
    request = {"inputs": [image(FILES[:2])], "outputs": [{"name": "anomaly_map"}]}
    [(name, output)] = outputs(client.post(INFER, json=request)).items()
    found = np.array(output["data"], np.float32).reshape(output["shape"])
    assert (name, output["datatype"], len(found)) == ("anomaly_map", "FP32", 2)
    predictions = server.registry.get("tiny").bundle.predict(FILES[:2])
    for each, prediction in zip(found, predictions, strict=True):
        np.testing.assert_allclose(each, prediction.anomaly_map, atol=1e-4)


def test_binary_tensors_in_and_out(client: httpx.Client) -> None:
    expected = outputs(client.post(INFER, json={"inputs": [image(FILES)]}))
    wanted = [
        {"name": "score", "parameters": {"binary_data": True}},
        {"name": "p_value"},
        {"name": "decision", "parameters": {"binary_data": True}},
        {"name": "anomalous", "parameters": {"binary_data": True}},
    ]
    response = post_binary(client, FILES, id="b", outputs=wanted)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[LENGTH])
    head, tail = json.loads(response.content[:length]), response.content[length:]
    sizes = [output.get("parameters", {}).get("binary_data_size") for output in head["outputs"]]
    assert head["id"] == "b"
    assert head["outputs"][1]["data"] == pytest.approx(expected["p_value"]["data"])
    words = [word.encode() for word in expected["decision"]["data"]]
    assert sizes == [12, None, len(bytes_tensor(words)), 3]
    assert np.frombuffer(tail[:12], "<f4") == pytest.approx(expected["score"]["data"])
    assert tail[12:-3] == bytes_tensor(words)
    assert list(map(bool, tail[-3:])) == expected["anomalous"]["data"]


def test_all_outputs_in_binary(client: httpx.Client) -> None:
    parameters = {"binary_data_output": True}
    wanted = [{"name": "score"}, {"name": "p_value", "parameters": {"binary_data": False}}]
    response = post_binary(client, FILES[:1], parameters=parameters, outputs=wanted)
    head = json.loads(response.content[: int(response.headers[LENGTH])])
    assert ["data" in output for output in head["outputs"]] == [False, True]


def test_a_body_that_is_one_file(client: httpx.Client) -> None:
    response = client.post(INFER, content=FILES[1], headers={LENGTH: "0"})
    assert response.status_code == 200, response.text
    length = int(response.headers[LENGTH])
    head = json.loads(response.content[:length])
    score = np.frombuffer(response.content[length : length + 4], "<f4")
    expected = outputs(client.post(INFER, json={"inputs": [image(FILES[1:2])]}))
    assert head["outputs"][0] == {
        "name": "score",
        "shape": [1],
        "datatype": "FP32",
        "parameters": {"binary_data_size": 4},
    }
    assert score == pytest.approx(expected["score"]["data"])


def test_one_bad_image_fails_the_request_and_is_named(client: httpx.Client) -> None:
    files = [FILES[0], b"no image", FILES[1], FILES[0][:60]]
    message = "unsupported_format: image 1: "
    check_error(client.post(INFER, json={"inputs": [image(files)]}), 400, message)
    files[1] = FILES[2]
    check_error(post_binary(client, files), 400, "corrupt_image: image 3: ")
    huge = pictures.png_of_zeros(30_000, 30_000, rows=1)
    check_error(post_binary(client, [huge]), 413, "too_many_pixels: image 0: ")


@pytest.mark.parametrize(
    "request_body",
    [
        [],
        {},
        {"inputs": []},
        {"inputs": [image(FILES[:1])] * 2},
        {"inputs": [image(FILES[:1], name="picture")]},
        {"inputs": [image(FILES[:1], datatype="FP32")]},
        {"inputs": [image(FILES[:1], shape=[2])]},
        {"inputs": [image(FILES[:1], shape=[1, 1])]},
        {"inputs": [image([], shape=[0])]},
        {"inputs": [image(FILES[:1], data=["not base64!"])]},
        {"inputs": [image(FILES[:1], data=None)]},
        {"inputs": [image(FILES[:1], parameters={"content_type": "str"})]},
        {"inputs": [image(FILES[:1], parameters={"binary_data_size": 4})]},
        {"inputs": [image(FILES[:1])], "outputs": [{"name": "heat"}]},
        {"inputs": [image(FILES[:1])], "outputs": [{"name": "score"}] * 2},
        {
            "inputs": [image(FILES[:1])],
            "outputs": [{"name": "score", "parameters": {"classification": 2}}],
        },
    ],
)
def test_requests_that_do_not_keep_to_the_protocol(
    client: httpx.Client, request_body: object
) -> None:
    check_error(client.post(INFER, json=request_body), 400, "invalid_request: ")


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"{", {}),
        (b"[" * 100_000, {}),
        (b"{}", {LENGTH: "3"}),
        (b"{}", {LENGTH: "-1"}),
        (b"{}", {LENGTH: "two"}),
        (b"{}", {LENGTH: "9" * 5000}),
        (b"{}", {"Content-Encoding": "gzip"}),
    ],
)
def test_bodies_that_cannot_be_read(
    client: httpx.Client, content: bytes, headers: dict[str, str]
) -> None:
    check_error(client.post(INFER, content=content, headers=headers), 400, "invalid_request: ")


@pytest.mark.parametrize("tail", [b"\1", b"\5\0\0\0abc", bytes_tensor([b"a", b"b"]), b""])
def test_binary_tensors_that_are_not_whole(client: httpx.Client, tail: bytes) -> None:
    tensor = image([b""], parameters={"binary_data_size": len(tail)}, data=None)
    head = json.dumps({"inputs": [tensor]}).encode()
    response = client.post(INFER, content=head + tail, headers={LENGTH: str(len(head))})
    check_error(response, 400, "invalid_request: inputs.0: ")
    response = client.post(INFER, content=head + tail + b"!", headers={LENGTH: str(len(head))})
    check_error(response, 400, "invalid_request: ")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/models/other", 404, "model_not_found"),
        ("GET", "/v2/models/other/ready", 404, "model_not_found"),
        ("GET", "/v2/models/tiny/versions/2", 404, "model_not_found"),
        ("GET", "/v2/models/tiny/versions/2/ready", 404, "model_not_found"),
        ("POST", "/v2/models/other/infer", 404, "model_not_found"),
        ("POST", "/v2/models/tiny/versions/2/infer", 404, "model_not_found"),
        ("GET", "/v2/nothing", 404, "not_found"),
        ("GET", INFER, 405, "method_not_allowed"),
    ],
)
def test_paths_with_nothing_behind_them(
    client: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    content = json.dumps({"inputs": [image(FILES[:1])]})
    check_error(client.request(method, path, content=content), status, f"{code}: ")


def test_query_parameters(client: httpx.Client) -> None:
    check_error(client.get("/v2/models?name=tiny"), 400, "invalid_request: ")
    response = client.post(f"{INFER}?map=url", json={"inputs": [image(FILES[:1])]})
    check_error(response, 400, "invalid_request: ")


def test_the_limits_of_uploads_hold(client: httpx.Client) -> None:
    files = [FILES[0]] * 5
    check_error(client.post(INFER, json={"inputs": [image(files)]}), 413, "too_many_files: ")
    check_error(client.post(INFER, content=bytes(2_000_001)), 413, "body_too_large: ")
    check_error(client.post(INFER, content=iter([bytes(1_500_000)] * 2)), 413, "body_too_large: ")


def test_a_full_queue(held: RunningServer) -> None:
    detector = HeldDetector(held.batcher())
    request = {"inputs": [image(FILES[:2])]}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx.post, held.url + INFER, json=request, timeout=PATIENCE_S)
        assert detector.entered.wait(PATIENCE_S)
        refused = httpx.post(held.url + INFER, json=request)
        check_error(refused, 503, "queue_full: ")
        assert refused.headers["retry-after"] == "1"
        detector.go.set()
        assert first.result().status_code == 200
    wait_for(lambda: held.batcher().depth == 0)


def test_a_detector_that_fails(held: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise ValueError("patient Jane Doe")

    held.batcher()._score = broken  # type: ignore[assignment]
    response = httpx.post(held.url + INFER, json={"inputs": [image(FILES[:1])]})
    check_error(response, 500, "inference_failed: image 0: ")
    [record] = [record for record in caplog.records if record.message == "inference failed"]
    assert record.exc_info is not None
    assert record.exc_info[0] is ValueError


def test_the_api_key(store: Path) -> None:
    with (
        running(make_settings(store, api_key=KEY)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        for path in ("/v2", "/v2/models", "/v2/models/tiny/ready"):
            check_error(client.get(path), 401, "unauthorized: ")
            assert client.get(path, headers={"X-API-Key": KEY}).status_code == 200
        check_error(client.post(INFER, json={}), 401, "unauthorized: ")
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert client.get(path).status_code == 200


def test_a_model_without_an_ood_scorer(tmp_path: Path) -> None:
    detector = tiny_detector()
    manifest = tiny_manifest(detector, ood=None)
    tiny_bundle(manifest, detector, None).write(tmp_path / "tiny" / "1")
    with running(make_settings(tmp_path)) as server, httpx.Client(base_url=server.url) as client:
        tensors = client.get("/v2/models/tiny").json()["outputs"]
        assert "ood_score" not in {tensor["name"] for tensor in tensors}
        request = {"inputs": [image(FILES[:1])]}
        assert "ood_score" not in outputs(client.post(INFER, json=request))
        refused = client.post(INFER, json={**request, "outputs": [{"name": "ood_score"}]})
        check_error(refused, 400, "invalid_request: ")
