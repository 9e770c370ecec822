"""What one record adds to which series.

It is one file, because every series is counted from the same few records.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from guard.telemetry.meter import CEILING, DROPPED, OTHER, Key, Meter
from guard.telemetry.metric import AuthFailure, Cut, Origin, Phase, Unscanned
from guard.telemetry.observe import (
    Mounted,
    coverage_judged,
    declare_model,
    exchange_began,
    exchange_ended,
    overhead,
    policy_judged,
    refused,
    unscanned,
)
from guard.wire.routes import ROUTES
from safeguards.decision import Decision, Ending, Failure, Outcome, Target
from safeguards.exchange import Exchange
from safeguards.verdict import Code
from tests.guard.telemetry.records import ALLOWED, EXCHANGE, OUTCOME

ROUTE = "/v1/chat/completions"
GEN_AI = ("chat", "vllm", "demo")
BOTH = (Target.INPUT, Target.OUTPUT)


def ended(outcome: Outcome, *, streamed: bool = True) -> Meter:
    meter = Meter(Origin.WORKER)
    exchange = replace(EXCHANGE, streamed=streamed)
    exchange_began(meter, exchange)
    exchange_ended(meter, exchange, outcome, ROUTE, "vllm")
    return meter


def counted(meter: Meter, name: str) -> dict[Key, float]:
    return {key[1:]: value for key, value in meter.state().counters.items() if key[0] == name and value}


def observed(meter: Meter, name: str, *labels: str) -> tuple[float, float]:
    """The sum and the count."""
    cell = meter.state().histograms[name, *labels]
    return cell[0], sum(cell[1:])


def test_a_served_exchange_is_counted_once_with_its_times_and_tokens() -> None:
    meter = ended(OUTCOME)
    assert counted(meter, "guard_requests_total") == {("demo", ROUTE, "general", "served"): 1.0}
    assert observed(meter, "guard_overhead_seconds", "demo", "total") == pytest.approx((0.1, 1))
    assert observed(meter, "gen_ai_server_request_duration_seconds", *GEN_AI, "") == (1.5, 1)
    assert observed(meter, "gen_ai_server_time_to_first_token_seconds", *GEN_AI) == (0.3, 1)
    assert observed(meter, "gen_ai_client_token_usage", *GEN_AI, "input") == (5, 1)
    assert observed(meter, "gen_ai_client_token_usage", *GEN_AI, "output") == (9, 1)
    assert counted(meter, "guard_unscanned_total") == {}
    assert counted(meter, "guard_streams_terminated_total") == {}


@pytest.mark.parametrize("streamed", [True, False])
def test_what_began_is_in_flight_until_it_ends(*, streamed: bool) -> None:
    meter = Meter(Origin.WORKER)
    exchange = replace(EXCHANGE, streamed=streamed)
    flight, streams = ("guard_requests_in_flight", "demo"), ("guard_streams_open", "demo")
    exchange_began(meter, exchange)
    assert meter.state().gauges[flight] == 1.0
    assert meter.state().gauges.get(streams, 0.0) == float(streamed)
    exchange_ended(meter, exchange, OUTCOME, ROUTE, "vllm")
    assert meter.state().gauges[flight] == 0.0
    assert meter.state().gauges.get(streams, 0.0) == 0.0


@pytest.mark.parametrize(
    ("enforced", "denied", "blocked", "labels"),
    [
        (True, False, False, ("allow", "allow", "enforce")),
        (True, True, True, ("deny", "block", "enforce")),
        (False, True, False, ("deny", "allow", "shadow")),
        (False, False, False, ("allow", "allow", "shadow")),
    ],
)
def test_a_decision_says_its_verdict_what_was_done_and_the_mode(
    *, enforced: bool, denied: bool, blocked: bool, labels: tuple[str, ...]
) -> None:
    decision = Decision("patterns", Target.OUTPUT, enforced, denied, blocked, 0.02)
    meter = ended(replace(OUTCOME, decisions=(decision, decision)))
    assert counted(meter, "guard_decisions_total") == {("demo", "patterns", "output", *labels): 2.0}
    assert observed(meter, "guard_safeguard_duration_seconds", "patterns", "output") == (0.04, 2)


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize(
    ("enforced", "code", "hole"),
    [
        (True, Code.SAFEGUARD_FAILED, False),
        (True, Code.LOG_UNAVAILABLE, False),
        (True, Code.CONTENT_BLOCKED, True),  # it let its failure pass, and blocked later text
        (True, None, True),
        (False, None, False),
    ],
)
def test_a_failure_is_counted_and_one_that_passed_while_enforced_is_unscanned(
    failure: Failure, *, enforced: bool, code: Code | None, hole: bool
) -> None:
    blocked = code is not None
    decision = Decision("remote", Target.INPUT, enforced, blocked, blocked, 0.02, code, failure=failure)
    meter = ended(replace(OUTCOME, decisions=(decision,)))
    action = "block" if blocked and not hole else "allow"
    assert counted(meter, "guard_safeguard_errors_total") == {("remote", failure.value, action): 1.0}
    assert counted(meter, "guard_unscanned_total") == ({("demo", ROUTE, "failed_open"): 1.0} if hole else {})


def test_serving_without_any_decision_is_unscanned() -> None:
    assert counted(ended(replace(OUTCOME, decisions=())), "guard_unscanned_total") == {
        ("demo", ROUTE, "no_decision"): 1.0
    }


def test_a_refusal_before_any_decision_is_not_unscanned() -> None:
    outcome = replace(OUTCOME, ending=Ending.ERROR, code=Code.INTERNAL, decisions=(), status=500)
    assert counted(ended(outcome), "guard_unscanned_total") == {}


@pytest.mark.parametrize(
    ("ending", "code", "cause"),
    [
        (Ending.BLOCKED_OUTPUT, Code.CONTENT_BLOCKED, Cut.SAFEGUARD),
        (Ending.BLOCKED_INPUT, Code.CONTENT_BLOCKED, Cut.SAFEGUARD),
        (Ending.DENIED, Code.ACCESS_DENIED, Cut.SAFEGUARD),
        (Ending.STOPPED, Code.STOPPED, Cut.KILL_SWITCH),
        (Ending.CALLER_GONE, Code.CALLER_GONE, Cut.CALLER),
        (Ending.ERROR, Code.UPSTREAM_FAILED, Cut.UPSTREAM),
        (Ending.ERROR, Code.UPSTREAM_TIMEOUT, Cut.UPSTREAM),
        (Ending.ERROR, Code.DEADLINE, Cut.DEADLINE),
        (Ending.ERROR, Code.DRAINING, Cut.DRAIN),
        (Ending.ERROR, Code.SAFEGUARD_FAILED, Cut.SAFEGUARD),
        (Ending.ERROR, Code.INTERNAL, Cut.INTERNAL),
        (Ending.ERROR, None, Cut.INTERNAL),
    ],
)
def test_a_cut_stream_says_what_cut_it(ending: Ending, code: Code | None, cause: Cut) -> None:
    meter = ended(replace(OUTCOME, ending=ending, code=code))
    assert counted(meter, "guard_streams_terminated_total") == {("demo", cause.value): 1.0}
    assert observed(meter, "gen_ai_server_request_duration_seconds", *GEN_AI, ending.value) == (1.5, 1)


@pytest.mark.parametrize("ending", Ending)
@pytest.mark.parametrize("code", [None, *Code])
@pytest.mark.parametrize("streamed", [True, False])
def test_every_ending_with_every_code_is_counted_exactly_once(
    ending: Ending, code: Code | None, *, streamed: bool
) -> None:
    meter = ended(replace(OUTCOME, ending=ending, code=code), streamed=streamed)
    assert sum(counted(meter, "guard_requests_total").values()) == 1.0
    assert sum(counted(meter, "guard_streams_terminated_total").values()) == (
        1.0 if streamed and ending is not Ending.SERVED else 0.0
    )


def test_an_error_before_the_first_event_is_not_a_cut_stream() -> None:
    outcome = replace(OUTCOME, ending=Ending.BLOCKED_INPUT, code=Code.CONTENT_BLOCKED, status=400)
    meter = ended(outcome)
    assert counted(meter, "guard_streams_terminated_total") == {}
    meter = ended(replace(outcome, status=200, first_byte_seconds=None))
    assert counted(meter, "guard_streams_terminated_total") == {}


def test_an_endpoint_that_fails_is_counted_by_how() -> None:
    meter = ended(replace(OUTCOME, ending=Ending.ERROR, code=Code.UPSTREAM_TIMEOUT, status=504))
    assert counted(meter, "guard_upstream_errors_total") == {("demo", "upstream_timeout"): 1.0}
    meter = ended(replace(OUTCOME, ending=Ending.ERROR, code=Code.INTERNAL, status=500))
    assert counted(meter, "guard_upstream_errors_total") == {}


def test_dropped_fields_are_counted_and_absurd_token_numbers_spoil_nothing() -> None:
    meter = ended(replace(OUTCOME, dropped_fields=4, prompt_tokens=-1, completion_tokens=10**500))
    assert counted(meter, "guard_dropped_fields_total") == {("demo", ROUTE): 4.0}
    assert observed(meter, "gen_ai_client_token_usage", *GEN_AI, "output") == (0.0, 1)


def test_a_refusal_without_a_model_is_counted_by_its_code_and_the_credentials_fault() -> None:
    meter = Meter(Origin.WORKER)
    refused(meter, Code.UNKNOWN_ROUTE)
    refused(meter, Code.UNAUTHENTICATED, AuthFailure.MALFORMED)
    assert counted(meter, "guard_refusals_total") == {("unknown_route",): 1.0, ("unauthenticated",): 1.0}
    assert counted(meter, "guard_auth_failures_total") == {("malformed",): 1.0}


def test_the_journeys_own_moments_are_counted() -> None:
    meter = Meter(Origin.WORKER)
    overhead(meter, "demo", Phase.REQUEST, 0.004)
    unscanned(meter, "demo", ROUTE, Unscanned.NOT_CLEARED)
    assert observed(meter, "guard_overhead_seconds", "demo", "request") == (0.004, 1)
    assert counted(meter, "guard_unscanned_total") == {("demo", ROUTE, "not_cleared"): 1.0}


def test_a_policy_that_was_judged_again_leaves_nothing_of_the_old_judgement() -> None:
    meter = Meter(Origin.SUPERVISOR)
    policy_judged(meter, "demo", 2, "rsp 2.2", "aaaa", 0)
    policy_judged(meter, "other", 2, "rsp 2.2", "aaaa", 0)
    policy_judged(meter, "demo", 3, "rsp 2.2", "bbbb", 4)
    found = meter.state().gauges.items()
    gauges = {key: value for key, value in found if key[0].startswith("guard_policy") and key[1:]}
    assert gauges == {
        ("guard_policy_compliant", "demo", "3"): 0.0,
        ("guard_policy_unmet_rows", "demo"): 4.0,
        ("guard_policy_info", "demo", "3", "rsp 2.2", "bbbb"): 1.0,
        ("guard_policy_compliant", "other", "2"): 1.0,
        ("guard_policy_unmet_rows", "other"): 0.0,
        ("guard_policy_info", "other", "2", "rsp 2.2", "aaaa"): 1.0,
    }


def declared(models: int, safeguards: int) -> Meter:
    meter = Meter(Origin.WORKER)
    for number in range(models):
        declare_model(
            meter,
            f"demo{number}" if number else "demo",
            provider="vllm",
            routes={ROUTE: "chat"},
            tiers=("general", "trusted", "internal"),
            mounted=[Mounted(f"safeguard{i}" if i else "patterns", BOTH, enforced=True) for i in range(safeguards)],
        )
    return meter


def test_what_an_ordinary_exchange_records_was_there_at_zero_before_it() -> None:
    meter = declared(1, 2)
    before = meter.state()
    blocked = ALLOWED._replace(target=Target.OUTPUT, denied=True, blocked=True)
    for outcome in (OUTCOME, replace(OUTCOME, ending=Ending.BLOCKED_OUTPUT, decisions=(ALLOWED, blocked))):
        exchange_began(meter, EXCHANGE)
        exchange_ended(meter, EXCHANGE, outcome, ROUTE, "vllm")
    after = meter.state()
    assert set(after.counters) == set(before.counters)
    assert set(after.gauges) == set(before.gauges)
    new = {key[0] for key in set(after.histograms) - set(before.histograms)}
    assert new == {"gen_ai_server_request_duration_seconds"}  # its error types are declared when they first occur


def test_five_models_with_eight_safeguards_stay_within_the_cap_whatever_happens() -> None:
    meter = declared(5, 8)
    for number in range(5):
        exchange = replace(EXCHANGE, model=f"demo{number}" if number else "demo")
        for ending in Ending:
            exchange_ended(meter, exchange, replace(OUTCOME, ending=ending), ROUTE, "vllm")
    assert meter.state().counters[DROPPED] == 0.0


def test_decisions_above_the_cap_are_collapsed_and_not_remembered() -> None:
    meter = Meter(Origin.WORKER, cap=0)
    for number in range(100):
        decision = ALLOWED._replace(safeguard=f"s{number}")
        exchange_ended_with(meter, decision)
    assert counted(meter, "guard_decisions_total") == {
        ("_other", "_other", "input", "allow", "allow", "enforce"): 100.0
    }
    assert meter.memory == {}


def exchange_ended_with(meter: Meter, decision: Decision) -> None:
    exchange_began(meter, EXCHANGE)
    exchange_ended(meter, EXCHANGE, replace(OUTCOME, decisions=(decision,)), ROUTE, "vllm")


def test_how_many_paths_are_not_screened_is_said_for_each_side() -> None:
    meter = Meter(Origin.SUPERVISOR)
    coverage_judged(meter, "demo", {"input": 0, "output": 2})
    found = {key[1:]: value for key, value in meter.state().gauges.items() if key[0] == "guard_unscreened_paths"}
    assert found == {("demo", "input"): 0.0, ("demo", "output"): 2.0}


def not_judged(exchange: Exchange, outcome: Outcome) -> dict[Key, float]:
    meter = Meter(Origin.WORKER)
    exchange_ended(meter, exchange, outcome, ROUTE, "vllm")
    return counted(meter, "guard_requests_not_judged_total")


def test_what_operators_did_is_kept_apart_from_how_a_model_is_used() -> None:
    sent_here = replace(EXCHANGE, asked="big")
    refused = replace(OUTCOME, ending=Ending.DENIED, code=Code.ACCESS_DENIED)
    assert not_judged(EXCHANGE, refused) == {}
    assert not_judged(sent_here, refused) == {("demo", "denied"): 1.0}
    assert not_judged(sent_here, OUTCOME) == {}
    assert not_judged(EXCHANGE, replace(refused, code=Code.POLICY_CHANGED)) == {("demo", "denied"): 1.0}


@pytest.mark.parametrize("code", [Code.CONTENT_BLOCKED, Code.SAFEGUARD_FAILED])
@pytest.mark.parametrize("name", ["rapid_response", "patterns"])
def test_what_a_pushed_rule_blocks_or_fails_is_kept_apart(name: str, code: Code) -> None:
    blocked = Decision(name, Target.INPUT, enforced=True, denied=True, blocked=True, seconds=0.0, code=code)
    outcome = replace(OUTCOME, ending=Ending.BLOCKED_INPUT, code=code, decisions=(ALLOWED, blocked))
    assert not_judged(EXCHANGE, outcome) == ({("demo", "blocked_input"): 1.0} if name != "patterns" else {})


def test_what_only_a_stricter_rung_blocked_moves_no_band_and_what_the_policy_blocks_does() -> None:
    def blocks(*names: str) -> dict[Key, float]:
        found = [Decision(name, Target.INPUT, True, True, True, 0.0, Code.CONTENT_BLOCKED) for name in names]
        outcome = replace(OUTCOME, ending=Ending.BLOCKED_INPUT, decisions=(ALLOWED, *found))
        meter = Meter(Origin.WORKER)
        exchange_ended(meter, EXCHANGE, outcome, ROUTE, "vllm", {"trial"})
        return counted(meter, "guard_requests_not_judged_total")

    assert blocks("trial") == {("demo", "blocked_input"): 1.0}
    assert blocks("patterns") == blocks("trial", "patterns") == blocks() == {}


def test_what_a_rung_kept_for_another_model_moves_no_band() -> None:
    blocked = replace(OUTCOME, ending=Ending.BLOCKED_INPUT, code=Code.CONTENT_BLOCKED)
    name = "guard_requests_not_judged_total"
    assert counted(ended(replace(blocked, answered_as="r1x")), name) == {("demo", "blocked_input"): 1.0}
    assert counted(ended(blocked), name) == {}


def test_twenty_models_that_use_all_there_is_keep_their_names_and_callers_still_take_no_room_of_theirs() -> None:
    meter = Meter(Origin.WORKER)
    models = [f"model-{number}" for number in range(20)]
    routes = {path.decode(): dialect.operation for path, dialect in ROUTES.items()}
    mounted = [Mounted(name, BOTH, enforced=True) for name in ("request_log", "kill_switch", "access", "harm")]
    for model in models:
        declare_model(meter, model, provider="vllm", routes=routes, tiers=["a", "b"], mounted=mounted)
    for number in range(CEILING):
        meter.bind("guard_streams_open", f"never-declared-{number}")
    spent = meter.state().counters[DROPPED]
    assert spent > 0, "what nobody declared is bounded"
    for model in models:
        for tier in ("a", "b"):
            for path in routes:
                for ending in Ending:
                    meter.inc(meter.bind("guard_requests_total", model, path, tier, ending))
    assert meter.state().counters[DROPPED] == spent
    assert not any(OTHER in key for key in meter.state().counters)


def test_what_twenty_models_meet_in_their_life_fits() -> None:
    meter = Meter(Origin.WORKER)
    models = [f"model-{number}" for number in range(20)]
    routes = {path.decode(): dialect.operation for path, dialect in ROUTES.items()}
    names = [each.safeguard for each in OUTCOME.decisions]
    mounted = [Mounted(name, BOTH, enforced=True) for name in names]
    for model in models:
        declare_model(meter, model, provider="vllm", routes=routes, tiers=["general"], mounted=mounted)
    for model in models:
        for path, operation in routes.items():
            for ending in Ending:
                exchange = replace(EXCHANGE, model=model, operation=operation, streamed=True)
                exchange_began(meter, exchange)
                exchange_ended(meter, exchange, replace(OUTCOME, ending=ending, code=Code.DEADLINE), path, "vllm")
    assert meter.state().counters[DROPPED] == 0
    assert meter.cap <= CEILING
