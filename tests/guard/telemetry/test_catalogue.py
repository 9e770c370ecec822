"""The catalogue follows Prometheus' naming rules and states each metric once."""

from __future__ import annotations

import re

import pytest

from guard.telemetry import catalogue
from guard.telemetry.catalogue import METRICS
from guard.telemetry.metric import Kind, Metric, Origin
from safeguards.decision import Ending, Failure
from safeguards.verdict import Code


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_has_a_name_a_kind_and_labels_that_prometheus_rules_allow(metric: Metric) -> None:
    assert re.fullmatch(r"(guard|gen_ai)_[a-z0-9_]+[a-z0-9]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.name.endswith("_info") == (metric.kind is Kind.INFO)
    assert not re.search(r"_(count|sum|bucket|created|gauge|counter|histogram|ms|percent)$", metric.name)
    assert metric.help.endswith(".") or ";" in metric.help
    assert "\n" not in metric.help
    assert len(set(metric.labels)) == len(metric.labels)
    assert all(re.fullmatch(r"[a-z_]+", label) and label not in {"le", "job", "instance"} for label in metric.labels)
    assert not {"key", "user", "owner", "id", "path"} & set(metric.labels)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_buckets_rise_and_only_a_histogram_has_them(metric: Metric) -> None:
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert sorted(set(metric.buckets)) == list(metric.buckets)
    assert metric.series == (len(metric.buckets) + 3 if metric.buckets else 1)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_closed_labels_are_labels_of_the_metric(metric: Metric) -> None:
    assert set(metric.closed) <= set(metric.labels)
    assert all(type(value) is str for values in metric.closed.values() for value in values)


def test_each_metric_stands_once() -> None:
    assert len(catalogue._ALL) == len(METRICS)


def test_the_label_worker_is_added_by_the_exposition_and_so_never_a_label_of_a_workers_metric() -> None:
    assert not [m.name for m in METRICS.values() if m.origin is Origin.WORKER and "worker" in m.labels]


def test_closed_labels_hold_the_whole_vocabulary_of_the_records() -> None:
    assert set(METRICS["guard_requests_total"].closed["outcome"]) == {ending.value for ending in Ending}
    assert set(METRICS["guard_safeguard_errors_total"].closed["error_type"]) == {failure.value for failure in Failure}
    assert set(METRICS["guard_refusals_total"].closed["code"]) == {code.value for code in Code}
