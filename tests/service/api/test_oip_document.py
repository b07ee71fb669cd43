"""The protocol's own OpenAPI document (in WSCXR_TEST_REFERENCE) against a real server."""

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi import checks

from tests.service.api.examples import examples
from tests.service.api.test_oip import FILES, image
from tests.service.serving import RunningServer

FILE = Path(os.environ.get("WSCXR_TEST_REFERENCE", "nowhere"), "open_inference_rest.yaml")
if not FILE.exists():
    reason = "NOT TESTED: WSCXR_TEST_REFERENCE names no folder with open_inference_rest.yaml"
    pytest.skip(reason, allow_module_level=True)
yaml: Any = pytest.importorskip("yaml", reason="NOT TESTED: `make deploy-tools` installs PyYAML")

# It writes path parameters as ${NAME}, which OpenAPI does not know.
DOCUMENT = yaml.safe_load(FILE.read_text().replace("${", "{"))
API = schemathesis.openapi.from_dict(DOCUMENT)
TAKEN = {"MODEL_NAME": "tiny", "MODEL_VERSION": "1"}
# The document allows tensors of any model. It knows no answer but 200 and 400; what else there is,
# the protocol's text leaves to the server.
EXCLUDED: list[CheckFunction] = [
    checks.positive_data_acceptance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]


@API.parametrize()
@examples(15)
def test_answers_are_as_the_document_has_them(
    case: "schemathesis.Case[Any]", server: RunningServer
) -> None:
    case.path_parameters = {name: TAKEN[name] for name in case.path_parameters}
    case.call_and_validate(base_url=server.url, excluded_checks=EXCLUDED)


def test_an_answer_with_every_output(server: RunningServer) -> None:
    operation = API["/v2/models/{MODEL_NAME}/versions/{MODEL_VERSION}/infer"]["POST"]
    names = ("score", "p_value", "ood_score", "anomalous", "decision", "anomaly_map")
    body: Any = {"inputs": [image(FILES)], "outputs": [{"name": name} for name in names]}
    case = operation.Case(path_parameters=TAKEN, body=body, media_type="application/json")
    answer = case.call_and_validate(base_url=server.url, excluded_checks=EXCLUDED)
    assert answer.status_code == 200
