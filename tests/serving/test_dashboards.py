"""Prometheus' alerts and Grafana's dashboard ask for metrics that the server's page has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.server.monitoring.batch_statistics import BatchStatistics
from serving.server.monitoring.metrics import METRICS, Metrics, page
from serving.server.monitoring.observation import Observation

FOLDER = Path(__file__).resolve().parent.parent.parent / "serving" / "docker"
ALERTS = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
QUERIES = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]
# What Prometheus itself adds.
ADDED = {"le", "job", "instance"}
NAME = re.compile(r":[a-z_]+:[a-z_:]+")


@pytest.fixture(scope="module")
def metrics_page() -> str:
    """The page of a server that has answered, batched and warmed up."""
    counts = Metrics()
    for entrypoint in ("GRPC", "REST"):
        seconds: dict[str, Any] = {"total_seconds": 1e-3, "queue_seconds": 1e-4}
        seconds["runtime_seconds"] = 1e-4
        counts.observe(Observation("Predict", entrypoint, str, model="m", version=1, **seconds))
    counts.batched(BatchStatistics(2, 1, 4, 1e-4, 1e-4, ((4, 2),)))
    counts.warmed_up(Path("/models/m/1"), 0.1, "OK", 3)
    return page(counts.snapshot())


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_metrics_of_the_page(query, metrics_page):
    names = set(NAME.findall(query))
    assert names or query.startswith("up{")
    for name in names:
        assert re.search(rf"^{name}\{{", metrics_page, re.MULTILINE), name


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_uses_labels_that_the_metrics_have(query):
    used = {label.strip() for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(",")}
    used |= set(re.findall(r"[{,]\s*([a-zA-Z_]+)\s*[!=]", query))
    for name in NAME.findall(query):
        metric = METRICS.get(name) or METRICS[re.sub(r"_(bucket|sum|count)$", "", name)]
        assert used <= {*metric.labels, *ADDED}
        assert name in METRICS or metric.limits


def test_each_alert_says_what_is_wrong():
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_panels_have_places_of_their_own():
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["targets"] for panel in DASHBOARD["panels"])
