"""Every measure counts what it says, over all workers and mounts, and nothing of what was stopped."""

from __future__ import annotations

from guard.policy.monitoring import Measure
from guard.serve.measures import collapsed, measured
from guard.serve.window import Totals
from guard.telemetry.meter import OTHER, Meter
from guard.telemetry.metric import Origin

NAMES = {"demo": {"patterns"}}


def ended(outcome: str, count: float, model: str = "demo") -> tuple[tuple[str, ...], float]:
    return ("guard_requests_total", model, "/v1/chat/completions", "general", outcome), count


def decided(
    safeguard: str, verdict: str, count: float, mode: str = "enforce", model: str = "demo"
) -> tuple[tuple[str, ...], float]:
    action = "block" if (verdict, mode) == ("deny", "enforce") else "allow"
    return ("guard_decisions_total", model, safeguard, "input", verdict, action, mode), count


def test_each_share_is_of_all_that_ended() -> None:
    counters = [
        ended("served", 80),
        ended("blocked_input", 5),
        ended("blocked_input", 1),
        ended("blocked_output", 4),
        ended("denied", 3),
        ended("error", 2),
        ended("caller_gone", 5),
        (("guard_unscanned_total", "demo", "/v1/chat/completions", "failed_open"), 7.0),
    ]
    found = measured(counters, NAMES)
    assert found["demo", Measure.BLOCK_RATE] == Totals(10, 100)
    assert found["demo", Measure.DENIAL_RATE] == Totals(3, 100)
    assert found["demo", Measure.ERROR_RATE] == Totals(2, 100)
    assert found["demo", Measure.UNSCANNED_RATE] == Totals(7, 100)


def test_what_was_stopped_counts_nowhere() -> None:
    found = measured([ended("stopped", 1000), ended("blocked_input", 1)], NAMES)
    assert found["demo", Measure.BLOCK_RATE] == Totals(1, 1)


def test_what_operators_did_counts_nowhere() -> None:
    counters = [
        (("guard_requests_not_judged_total", "demo", "blocked_input"), 2.0),
        (("guard_requests_not_judged_total", "demo", "blocked_output"), 1.0),
        (("guard_requests_not_judged_total", "demo", "denied"), 30.0),
        (("guard_requests_not_judged_total", "demo", "caller_gone"), 1.0),
        (("guard_requests_not_judged_total", "demo", "stopped"), 9.0),
        ended("served", 90),
        ended("blocked_input", 7),
        ended("blocked_output", 4),
        ended("denied", 32),
        ended("caller_gone", 1),
        ended("stopped", 9),
    ]
    found = measured(counters, NAMES)
    assert found["demo", Measure.BLOCK_RATE] == Totals(8, 100)
    assert found["demo", Measure.DENIAL_RATE] == Totals(2, 100)


def test_hits_are_those_of_the_classifiers_also_in_shadow() -> None:
    counters = [
        decided("patterns", "deny", 2),
        decided("patterns", "deny", 1, mode="shadow"),
        decided("patterns", "allow", 7),
        decided("limits", "deny", 50),
    ]
    assert measured(counters, NAMES)["demo", Measure.HIT_RATE] == Totals(3, 10)


def test_other_models_count_for_themselves() -> None:
    found = measured([ended("error", 3, "other"), decided("patterns", "deny", 3, model="other")], NAMES)
    assert set(found.values()) == {Totals(0, 0)}


def test_the_labels_are_read_in_the_order_of_the_catalogue() -> None:
    meter = Meter(Origin.WORKER)
    meter.inc(meter.bind("guard_requests_total", "demo", "/v1/chat/completions", "general", "error"))
    meter.inc(meter.bind("guard_decisions_total", "demo", "patterns", "input", "deny", "block", "enforce"))
    meter.inc(meter.bind("guard_unscanned_total", "demo", "/v1/chat/completions", "failed_open"))
    found = measured(meter.counters.items(), NAMES)
    wanted = {Measure.ERROR_RATE, Measure.HIT_RATE, Measure.UNSCANNED_RATE}
    assert {measure for (_, measure), totals in found.items() if totals.part} == wanted


def test_what_is_counted_under_nobodys_name_is_noticed() -> None:
    assert not collapsed([ended("served", 5), ended("served", 0, OTHER)])
    assert collapsed([ended("served", 5), ended("served", 1, OTHER)])
