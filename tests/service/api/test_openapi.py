"""Schemathesis reads the OpenAPI document and tries to break what it promises."""

import ipaddress
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from pydantic import BaseModel
from schemathesis.specs.openapi.checks import positive_data_acceptance

from service.api.models import ModelSummary
from service.api.predict import BatchResult
from service.app import create_app
from service.http.keys import ApiKey, sha256_of
from service.http.problem import Problem
from service.scoring.analysis import AnalysisResult
from tests.service.api.examples import examples
from tests.service.serving import RunningServer, make_settings, running
from wscxr.bundle.identity import ModelIdentity

# The document does not depend on what is loaded, so it is there before any server runs.
DOCUMENT = create_app(make_settings(Path("nowhere"))).openapi()
# 413, too many files, is a rejection too.
CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 413, 415, 422]}
        }
    }
)
API = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)
DOCUMENT_WITH_KEYS = create_app(
    make_settings(Path("nowhere"), api_key="a-key-of-some-length")
).openapi()
GUARDED_API = schemathesis.openapi.from_dict(DOCUMENT_WITH_KEYS, config=CONFIG)
ADDRESSES = itertools.count(int(ipaddress.ip_address("10.0.0.1")))


@API.parametrize()
@examples(15)
def test_the_service_keeps_its_promises(
    case: "schemathesis.Case[Any]", server: RunningServer
) -> None:
    # The document cannot say which bytes are a radiograph, so most uploads it allows are refused.
    case.call_and_validate(base_url=server.url, excluded_checks=[positive_data_acceptance])


@pytest.fixture(scope="module")
def guarded(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that wants a key; without one, everybody counts as an admin."""
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    key = ApiKey(name="reader", role="reader", sha256=sha256_of("key-of-reader"))
    path.write_text(key.toml())
    with running(make_settings(store, api_keys_file=path)) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("key", ["key-of-reader", None])
@GUARDED_API.parametrize()
@examples(3)
def test_it_keeps_them_behind_keys(
    case: "schemathesis.Case[Any]", guarded: RunningServer, key: str | None
) -> None:
    # Each from an address of its own, or the wrong keys it makes up would soon close the door.
    headers = {"X-Forwarded-For": str(ipaddress.ip_address(next(ADDRESSES)))}
    if key is not None:
        headers["X-API-Key"] = key
    response = case.call_and_validate(
        base_url=guarded.url, headers=headers, excluded_checks=[positive_data_acceptance]
    )
    operations: dict[str, Any] = DOCUMENT_WITH_KEYS["paths"][case.operation.path]
    # Methods that a path does not have are tried, too.
    operation = operations.get(case.method.lower(), {})
    if key is None and "security" in operation:
        assert response.status_code == 401


def test_every_operation_documents_its_errors_as_problems() -> None:
    assert "Problem" in DOCUMENT["components"]["schemas"]
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if not status.startswith("2"):
                    form = "json" if path.startswith("/v2") else "problem+json"
                    assert list(response["content"]) == [f"application/{form}"], path


def test_every_reference_leads_somewhere() -> None:
    found = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT)))
    schemas = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert found
    assert found <= schemas


def test_the_inference_schema_takes_what_the_protocol_sends() -> None:
    operation = DOCUMENT["paths"]["/v2/models/{model}/infer"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    request = {
        "id": "1",
        "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["aGVsbG8="]}],
        "outputs": [{"name": "score", "parameters": {"binary_data": True}}],
    }
    check = jsonschema_rs.Draft202012Validator(schema)
    assert check.is_valid(request)
    assert not check.is_valid({**request, "inputs": []})
    assert not check.is_valid({**request, "outputs": [{"name": "a", "parameters": {"b": 1}}]})


@pytest.mark.parametrize("model", [ModelIdentity, AnalysisResult, BatchResult, ModelSummary])
def test_examples_are_answers(model: type[BaseModel]) -> None:
    extra: Any = model.model_config["json_schema_extra"]
    [example] = extra["examples"]
    assert model.model_validate(example).model_dump(mode="json") == example


def test_every_example_of_an_error_is_a_problem() -> None:
    answers = [
        answer["content"]["application/problem+json"]
        for operations in DOCUMENT["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        if "application/problem+json" in answer.get("content", {})
    ]
    examples = {code: found for answer in answers for code, found in answer["examples"].items()}
    assert {"unauthorized", "corrupt_image", "lateral_view", "queue_full"} <= set(examples)
    for code, example in examples.items():
        assert Problem.model_validate(example["value"]).code == code
