"""Recording, the series cap, and what travels from a worker to the supervisor."""

from __future__ import annotations

from math import inf, nan

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.telemetry.catalogue import METRICS
from guard.telemetry.meter import CEILING, DROPPED, LABEL_CAP, ROOM, SERIES_CAP, Key, Meter, State, restore
from guard.telemetry.metric import Kind, Origin
from safeguards.decision import Ending

LAG = "guard_event_loop_lag_seconds"
REQUESTS = "guard_requests_total"


def worker(cap: int = SERIES_CAP) -> Meter:
    return Meter(Origin.WORKER, cap=cap)


def test_a_series_exists_at_zero_once_it_is_bound() -> None:
    meter = worker()
    key = meter.bind(REQUESTS, "demo", "/v1/x", "general", Ending.SERVED)
    assert meter.state().counters[key] == 0.0
    assert all(type(part) is str for part in key)
    meter.inc(key)
    meter.inc(key, 2.0)
    assert meter.state().counters[key] == 3.0


def test_series_whose_labels_are_all_known_exist_from_the_start() -> None:
    state = worker().state()
    assert state.counters["guard_auth_failures_total", "expired"] == 0.0
    assert state.gauges["guard_kill_switch_readable",] == 0.0
    assert sum(state.histograms[LAG,]) == 0.0
    assert not [key for key in state.gauges if METRICS[key[0]].origin is Origin.SUPERVISOR]


def test_the_supervisor_does_not_pretend_to_serve_exchanges() -> None:
    state = Meter(Origin.SUPERVISOR).state()
    assert state.counters["guard_worker_restarts_total", "deaf"] == 0.0
    assert ("guard_kill_switch_readable",) not in state.gauges


def test_an_unknown_metric_cannot_be_bound() -> None:
    with pytest.raises(KeyError, match="guard_nonsense_total"):
        worker().bind("guard_nonsense_total")


def test_what_was_not_bound_cannot_be_recorded() -> None:
    meter = worker()
    with pytest.raises(KeyError):
        meter.inc((REQUESTS, "demo", "/", "t", "served"))
    with pytest.raises(KeyError):
        meter.add(("guard_streams_open", "demo"), 1.0)
    with pytest.raises(KeyError):
        meter.set(("guard_streams_open", "demo"), 1.0)
    with pytest.raises(KeyError):
        meter.observe(("guard_overhead_seconds", "demo", "total"), 1.0)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ((REQUESTS, "demo"), "takes the labels"),
        ((REQUESTS, "demo", "/", "t", "vanished"), "label outcome has no such value"),
        (("guard_policy_unmet_rows", "demo"), "recorded by the supervisor alone"),
    ],
)
def test_a_key_the_catalogue_does_not_allow_is_an_error_that_names_the_metric(key: Key, message: str) -> None:
    with pytest.raises(ValueError, match=f"{key[0]}: .*{message}|{key[0]}: {message}"):
        worker().bind(*key)


def test_a_counter_cannot_go_back() -> None:
    meter = worker()
    with pytest.raises(ValueError, match="guard_metrics_series_dropped_total"):
        meter.inc(DROPPED, -1.0)


def test_a_gauge_moves_both_ways_and_an_info_is_one() -> None:
    meter = Meter(Origin.SUPERVISOR)
    key = meter.bind("guard_requests_in_flight", "demo")
    meter.add(key, 2.0)
    meter.add(key, -1.0)
    assert meter.state().gauges[key] == 1.0
    meter.set(key, 7.0)
    assert meter.state().gauges[key] == 7.0
    info = meter.bind("guard_build_info", "0.1", "3.11")
    assert meter.state().gauges[info] == 1.0


@pytest.mark.parametrize(
    ("value", "place", "added"),
    [(0.0, 0, 0.0), (0.001, 0, 0.001), (0.0011, 1, 0.0011), (1.0, 9, 1.0), (99.0, 10, 99.0)]
    + [(value, 0, 0.0) for value in (-3.0, nan, inf, 10**400)],
)
def test_a_value_is_counted_in_the_first_bucket_that_holds_it_and_an_impossible_one_as_zero(
    value: float, place: int, added: float
) -> None:
    meter = worker()
    meter.observe((LAG,), value)
    cell = meter.state().histograms[LAG,]
    assert cell[0] == added
    assert [i for i, count in enumerate(cell[1:]) if count] == [place]


def test_above_the_cap_open_labels_collapse_closed_ones_stay_and_the_loss_is_counted() -> None:
    meter = worker(cap=0)
    key = meter.bind(REQUESTS, "demo", "/", "t", "served")
    assert key == (REQUESTS, "_other", "_other", "_other", "served")
    meter.inc(key)
    again = meter.bind(REQUESTS, "another", "/", "t", "served")
    meter.inc(again)
    assert meter.state().counters[key] == 2.0
    assert meter.state().counters[DROPPED] == 2.0


def test_a_collapsed_gauge_still_sums_and_takes_no_single_value() -> None:
    meter = worker(cap=0)
    key = meter.bind("guard_streams_open", "demo")
    meter.add(key, 1.0)
    meter.set(key, 50.0)
    assert meter.state().gauges[key] == 1.0


def test_a_label_value_without_end_collapses() -> None:
    meter = worker()
    assert meter.bind("guard_streams_open", "m" * LABEL_CAP)[1] == "m" * LABEL_CAP
    assert meter.bind("guard_streams_open", "m" * (LABEL_CAP + 1))[1] == "_other"


