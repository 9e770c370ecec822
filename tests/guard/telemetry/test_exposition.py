"""The page that Prometheus reads: complete, parseable, and never going backwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric as Family
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from guard.telemetry.catalogue import METRICS
from guard.telemetry.exposition import Exposition
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Kind, Metric, Origin
from guard.telemetry.observe import Mounted, declare_model, exchange_ended, policy_judged
from safeguards.decision import Target
from tests.guard.telemetry.records import EXCHANGE, OUTCOME
from tests.parts.prometheus import promtool

OPENMETRICS = "application/openmetrics-text; version=1.0.0,application/openmetrics-text; version=0.0.1;q=0.75,*/*;q=0.1"
RECORDS = "guard_audit_records_total"


def samples(page: bytes) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(page.decode()) for sample in family.samples]


def parse_openmetrics(page: bytes) -> list[Family]:
    return list(openmetrics_parser.text_string_to_metric_families(page.decode()))  # type: ignore[no-untyped-call]  # the library's gap


def value(page: bytes, name: str, **labels: str) -> float | None:
    found = [sample.value for sample in samples(page) if sample.name == name and sample.labels == labels]
    assert len(found) < 2
    return found[0] if found else None


def full(origin: Origin) -> Meter:
    """A meter with one series of every metric that this origin may record."""
    meter = Meter(origin, cap=10_000)
    for metric in METRICS.values():
        if origin is Origin.SUPERVISOR or metric.origin is Origin.WORKER:
            key = meter.bind(metric.name, *(metric.closed.get(label, ("x",))[0] for label in metric.labels))
            if metric.kind is Kind.GAUGE:
                meter.set(key, 1_800_000_000.0)
    return meter


def filled() -> Exposition:
    exposition = Exposition(full(Origin.SUPERVISOR))
    exposition.apply(0, 1, full(Origin.WORKER).snapshot(), 1_800_000_000.0)
    exposition.apply(1, 1, full(Origin.WORKER).snapshot(), 1_800_000_000.0)
    return exposition


def test_every_metric_of_the_catalogue_renders_in_both_formats_as_its_kind() -> None:
    exposition = filled()
    classic, _ = exposition.page().render()
    openmetrics, _ = exposition.page().render(OPENMETRICS)
    kinds = {family.name: family.type for family in parse_openmetrics(openmetrics)}
    names = {sample.name for sample in samples(classic)}
    for metric in METRICS.values():
        family = metric.name.removesuffix("_total").removesuffix("_info")
        assert kinds[family] == metric.kind.value
        assert metric.name + ("_bucket" if metric.kind is Kind.HISTOGRAM else "") in names
    assert {sample.name for family in parse_openmetrics(openmetrics) for sample in family.samples} == names


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_workers_metric_says_which_worker_and_the_supervisors_stands_once(metric: Metric) -> None:
    page, _ = filled().page().render()
    found = [sample for sample in samples(page) if sample.name.startswith(metric.name) and "le" not in sample.labels]
    workers = {sample.labels.get("worker") for sample in found if sample.name == metric.name}
    if metric.origin is Origin.WORKER and metric.kind is not Kind.HISTOGRAM:
        assert workers == {"0", "1", "supervisor"}
    elif "worker" not in metric.labels and metric.kind is not Kind.HISTOGRAM:
        assert workers == {None}


def test_the_format_is_the_one_that_was_asked_for() -> None:
    exposition = filled()
    assert exposition.page().render(OPENMETRICS)[1].startswith("application/openmetrics-text; version=1.0.0")
    assert exposition.page().render(OPENMETRICS)[0].endswith(b"# EOF\n")
    for accept in ("", "*/*", "text/plain", "application/openmetrics-text; q=0", "\r\n; version=9"):
        assert exposition.page().render(accept)[1] == "text/plain; version=0.0.4; charset=utf-8"


def test_a_histogram_is_cumulative_and_its_count_is_its_last_bucket() -> None:
    meter = Meter(Origin.WORKER)
    for seconds in (0.0005, 0.003, 0.003, 7.0):
        meter.observe(("guard_event_loop_lag_seconds",), seconds)
    exposition = Exposition(Meter(Origin.SUPERVISOR))
    exposition.apply(0, 1, meter.snapshot(), 1.0)
    page, _ = exposition.page().render()
    buckets = [s.value for s in samples(page) if s.name == "guard_event_loop_lag_seconds_bucket"]
    assert buckets == [1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 4]
    assert value(page, "guard_event_loop_lag_seconds_count", worker="0") == 4
    assert value(page, "guard_event_loop_lag_seconds_sum", worker="0") == pytest.approx(7.0065)


def test_a_time_that_has_not_come_yet_is_left_out() -> None:
    meter = Meter(Origin.WORKER)
    exposition = Exposition(Meter(Origin.SUPERVISOR))
    exposition.apply(0, 1, meter.snapshot(), 5.0)
    page, _ = exposition.page().render()
    assert value(page, "guard_audit_last_durable_timestamp_seconds", worker="0") is None
    assert value(page, "guard_worker_last_report_timestamp_seconds", worker="0") == 5.0
    meter.set(("guard_audit_last_durable_timestamp_seconds",), 9.0)
    exposition.apply(0, 1, meter.snapshot(), 6.0)
    assert value(exposition.page().render()[0], "guard_audit_last_durable_timestamp_seconds", worker="0") == 9.0


def counting(records: float) -> Meter:
    meter = Meter(Origin.WORKER)
    meter.inc((RECORDS, "durable"), records)
    meter.set(("guard_kill_switch_orders",), 1.0)
    return meter


def durable(exposition: Exposition) -> float | None:
    return value(exposition.page().render()[0], RECORDS, result="durable", worker="0")


def test_a_replaced_worker_goes_on_where_its_predecessor_was() -> None:
    exposition = Exposition(Meter(Origin.SUPERVISOR))
    exposition.apply(0, 1, counting(5).snapshot(), 1.0)
    exposition.retire(0, 1)
    assert durable(exposition) == 5
    page, _ = exposition.page().render()
    assert value(page, "guard_worker_up", worker="0") == 0.0
    assert value(page, "guard_kill_switch_orders", worker="0") is None
    exposition.apply(0, 2, counting(2).snapshot(), 2.0)
    assert durable(exposition) == 7
    assert value(exposition.page().render()[0], "guard_worker_up", worker="0") == 1.0


def test_a_worker_replaced_without_being_retired_is_buried_by_its_successors_first_word() -> None:
    exposition = Exposition(Meter(Origin.SUPERVISOR))
    exposition.apply(0, 1, counting(5).snapshot(), 1.0)
    exposition.apply(0, 2, counting(1).snapshot(), 2.0)
    assert durable(exposition) == 6


def test_the_late_words_of_a_dead_worker_change_nothing() -> None:
    exposition = Exposition(Meter(Origin.SUPERVISOR))
    exposition.apply(0, 1, counting(5).snapshot(), 1.0)
    exposition.retire(0, 1)
    exposition.apply(0, 1, counting(6).snapshot(), 2.0)
    assert durable(exposition) == 5
    exposition.apply(0, 2, counting(1).snapshot(), 3.0)
    exposition.retire(0, 1)
    assert durable(exposition) == 6
    assert value(exposition.page().render()[0], "guard_worker_up", worker="0") == 1.0


def test_a_snapshot_that_cannot_be_read_leaves_the_last_good_one() -> None:
    exposition = Exposition(Meter(Origin.SUPERVISOR))
    exposition.apply(0, 1, counting(5).snapshot(), 1.0)
    with pytest.raises(ValueError, match="snapshot"):
        exposition.apply(0, 2, b"garbage", 2.0)
    assert durable(exposition) == 5


@given(st.lists(st.one_of(st.integers(1, 9), st.sampled_from(["retire", "replace"])), max_size=25))
def test_no_counter_ever_goes_backwards(steps: list[int | str]) -> None:
    exposition = Exposition(Meter(Origin.SUPERVISOR))
    meter, incarnation, total, seen = Meter(Origin.WORKER), 1, 0.0, 0.0
    for step in steps:
        if isinstance(step, int):
            total += step
            meter.inc((RECORDS, "durable"), float(step))
            meter.observe(("guard_audit_append_seconds",), 0.001)
            exposition.apply(0, incarnation, meter.snapshot(), 1.0)
        else:
            if step == "retire":
                exposition.retire(0, incarnation)
            meter, incarnation = Meter(Origin.WORKER), incarnation + 1
        families = {
            sample.name: sample.value
            for family in exposition.page().collect()
            for sample in family.samples
            if sample.labels == {"worker": "0", "result": "durable"}
        }
        now = families.get(RECORDS, 0.0)
        assert now >= seen
        seen = now
    assert seen == total


def test_what_an_exchange_counted_in_a_worker_is_on_the_page() -> None:
    meter, own = Meter(Origin.WORKER), Meter(Origin.SUPERVISOR)
    mounted = [Mounted("patterns", (Target.INPUT,), enforced=True)]
    declare_model(
        meter, "demo", provider="vllm", routes={"/v1/chat/completions": "chat"}, tiers=["general"], mounted=mounted
    )
    exchange_ended(meter, EXCHANGE, OUTCOME, "/v1/chat/completions", "vllm")
    policy_judged(own, "demo", 2, "rsp 2.2", "abc", 0)
    exposition = Exposition(own)
    exposition.apply(0, 1, meter.snapshot(), 1.0)
    page, _ = exposition.page().render()
    labels = {"model": "demo", "route": "/v1/chat/completions", "tier": "general"}
    assert value(page, "guard_requests_total", worker="0", outcome="served", **labels) == 1
    assert value(page, "guard_requests_total", worker="0", outcome="stopped", **labels) == 0
    assert value(page, "guard_policy_compliant", model="demo", asl="2") == 1
    assert value(page, "guard_policy_info", model="demo", asl="2", framework="rsp 2.2", policy="abc") == 1


def test_promtool_finds_nothing_to_say() -> None:
    page, _ = filled().page().render()
    result = promtool("check", "metrics", said=page.decode())
    assert (result.returncode, result.stderr) == (0, "")
