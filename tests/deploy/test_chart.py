"""The Helm chart: linted, rendered, held against Kubernetes' schemas and against the service."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.pacs.settings import PacsSettings
from service.prometheus import Metrics
from service.settings import Settings
from tests.deploy.manifests import (
    check,
    documents,
    helm,
    kubernetes_validate,
    pods,
    seconds_to_stop,
)
from wscxr import __version__

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "wscxr"
EXAMPLES = {path.name: documents(path.read_text())[0] for path in sorted(CHART.glob("ci/*.yaml"))}
VALUES: dict[str, dict[str, Any]] = {"defaults": {}, **EXAMPLES}
OLDEST, NEWEST = "1.27", kubernetes_validate.latest_version()

SECRETS = {"WSCXR_RECORDS": "postgresql://wscxr:a-secret@192.0.2.20/wscxr"}
CONTENTS = {
    "WSCXR_API_KEYS_FILE": f'[[keys]]\nname = "reader"\nrole = "reader"\nsha256 = "{"0" * 64}"\n',
    "WSCXR_RECORDS_KEY_FILE": "0" * 64,
    "WSCXR_PACS_SERVICE_KEY_FILE": "a-secret-of-good-length",
}
"""What secrets that are mounted as files may hold."""

each = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        rendered = chart.render(values, name="demo", namespace="radiology")
    return [
        item
        for name, text in rendered.items()
        if not name.endswith("NOTES.txt")
        for item in documents(text)
    ]


def the(items: list[dict[str, Any]], kind: str, suffix: str = "") -> dict[str, Any]:
    [found] = [
        item
        for item in items
        if item["kind"] == kind and item["metadata"]["name"] == f"demo-wscxr{suffix}"
    ]
    return found


def test_lint() -> None:
    result = helm.lint(str(CHART))
    assert result["errors"] == []
    # Severity 1 is advice, 2 a warning, 3 an error.
    assert [m for m in result["messages"] if m["severity"] > 1] == []


@each
def test_every_object_is_one_that_kubernetes_takes(values: dict[str, Any]) -> None:
    items = render(values)
    image_volume = values.get("modelStore", {}).get("source") == "image"
    for item in items:
        check(item, NEWEST)
        if not image_volume:
            check(item, OLDEST)


def test_the_check_refuses_what_kubernetes_does_not_know() -> None:
    deployment = the(render({}), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        check(deployment, NEWEST)
    with pytest.raises(AssertionError):
        check({"apiVersion": "example.org/v1", "kind": "Deploymnet"}, NEWEST)


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 3},
        {"replicas": "3"},
        {"image": {"repository": "wscxr", "digest": "latest"}},
        {"modelStore": {"source": "pvc"}},
        {"modelStore": {"source": "image"}},
        {"modelStore": {"source": "init"}},
        {"settings": {"api_key": "a-secret-in-a-values-file"}},
        {"settings": {"port": 9000}},
        {"settings": {"records": "postgresql://wscxr:a-secret@db/wscxr"}},
        {"settings": {"engine": "onnx"}},
        {"secretEnv": {"WSCXR_API_KEY": "a-secret-in-a-values-file"}},
        {"watcher": {"enabled": True}},
        {"watcher": {"settings": {"password": "a-secret-in-a-values-file"}}},
        {"ingress": {"enabled": True}},
        {"resources": {"limits": {"memory": "4 GB"}}},
    ],
    ids=json.dumps,
)
def test_values_that_are_refused(values: dict[str, Any]) -> None:
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError):
        chart.render(values, name="demo")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"terminationGracePeriodSeconds": 30}, "must be above preStopSleepSeconds"),
        (
            {"secretEnv": {"WSCXR_RECORDS": {"name": "wscxr", "key": "records-url"}}},
            "hash with one key",
        ),
        ({"autoscaling": {"enabled": True}, "keda": {"enabled": True}}, "not both"),
    ],
)
def test_values_that_contradict_each_other(values: dict[str, Any], reason: str) -> None:
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError, match=reason):
        chart.render(values, name="demo")


@each
def test_selectors_find_their_pods(values: dict[str, Any]) -> None:
    items = render(values)
    labels = [pod["metadata"]["labels"] for pod in pods(items)]

    def found(selector: dict[str, str]) -> int:
        return sum(selector.items() <= each.items() for each in labels)

    for item in items:
        spec = item.get("spec", {})
        if item["kind"] in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            assert found(spec["selector"]["matchLabels"]) == 1
        elif item["kind"] == "Service":
            assert found(spec["selector"]) == 1
        elif item["kind"] == "NetworkPolicy":
            assert found(spec["podSelector"]["matchLabels"]) == 1
        elif item["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}:
            assert spec["scaleTargetRef"]["name"] == the(items, "Deployment")["metadata"]["name"]
            assert "replicas" not in the(items, "Deployment")["spec"]


@each
def test_ports_and_probes_lead_somewhere(values: dict[str, Any]) -> None:
    items = render(values)
    routes = set(create_app(Settings()).openapi()["paths"])
    names = {
        port["name"]
        for pod in pods(items)
        for c in pod["spec"]["containers"]
        for port in c["ports"]
    }
    for item in items:
        if item["kind"] == "Service":
            assert {port["targetPort"] for port in item["spec"]["ports"]} <= names
        if item["kind"] == "ServiceMonitor":
            assert {end["port"] for end in item["spec"]["endpoints"]} <= names
            assert {end["path"] for end in item["spec"]["endpoints"]} <= routes
    [container] = the(items, "Deployment")["spec"]["template"]["spec"]["containers"]
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "liveness", "readiness")
    }
    assert paths == {
        "startup": "/health/ready",
        "liveness": "/health/live",
        "readiness": "/health/ready",
    }
    assert set(paths.values()) <= routes


@each
def test_environment_variables_are_settings(values: dict[str, Any], tmp_path: Path) -> None:
    for pod in pods(render(values)):
        [container] = pod["spec"]["containers"]
        plain = {item["name"]: item["value"] for item in container["env"] if "value" in item}
        names = {item["name"] for item in container["env"]}
        watcher = container["args"] == ["pacs", "watch"]
        prefix, model = ("WSCXR_PACS_", PacsSettings) if watcher else ("WSCXR_", Settings)
        for name in names:
            field = name.removeprefix(prefix).lower().partition("__")[0]
            assert field in model.model_fields, name
        with pytest.MonkeyPatch.context() as patch:
            for name in names - plain.keys():
                patch.setenv(name, SECRETS.get(name, "a-secret-of-good-length"))
            for name, value in plain.items():
                patch.setenv(name, value)
            for name in names & CONTENTS.keys():
                file = tmp_path / name
                file.write_text(CONTENTS[name])
                patch.setenv(name, str(file))
            model()


@each
def test_pods_have_no_rights(values: dict[str, Any]) -> None:
    for pod in pods(render(values)):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["automountServiceAccountToken"] is False
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


@each
def test_requests_in_flight_are_given_time(values: dict[str, Any]) -> None:
    deployment = the(render(values), "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    limit = Settings().shutdown_timeout_s
    assert spec["terminationGracePeriodSeconds"] > seconds_to_stop(spec, limit)
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@each
def test_secret_files_are_where_the_settings_say(values: dict[str, Any]) -> None:
    for pod in pods(render(values)):
        spec = pod["spec"]
        [container] = spec["containers"]
        mounts = {item["name"]: item["mountPath"] for item in container["volumeMounts"]}
        mounted = {
            f"{mounts[volume['name']]}/{item['path']}"
            for volume in spec["volumes"]
            for item in volume.get("secret", {}).get("items", ())
        }
        named = {item["value"] for item in container["env"] if "/secrets/" in item.get("value", "")}
        assert named == mounted
        assert len(mounts) == len(container["volumeMounts"])


def test_metrics_that_scaling_asks_for_exist() -> None:
    exposed = set(re.findall(r"^# TYPE (\S+)", Metrics().exposition().decode(), re.MULTILINE))
    scaled = the(render(EXAMPLES["everything-values.yaml"]), "ScaledObject")
    [trigger] = scaled["spec"]["triggers"]
    assert set(re.findall(r"wscxr_\w+", trigger["metadata"]["query"])) <= exposed
    assert 'namespace="radiology",service="demo-wscxr"' in trigger["metadata"]["query"]
    hpa = the(render(EXAMPLES["gpu-values.yaml"]), "HorizontalPodAutoscaler")
    assert hpa["spec"]["metrics"][0]["pods"]["metric"]["name"] in exposed


def test_the_watcher_is_one_with_a_volume() -> None:
    items = render(EXAMPLES["everything-values.yaml"])
    watcher = the(items, "StatefulSet", "-watcher")
    assert watcher["spec"]["replicas"] == 1
    [claim] = watcher["spec"]["volumeClaimTemplates"]
    [container] = watcher["spec"]["template"]["spec"]["containers"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/state"} in container["volumeMounts"]
    assert watcher["spec"]["serviceName"] == the(items, "Service", "-watcher")["metadata"]["name"]


def test_version() -> None:
    with helm.Chart.load(str(CHART)) as chart:
        assert chart.metadata["appVersion"] == __version__


def test_every_value_is_described() -> None:
    readme = (CHART / "README.md").read_text()
    for name in documents((CHART / "values.yaml").read_text())[0]:
        assert f"`{name}" in readme, name
