"""What one label set of a metric costs."""

from __future__ import annotations

from guard.telemetry.metric import Kind, Metric, Origin


def test_a_histogram_costs_a_series_for_each_bucket_and_three_more() -> None:
    metric = Metric("guard_x_seconds", Kind.HISTOGRAM, Origin.WORKER, "x", buckets=(1.0, 2.0))
    assert metric.series == len(["1", "2", "+Inf", "sum", "count"])


def test_any_other_metric_costs_one() -> None:
    assert Metric("guard_x", Kind.GAUGE, Origin.WORKER, "x").series == 1
