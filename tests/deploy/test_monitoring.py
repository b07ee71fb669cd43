"""Alert rules and dashboard ask for metrics that there are, as Prometheus takes it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families

from service.pacs.monitor import PacsMetrics
from service.prometheus import Metrics

yaml: Any = pytest.importorskip("yaml", reason="NOT TESTED: pip install pyyaml")

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "wscxr.json").read_text())

_METRIC = re.compile(r"\b((?:wscxr|process)_[a-z0-9_]+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)(=~|!=|!~|=)\"([^\"]*)\"")
_BY = re.compile(r"\bby \(([^)]*)\)")
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
_SCRAPED = {"job", "instance"}
"""Labels that Prometheus itself adds."""


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> Iterator[tuple[str, str]]:
    """Title of each panel, and an expression in it, with the dashboard's variables filled in."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in (("$model", ".*"), ("$window", "1d"), ("$__rate_interval", "5m")):
                expression = expression.replace(name, value)
            yield panel["title"], expression


EXPRESSIONS = [
    *((rule["alert"], rule["expr"]) for rule in alerts()),
    *panels(),
]


@pytest.fixture(scope="module")
def served() -> dict[str, set[str]]:
    """Samples that service and watcher show, each with its labels."""
    metrics, watcher = Metrics(), PacsMetrics()
    metrics.watch_records()
    found: dict[str, set[str]] = {}
    for registry in (metrics._registry, watcher.registry):
        collectors: set[Any] = set(registry._names_to_collectors.values())
        for collector in collectors:
            if hasattr(collector, "_labelnames"):
                labels = set(collector._labelnames)
                name = collector._name
                suffixes = _SUFFIXES.get(collector._type, ("",))
                if collector._type == "info":
                    labels |= {"version", "sha256"}
                for suffix in suffixes:
                    le = {"le"} if suffix == "_bucket" else set()
                    found[f"{name}{suffix}"] = labels | le
    # Those of the process have no labels.
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set(sample.labels))
    return found


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_every_metric_and_label_exists(
    served: dict[str, set[str]], title: str, expression: str
) -> None:
    asked = list(_METRIC.finditer(expression))
    assert asked, title
    known: set[str] = set(_SCRAPED)
    for name, labels in (found.groups() for found in asked):
        assert name in served, f"{title}: {name}"
        known |= served[name]
        wanted = {label for label, _, _ in _LABEL.findall(labels or "")}
        assert wanted <= served[name] | _SCRAPED, f"{title}: {name}"
    grouped = {label.strip() for found in _BY.findall(expression) for label in found.split(",")}
    assert grouped <= known, title


def test_every_bucket_that_is_asked_for_exists() -> None:
    p_value = Metrics().p_value
    assert isinstance(p_value, Histogram)
    edges = {f"{edge:g}" for edge in p_value._upper_bounds}
    asked = {
        value
        for _, expression in EXPRESSIONS
        for label, _, value in _LABEL.findall(expression)
        if label == "le"
    }
    assert asked
    assert asked <= edges


def test_every_alert_says_what_to_do() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))
    for rule in alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("NOT TESTED: promtool is not installed: apt-get install prometheus")
    return found


def checked(promtool: str, *arguments: str | Path) -> None:
    ran = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prometheus_takes_rules_and_panels(promtool: str, tmp_path: Path) -> None:
    checked(promtool, "check", "rules", ALERTS)
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, (_, expression) in enumerate(panels())
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked(promtool, "check", "rules", file)


def test_alerts_of_drift_fire_when_they_should(promtool: str, tmp_path: Path) -> None:
    """Five weeks of 100 images a day for one model, which change after four; another stays."""
    weeks, day = 5, 24
    minutes = 60 * day * 7 * weeks
    changed = 60 * day * 7 * 4

    def counter(name: str, labels: str, before: float, after: float) -> dict[str, str]:
        # Samples every hour, in images a day before and after the change.
        first, rest = changed // 60, (minutes - changed) // 60
        height = before / day * first
        values = f"0+{before / day}x{first} {height + after / day}+{after / day}x{rest}"
        return {"series": f"{name}{{{labels}}}", "values": values}

    series = []
    for model, after in (("chest", 20), ("other", 5)):
        who = f'model="{model}"'
        series += [
            counter("wscxr_p_value_bucket", f'{who},le="0.05"', 5, after),
            counter("wscxr_p_value_count", who, 100, 100),
            counter("wscxr_ood_score_count", who, 100, 100),
            counter("wscxr_out_of_distribution_images_total", who, 2, 2 * after),
        ]
        drift = 2 if model == "chest" else 0
        series.append(
            {
                "series": f"wscxr_drift_warnings{{{who}}}",
                "values": f"0x{changed // 60} {drift}x{(minutes - changed) // 60}",
            }
        )
    cases: list[dict[str, Any]] = []
    for name in ("WscxrDrift", "WscxrUnusualImagesRise", "WscxrUnlikeTraining"):
        [rule] = [rule for rule in alerts() if rule["alert"] == name]
        cases.append({"eval_time": f"{changed - 60}m", "alertname": name, "exp_alerts": []})
        fired = {"exp_labels": {"severity": "warning", "model": "chest"}}
        notes = {key: _shown(text) for key, text in rule["annotations"].items()}
        cases.append(
            {
                "eval_time": f"{minutes - 60}m",
                "alertname": name,
                "exp_alerts": [{**fired, "exp_annotations": notes}],
            }
        )
    test = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1h",
        "tests": [{"interval": "1h", "input_series": series, "alert_rule_test": cases}],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(test))
    checked(promtool, "test", "rules", file)


def _shown(text: str) -> str:
    share = "{{ $value | humanizePercentage }}"
    return text.replace("{{ $labels.model }}", "chest").replace(share, "40%")
