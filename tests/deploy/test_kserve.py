"""The KServe objects against KServe's own definitions, in the folder WSCXR_TEST_REFERENCE."""

import os
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from tests.deploy.manifests import ADVICE, check, documents, kubernetes_validate, seconds_to_stop
from wscxr import __version__

jsonschema: Any = pytest.importorskip("jsonschema", reason=ADVICE)

FOLDER = Path(__file__).parents[2] / "deploy" / "kserve"
FILES = sorted(FOLDER.glob("*.yaml"))
RUNTIME = documents((FOLDER / "clusterservingruntime.yaml").read_text())[0]
SERVICES = [
    documents(path.read_text())[0] for path in sorted(FOLDER.glob("inferenceservice*.yaml"))
]


def strict(schema: Any) -> Any:
    """The schema with unknown keys forbidden, as a server with strict field validation does."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(value) for key, value in schema.items()}
    free = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & schema.keys()
    if isinstance(schema.get("properties"), dict) and not free:
        result["additionalProperties"] = False
    return result


@pytest.fixture(scope="module")
def definitions() -> dict[tuple[str, str], Any]:
    """The schemas by apiVersion and kind."""
    folder = os.environ.get("WSCXR_TEST_REFERENCE")
    if folder is None:
        pytest.skip("NOT TESTED: WSCXR_TEST_REFERENCE names no folder with KServe's definitions")
    found = {}
    for path in Path(folder).glob("kserve_*.crd.yaml"):
        spec = documents(path.read_text())[0]["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            # Kubernetes' own part of every object.
            schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_kserve_takes_it(path: Path, definitions: dict[tuple[str, str], Any]) -> None:
    for item in documents(path.read_text()):
        jsonschema.validate(item, definitions[item["apiVersion"], item["kind"]])


def test_unknown_keys_are_found(definitions: dict[tuple[str, str], Any]) -> None:
    schema = definitions["serving.kserve.io/v1alpha1", "ClusterServingRuntime"]
    spec = {**RUNTIME["spec"], "protocolVersion": ["v2"]}
    with pytest.raises(jsonschema.ValidationError, match="protocolVersion"):
        jsonschema.validate({**RUNTIME, "spec": spec}, schema)


def test_its_container_is_one_that_kubernetes_takes() -> None:
    spec = {name: RUNTIME["spec"][name] for name in ("containers", "volumes")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "wscxr"}, "spec": spec}
    check(pod, kubernetes_validate.latest_version())


def test_services_ask_for_what_the_runtime_offers() -> None:
    assert {
        service["spec"]["predictor"]["model"]["storageUri"].partition(":")[0]
        for service in SERVICES
    } == {
        "pvc",
        "oci",
    }
    for service in SERVICES:
        model = service["spec"]["predictor"]["model"]
        assert model["runtime"] == RUNTIME["metadata"]["name"]
        assert model["protocolVersion"] in RUNTIME["spec"]["protocolVersions"]
        offered = [
            {"name": item["name"], "version": item["version"]}
            for item in RUNTIME["spec"]["supportedModelFormats"]
        ]
        assert model["modelFormat"] in offered
        grace = service["spec"]["predictor"]["terminationGracePeriodSeconds"]
        assert grace > seconds_to_stop(RUNTIME["spec"], Settings().shutdown_timeout_s)


def test_environment_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    [container] = RUNTIME["spec"]["containers"]
    assert container["image"].endswith(f":{__version__}")
    for item in container["env"]:
        assert item["name"].removeprefix("WSCXR_").lower() in Settings.model_fields
        monkeypatch.setenv(item["name"], item["value"])
    assert Settings().port == container["ports"][0]["containerPort"] == 8080
    assert Settings().model_store == Path("/mnt/models")
