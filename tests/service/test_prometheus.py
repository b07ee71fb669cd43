import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service import pictures
from tests.service.serving import RunningServer


def samples(server: RunningServer) -> dict[tuple[str, ...], float]:
    response = httpx.get(f"{server.url}/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_what_prometheus_sees(held: RunningServer) -> None:
    httpx.post(f"{held.url}/v1/predict?map=base64", files={"file": pictures.png()})
    httpx.post(f"{held.url}/v1/predict", files={"file": b"no image"})
    httpx.get(f"{held.url}/v1/secret-marker")
    httpx.request("PROPFIND", f"{held.url}/health/live")
    found = samples(held)
    # Labels in the order of their names: method, outcome, route, status.
    requests = {key[1:]: value for key, value in found.items() if key[0] == "wscxr_requests_total"}
    assert requests["POST", "ok", "/v1/predict", "200"] == 1
    assert requests["POST", "unsupported_format", "/v1/predict", "415"] == 1
    assert requests["GET", "not_found", "unmatched", "404"] == 1
    assert requests["other", "method_not_allowed", "/health/live", "405"] == 1
    assert not any("marker" in part or "PROPFIND" in part for key in requests for part in key)
    for stage in ("decode", "queue", "inference", "encode"):
        assert found[f"wscxr_{stage}_seconds_count", "tiny"] == 1
    assert found["wscxr_batch_size_sum", "tiny"] == 1
    assert found["wscxr_queue_depth", "tiny"] == 0
    sha256 = held.registry.get("tiny").bundle.identity.sha256
    assert found["wscxr_model_info", "tiny", sha256, "1"] == 1


def test_images_of_a_batch_are_counted_one_by_one(held: RunningServer) -> None:
    files = [("files", pictures.png()), ("files", b"no image")]
    httpx.post(f"{held.url}/v1/predict/batch", files=files)
    found = samples(held)
    # Labels in the order of their names: model, outcome.
    images = {key[1:]: value for key, value in found.items() if key[0] == "wscxr_images_total"}
    assert images == {
        ("tiny", "ok"): 1,
        ("tiny", "unsupported_format"): 1,
    }


def test_what_models_say_is_spread_over_buckets(held: RunningServer) -> None:
    answer = httpx.post(f"{held.url}/v1/predict", files={"file": pictures.png()}).json()
    # Candidates of a choice by image are no answers.
    httpx.post(f"{held.url}/v1/predict?model=auto", files={"file": pictures.png()})
    found = samples(held)
    calibration = held.registry.get("tiny").bundle.manifest.calibration
    said = {
        "p_value": answer["p_value"],
        "relative_score": calibration.relative(answer["score"]),
        "ood_score": answer["ood_score"],
    }
    for name, value in said.items():
        assert found[f"wscxr_{name}_count", "tiny"] == 2
        # A histogram that goes below 0 has no sum.
        total = found.get((f"wscxr_{name}_sum", "tiny"))
        assert total == (None if name == "relative_score" else pytest.approx(2 * value))
        below = {
            float(key[1]): count for key, count in found.items() if key[0] == f"wscxr_{name}_bucket"
        }
        assert {count for edge, count in below.items() if edge >= value} == {2}
        assert {count for edge, count in below.items() if edge < value} <= {0}
