"""Schemathesis reads the OpenAPI document and tries to break what it promises."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from service.api import schemas
from service.app import create_app
from service.http import examples
from tests.service.serving import RunningServer, make_settings

# The document does not depend on what is loaded, so it is there before any server runs.
DOCUMENT = create_app(make_settings(Path("nowhere"))).openapi()
# 413, too many files, is a rejection too.
CONFIG = schemathesis.Config.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 404, 413, 415, 422]}}}
)
API = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)


@API.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_service_keeps_its_promises(
    case: "schemathesis.Case[Any]", server: RunningServer
) -> None:
    # The document cannot say which bytes are a radiograph, so most uploads it allows are refused.
    case.call_and_validate(base_url=server.url, excluded_checks=[positive_data_acceptance])


def test_every_operation_documents_its_errors_as_problems() -> None:
    assert "Problem" in DOCUMENT["components"]["schemas"]
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if not status.startswith("2"):
                    assert list(response["content"]) == ["application/problem+json"], path


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (schemas.Problem, examples.PROBLEM),
        (schemas.PredictionResult, examples.PREDICTION),
        (schemas.BatchResult, examples.BATCH),
        (schemas.ModelSummary, examples.SUMMARY),
        (schemas.ModelDetail, examples.DETAIL),
    ],
)
def test_examples_are_answers(model: type[schemas.Problem], example: dict[str, Any]) -> None:
    assert model.model_validate(example).model_dump(mode="json") == example
