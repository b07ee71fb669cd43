"""The RayJob against KubeRay's own definition, and its pods against Kubernetes' schemas."""

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from service.cli import archive
from tests.deploy.manifests import ADVICE, check, documents, kubernetes_validate
from tests.deploy.test_kserve import strict
from wscxr import __version__

jsonschema: Any = pytest.importorskip("jsonschema", reason=ADVICE)

ROOT = Path(__file__).parents[2]
[JOB] = documents((ROOT / "deploy" / "ray" / "rayjob.yaml").read_text())
CLUSTER = JOB["spec"]["rayClusterSpec"]
PODS = [
    group["template"]["spec"] for group in (CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"])
]


@pytest.fixture(scope="module")
def definition() -> Any:
    folder = os.environ.get("WSCXR_TEST_REFERENCE")
    file = Path(folder or "", "ray.io_rayjobs.yaml")
    if folder is None or not file.exists():
        pytest.skip("NOT TESTED: WSCXR_TEST_REFERENCE names no folder with ray.io_rayjobs.yaml")
    [found] = documents(file.read_text())
    [version] = [item for item in found["spec"]["versions"] if item["name"] == "v1"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    # Kubernetes' own part of every object.
    schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    return schema


def test_kuberay_takes_it(definition: Any) -> None:
    jsonschema.validate(JOB, definition)
    wrong = {**JOB, "spec": {**JOB["spec"], "entryPoint": "wscxr"}}
    with pytest.raises(jsonschema.ValidationError, match="entryPoint"):
        jsonschema.validate(wrong, definition)


@pytest.mark.parametrize("spec", PODS, ids=["head", "worker"])
def test_its_pods_are_ones_that_kubernetes_takes(spec: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": spec}
    check(pod, kubernetes_validate.latest_version())
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    [container] = spec["containers"]
    assert container["image"] == f"wscxr:{__version__}-archive"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_everybody_must_show_the_token() -> None:
    assert CLUSTER["authOptions"] == {"mode": "token"}
    for spec in PODS:
        assert "RAY_AUTH_MODE" not in {item["name"] for item in spec["containers"][0]["env"]}


def test_it_runs_a_command_that_there_is() -> None:
    program, group, name, *words = shlex.split(JOB["spec"]["entrypoint"])
    assert (program, group) == ("wscxr", "archive")
    # A group of one command is that command.
    command = typer.main.get_command(archive)
    context = typer.Context(command)
    found = command.get_command(context, name) if hasattr(command, "get_command") else command
    parser = found.make_parser(typer.Context(found))
    options, places, _ = parser.parse_args(words)
    assert options["ray"] == "auto"
    mounts = {mount["mountPath"] for mount in PODS[0]["containers"][0]["volumeMounts"]}
    assert {*places, str(Path(options["id_key_file"]).parent)} <= mounts


def test_ray_is_the_version_that_is_tested() -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert f"ray=={CLUSTER['rayVersion']}" in pins
