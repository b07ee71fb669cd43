"""Reading and checking Kubernetes objects without a cluster."""

from collections.abc import Iterator
from typing import Any

import pytest

ADVICE = "NOT TESTED: `make deploy-tools` installs what checks the manifests"
helm: Any = pytest.importorskip("helm_python", reason=ADVICE)
kubernetes_validate: Any = pytest.importorskip("kubernetes_validate", reason=ADVICE)
yaml: Any = pytest.importorskip("yaml", reason=ADVICE)

KINDS_WITHOUT_SCHEMA = {
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
}
"""Kinds that Kubernetes itself does not define; any other unknown kind is an error."""


def _mapping(loader: Any, node: Any) -> Any:
    """Refuses a key given twice, of which YAML readers silently take the last."""
    keys = [key.value for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"{node.start_mark}: a key is given twice"
    return loader.construct_mapping(node, deep=True)


_LOADER: Any = type("UniqueKeys", (yaml.CSafeLoader,), {})
_LOADER.add_constructor("tag:yaml.org,2002:map", _mapping)


def documents(text: str) -> list[dict[str, Any]]:
    """The objects in a YAML file."""
    return [item for item in yaml.load_all(text, _LOADER) if item]


def check(item: dict[str, Any], version: str) -> None:
    """Hold an object against one version of Kubernetes; unknown keys are errors."""
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        assert (item["apiVersion"], item["kind"]) in KINDS_WITHOUT_SCHEMA


def pods(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The pod templates in what was rendered."""
    for item in items:
        if item["kind"] in {"Deployment", "StatefulSet"}:
            yield item["spec"]["template"]


def seconds_to_stop(pod: dict[str, Any], shutdown_timeout_s: int) -> int:
    """How long a pod may take from SIGTERM's preparation to its last answer."""
    [container] = pod["containers"]
    hook = (
        container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])
    )
    return int(hook[1]) + shutdown_timeout_s
