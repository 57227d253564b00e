"""Dashboard, alerts and docs name the metrics that there are, and no other."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from bindserver.cycle.cycle import Cycle
from bindserver.cycle.figures import CycleFigures
from bindserver.hub.hub import Hub
from bindserver.metrics import collector
from bindserver.metrics.collector import BindserverCollector
from tests.repo.test_docs import section, table

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"\bbindserver_\w+")
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana.json").read_text())
RULES: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus.rules.yaml").read_text())


@pytest.fixture(scope="module")
def metrics() -> dict[str, Metric]:
    """Every metric that is exported, by the name that it is documented by."""
    registry = CollectorRegistry()
    registry.register(BindserverCollector())
    return {_told(metric): metric for metric in registry.collect()}


def _told(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def samples_of(metrics: dict[str, Metric]) -> set[str]:
    """Return the names that a query may have."""
    found = set()
    for name, metric in metrics.items():
        ends = ("_bucket", "_count", "_sum") if metric.type == "histogram" else ("",)
        found |= {name + end for end in ends}
    return found


def queries_of_the_dashboard() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in DASHBOARD["templating"]["list"]:
        yield variable["definition"] if variable["type"] == "query" else ""


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def test_the_dashboard_names_only_metrics_that_exist(metrics: dict[str, Metric]) -> None:
    named = {name for query in queries_of_the_dashboard() for name in NAME.findall(query)}
    assert named
    assert named <= samples_of(metrics)


def test_the_dashboard_shows_every_metric(metrics: dict[str, Metric]) -> None:
    shown = " ".join(queries_of_the_dashboard())
    unseen = {name for name in metrics if name not in shown}
    assert unseen == {"bindserver_connections_opened_total", "bindserver_log_bytes"}


def test_alerts_name_only_metrics_that_exist(metrics: dict[str, Metric]) -> None:
    named = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    assert named
    assert named <= samples_of(metrics)


def test_every_metric_is_documented_and_no_other(metrics: dict[str, Metric]) -> None:
    assert set(table(section("docs/monitoring.md", "### Every metric"))) - {"metric"} == set(
        metrics
    )


def test_labels_are_documented_as_they_are(metrics: dict[str, Metric]) -> None:
    told = table(section("docs/monitoring.md", "### Every metric"))
    for name, metric in metrics.items():
        labels = {label.strip("` ") for cell in told[name][1:] for label in cell.split(",")}
        assert labels == set(metric._labelnames) - {"pid"}, name  # type: ignore[attr-defined]


def test_every_alert_is_documented_and_no_other() -> None:
    told = set(table(section("docs/monitoring.md", "### Alerts"))) - {"alert"}
    assert told == {rule["alert"] for rule in rules()}


def test_alerts_say_what_is_the_matter_and_how_bad_it_is() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert re.fullmatch(r"\d+[mh]", rule["for"])


def test_the_dashboard_is_for_any_data_source() -> None:
    sources = [panel["datasource"] for panel in DASHBOARD["panels"] if "datasource" in panel]
    sources += [t["datasource"] for p in DASHBOARD["panels"] for t in p.get("targets", ())]
    assert {source["uid"] for source in sources} == {"${datasource}"}
    kinds = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
    assert kinds["datasource"] == "datasource"


def test_panels_of_the_dashboard_stand_side_by_side() -> None:
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, panel["title"]
                assert x < 24
                taken.add((x, y))
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_alerts_hold_in_a_cycle_with_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric without a sample still has its labels, by which alerts and panels choose."""
    hub = Hub()
    hub._cycles["default"] = Cycle("default", b"secret")
    figures: CycleFigures = hub._cycles["default"].figures
    figures.of("products").views = 2
    figures.count_failure("products", "failed")
    monkeypatch.setattr(collector, "hub", hub)
    registry = CollectorRegistry()
    registry.register(BindserverCollector())
    labels = {"pid": str(os.getpid()), "database": "default", "event": "products"}
    assert registry.get_sample_value("bindserver_views", labels) == 2
    labels["kind"] = "failed"
    assert registry.get_sample_value("bindserver_errors_total", labels) == 1
