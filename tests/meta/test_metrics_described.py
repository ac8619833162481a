"""Tests that `docs/reference/metrics.md` describes each metric."""

from __future__ import annotations

from prometheus_client import Counter

from tests.support.paths import DOCS
from timim.server.metrics import Metrics

DOCUMENT = DOCS / "reference" / "metrics.md"


def undescribed(metrics: Metrics, text: str) -> list[str]:
    """Return the metrics whose exported name does not appear in `text` in backticks."""
    names = [family.name + ("_total" if family.type == "counter" else "") for family in metrics.registry.collect()]
    return sorted(name for name in names if f"`{name}`" not in text)


def all_metrics() -> Metrics:
    return Metrics(bus=True, database=True)


def test_every_metric_is_described() -> None:
    assert undescribed(all_metrics(), DOCUMENT.read_text()) == []


def test_a_metric_without_description_is_found() -> None:
    metrics = all_metrics()
    Counter("timim_novelty", "Nobody described it", registry=metrics.registry)
    assert undescribed(metrics, DOCUMENT.read_text()) == ["timim_novelty_total"]


def test_a_single_node_shows_no_metrics_of_missing_parts() -> None:
    shown = Metrics().text().decode()
    assert "timim_sessions" in shown
    assert "timim_bus" not in shown
    assert "timim_database" not in shown