def test_hostile_label_sets_never_take_more_than_the_cap_and_the_collapsed_ones() -> None:
    meter = worker(cap=300)
    for number in range(2_000):
        meter.inc(meter.bind(REQUESTS, f"model{number}", "/", "t", "served"))
    state = meter.state()
    requests = {key: value for key, value in state.counters.items() if key[0] == REQUESTS}
    assert sum(requests.values()) == 2_000.0
    assert len(requests) <= 300
    assert state.counters[DROPPED] == requests[REQUESTS, "_other", "_other", "_other", "served"] > 0


def test_what_is_declared_brings_its_own_room_once_and_up_to_a_ceiling() -> None:
    full = worker()._series
    meter = worker(cap=full)
    key = meter.declare(REQUESTS, "demo", "/", "t", "served")
    assert meter.declare(*key) == meter.bind(*key) == key
    assert meter.cap == full + ROOM
    assert "_other" not in meter.bind(REQUESTS, "demo", "/", "t", "error")
    for number in range(CEILING):
        meter.declare(REQUESTS, f"model{number}", "/", "t", "served")
    assert meter.cap == CEILING
    assert meter._series <= CEILING + len(Ending)
    for wrong in (("guard_nonsense_total",), (REQUESTS, "demo")):
        with pytest.raises((KeyError, ValueError)):
            meter.declare(*wrong)
    assert worker(cap=CEILING + 1).cap == CEILING + 1


def test_a_forgotten_gauge_is_gone_gives_back_its_room_and_can_come_again() -> None:
    meter = Meter(Origin.SUPERVISOR)
    before = meter._series
    key = meter.bind("guard_policy_compliant", "demo", "2")
    meter.bind("guard_policy_compliant", "other", "2")
    meter.forget("guard_policy_compliant", "demo")
    assert key not in meter.state().gauges
    assert ("guard_policy_compliant", "other", "2") in meter.state().gauges
    assert meter._series == before + 1
    meter.set(meter.bind(*key), 1.0)
    assert meter.state().gauges[key] == 1.0


def test_a_counter_cannot_be_forgotten() -> None:
    with pytest.raises(ValueError, match="only a gauge"):
        worker().forget(REQUESTS)


def test_a_snapshot_comes_back_as_it_was() -> None:
    meter = worker()
    meter.inc(meter.bind(REQUESTS, "démo", "/v1/x", "general", Ending.SERVED), 3.0)
    meter.add(meter.bind("guard_streams_open", "démo"), 2.0)
    meter.observe((LAG,), 0.02)
    assert restore(meter.snapshot()) == meter.state()


def encoded(
    counters: dict[Key, float] | None = None,
    gauges: dict[Key, float] | None = None,
    histograms: dict[Key, list[float]] | None = None,
) -> bytes:
    return msgspec.msgpack.encode(State(counters or {}, gauges or {}, histograms or {}))


@pytest.mark.parametrize(
    "snapshot",
    [
        b"",
        b"\x93",
        msgspec.msgpack.encode([{}, {}]),
        msgspec.msgpack.encode([{}, {}, {}, {}]),
        encoded(counters={("guard_nonsense_total",): 1.0}),
        encoded(counters={(): 1.0}),
        encoded(counters={("guard_streams_open", "demo"): 1.0}),
        encoded(counters={("guard_refusals_total", "made_up"): 1.0}),
        encoded(counters={("guard_refusals_total",): 1.0}),
        encoded(counters={DROPPED: -1.0}),
        encoded(counters={DROPPED: nan}),
        encoded(gauges={("guard_policy_unmet_rows", "demo"): 0.0}),
        encoded(histograms={(LAG,): [1.0, 2.0]}),
        encoded(histograms={(LAG,): [1.0, *[-1.0] * 11]}),
    ],
)
def test_a_snapshot_that_no_meter_would_write_is_refused(snapshot: bytes) -> None:
    with pytest.raises(ValueError, match=r"snapshot|guard_"):
        restore(snapshot)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_state_or_a_value_error(snapshot: bytes) -> None:
    try:
        state = restore(snapshot)
    except ValueError:
        return
    assert all(key[0] in METRICS for series in (state.counters, state.gauges, state.histograms) for key in series)


@given(st.lists(st.floats(0, 100), max_size=30), st.lists(st.floats(0, 100), max_size=30))
def test_absorbing_a_dead_process_loses_no_value(before: list[float], after: list[float]) -> None:
    dead, heir = worker(), worker()
    for meter, values in ((dead, before), (heir, after)):
        for value in values:
            meter.observe((LAG,), value)
            meter.inc(meter.bind("guard_dropped_fields_total", "demo", "/"), value)
    heir.absorb(dead.state())
    state = heir.state()
    assert sum(state.histograms[LAG,][1:]) == len(before) + len(after)
    assert state.histograms[LAG,][0] == pytest.approx(sum(before) + sum(after))
    assert sum(v for k, v in state.counters.items() if k[0] == "guard_dropped_fields_total") == pytest.approx(
        sum(before) + sum(after)
    )


def test_every_metric_of_the_catalogue_can_be_bound_by_the_supervisor() -> None:
    meter = Meter(Origin.SUPERVISOR, cap=10_000)
    for metric in METRICS.values():
        key = meter.bind(metric.name, *(metric.closed.get(label, ("x",))[0] for label in metric.labels))
        state = meter.state()
        assert (key in state.counters) == (metric.kind is Kind.COUNTER)
        assert (key in state.histograms) == (metric.kind is Kind.HISTOGRAM)
        assert (key in state.gauges) == (metric.kind in {Kind.GAUGE, Kind.INFO})
