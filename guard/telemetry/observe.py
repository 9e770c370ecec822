"""What the records of exchanges mean in numbers: the functions that turn one record into counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from guard.telemetry.catalogue import UPSTREAM_ERRORS
from guard.telemetry.gen_ai import operation_name
from guard.telemetry.meter import OTHER, Key, Meter
from guard.telemetry.metric import AuthFailure, Cut, Phase, Unscanned
from safeguards.decision import Decision, Ending, Outcome, Target
from safeguards.exchange import Exchange
from safeguards.rapid_response import NAME as RAPID_RESPONSE
from safeguards.verdict import FAILURES, Code

_CUTS = {
    Ending.BLOCKED_INPUT: Cut.SAFEGUARD,
    Ending.BLOCKED_OUTPUT: Cut.SAFEGUARD,
    Ending.DENIED: Cut.SAFEGUARD,
    Ending.STOPPED: Cut.KILL_SWITCH,
    Ending.CALLER_GONE: Cut.CALLER,
}
_ERROR_CUTS = {
    Code.UPSTREAM_FAILED: Cut.UPSTREAM,
    Code.UPSTREAM_TIMEOUT: Cut.UPSTREAM,
    Code.DEADLINE: Cut.DEADLINE,
    Code.DRAINING: Cut.DRAIN,
    Code.LOG_UNAVAILABLE: Cut.SAFEGUARD,
    Code.SAFEGUARD_FAILED: Cut.SAFEGUARD,
    Code.HELD_TOO_MUCH: Cut.SAFEGUARD,
    Code.EVIDENCE_EXPIRED: Cut.SAFEGUARD,
    Code.CALLER_GONE: Cut.CALLER,
}


@dataclass(frozen=True, slots=True)
class Mounted:
    """One safeguard as a model's policy mounts it; ``targets`` are the sides it judges."""

    safeguard: str
    targets: tuple[Target, ...]
    enforced: bool


def declare_model(
    meter: Meter,
    model: str,
    *,
    provider: str,
    routes: Mapping[str, str],
    tiers: Iterable[str],
    mounted: Iterable[Mounted],
) -> None:
    """Make every series that a model can be expected to have, at 0: else its first block is invisible to rate().

    ``routes`` is route template -> operation, ``provider`` what ``exchange_ended`` will be given.
    """
    meter.declare("guard_requests_in_flight", model)
    meter.declare("guard_streams_open", model)
    for route in routes:
        meter.declare("guard_dropped_fields_total", model, route)
        for reason in Unscanned:
            meter.declare("guard_unscanned_total", model, route, reason)
        for tier in tiers:
            for ending in Ending:
                meter.declare("guard_requests_total", model, route, tier, ending)
    for phase in Phase:
        meter.declare("guard_overhead_seconds", model, phase)
    for cause in Cut:
        meter.declare("guard_streams_terminated_total", model, cause)
    for code in UPSTREAM_ERRORS:
        meter.declare("guard_upstream_errors_total", model, code)
    for mount in mounted:
        mode, done = ("enforce", "block") if mount.enforced else ("shadow", "allow")
        for target in mount.targets:
            meter.declare("guard_safeguard_duration_seconds", mount.safeguard, target)
            meter.declare("guard_decisions_total", model, mount.safeguard, target, "allow", "allow", mode)
            meter.declare("guard_decisions_total", model, mount.safeguard, target, "deny", done, mode)
    for operation in {operation_name(operation) for operation in routes.values()}:
        meter.declare("gen_ai_server_request_duration_seconds", operation, provider, model, "")
        meter.declare("gen_ai_server_time_to_first_token_seconds", operation, provider, model)
        for kind in ("input", "output"):
            meter.declare("gen_ai_client_token_usage", operation, provider, model, kind)


def exchange_began(meter: Meter, exchange: Exchange) -> None:
    """One more is in flight; `exchange_ended` takes it back, so each is called exactly once for an exchange."""
    meter.add(meter.bind("guard_requests_in_flight", exchange.model), 1.0)
    if exchange.streamed:
        meter.add(meter.bind("guard_streams_open", exchange.model), 1.0)


def exchange_ended(
    meter: Meter,
    exchange: Exchange,
    outcome: Outcome,
    route: str,
    provider: str,
    tried: Collection[str] = (),
) -> None:
    """Count one ended exchange; ``route`` is the template of its path, ``provider`` the kind of its endpoint.

    ``tried`` names the mounts that the policy has in shadow, so that only an order can have made them block.

    Takes some eight microseconds for eight decisions. Phases of the overhead other than the total are not in the
    record: see `overhead`.
    """
    model, ending = exchange.model, outcome.ending
    bind, inc, observe = meter.bind, meter.inc, meter.observe
    meter.add(bind("guard_requests_in_flight", model), -1.0)
    inc(bind("guard_requests_total", model, route, exchange.caller.tier, ending))
    if exchange.asked:
        inc(bind("guard_answered_by_another_total", exchange.asked, model, ending))
    if ending is not Ending.SERVED and _by_operator(exchange, outcome, tried):
        inc(bind("guard_requests_not_judged_total", model, ending))
    observe(bind("guard_overhead_seconds", model, Phase.TOTAL), outcome.seconds - outcome.upstream_seconds)
    for decision in outcome.decisions:
        _decided(meter, model, route, decision)
    if ending is Ending.SERVED and not outcome.decisions:
        unscanned(meter, model, route, Unscanned.NO_DECISION)
    if outcome.dropped_fields:
        inc(bind("guard_dropped_fields_total", model, route), float(outcome.dropped_fields))
    if ending is Ending.ERROR and outcome.code in UPSTREAM_ERRORS:
        inc(bind("guard_upstream_errors_total", model, outcome.code))
    operation = operation_name(exchange.operation)
    error_type = "" if ending is Ending.SERVED else ending
    observe(
        bind("gen_ai_server_request_duration_seconds", operation, provider, model, error_type),
        outcome.seconds,
    )
    if outcome.prompt_tokens is not None:
        observe(bind("gen_ai_client_token_usage", operation, provider, model, "input"), outcome.prompt_tokens)
    if outcome.completion_tokens is not None:
        observe(bind("gen_ai_client_token_usage", operation, provider, model, "output"), outcome.completion_tokens)
    if exchange.streamed:
        meter.add(bind("guard_streams_open", model), -1.0)
        # A refusal before the first event is an answer of its own status, not a stream that was cut.
        if outcome.first_byte_seconds is not None and outcome.status == 200:  # noqa: PLR2004 - HTTP's OK
            observe(
                bind("gen_ai_server_time_to_first_token_seconds", operation, provider, model),
                outcome.first_byte_seconds,
            )
            if ending is not Ending.SERVED:
                inc(bind("guard_streams_terminated_total", model, _cut(outcome)))


def _by_operator(exchange: Exchange, outcome: Outcome, tried: Collection[str]) -> bool:
    """Whether it ended as it did by what operators or a step down did, which must not cause the next (rows C9, E7).

    What an order stopped has an ending of its own and is not among these. What the policy itself blocks counts also
    where something else blocked it besides.
    """
    detoured = outcome.answered_as or (exchange.asked and outcome.ending is Ending.DENIED)
    if outcome.code is Code.POLICY_CHANGED or detoured:
        return True
    blocking = [decision.safeguard for decision in outcome.decisions if decision.blocked]
    return RAPID_RESPONSE in blocking or (bool(blocking) and all(name in tried for name in blocking))


def _decided(meter: Meter, model: str, route: str, decision: Decision) -> None:
    seen = (model, decision.safeguard, decision.target, decision.denied, decision.blocked, decision.enforced)
    keys = meter.memory.get(seen)
    if keys is None:
        keys = _keys(meter, model, decision)
        if OTHER not in (*keys[0], *keys[1]):  # collapsed label sets have no end and must not be remembered
            meter.memory[seen] = keys
    decided, duration = keys
    meter.inc(decided)
    meter.observe(duration, decision.seconds)
    if decision.failure is not None:
        # What was blocked for another reason than its failure let that failure pass before.
        failed_closed = decision.blocked and decision.code in FAILURES
        action = "block" if failed_closed else "allow"
        meter.inc(meter.bind("guard_safeguard_errors_total", decision.safeguard, decision.failure, action))
        # A mount in shadow was not required; one that is enforced and let its own failure pass left a hole.
        if decision.enforced and not failed_closed:
            unscanned(meter, model, route, Unscanned.FAILED_OPEN)


def _keys(meter: Meter, model: str, decision: Decision) -> tuple[Key, Key]:
    decided = meter.bind(
        "guard_decisions_total",
        model,
        decision.safeguard,
        decision.target,
        "deny" if decision.denied else "allow",
        "block" if decision.blocked else "allow",
        "enforce" if decision.enforced else "shadow",
    )
    return decided, meter.bind("guard_safeguard_duration_seconds", decision.safeguard, decision.target)


def _cut(outcome: Outcome) -> Cut:
    if outcome.ending is Ending.ERROR:
        return Cut.INTERNAL if outcome.code is None else _ERROR_CUTS.get(outcome.code, Cut.INTERNAL)
    if outcome.code is Code.POLICY_CHANGED:
        return Cut.POLICY
    return _CUTS[outcome.ending]


def overhead(meter: Meter, model: str, phase: Phase, seconds: float) -> None:
    """Count time the guard added, at the moments that only the journey sees: forwarded, first byte sent."""
    meter.observe(meter.bind("guard_overhead_seconds", model, phase), seconds)


def unscanned(meter: Meter, model: str, route: str, reason: Unscanned) -> None:
    """Count one exchange that passed without a required check: any increase is a reason to wake someone."""
    meter.inc(meter.bind("guard_unscanned_total", model, route, reason))


def refused(meter: Meter, code: Code, failure: AuthFailure | None = None) -> None:
    """Count a refusal before there was an exchange; ``failure`` says what was wrong with the credential."""
    meter.inc(meter.bind("guard_refusals_total", code))
    if failure is not None:
        meter.inc(meter.bind("guard_auth_failures_total", failure))


def policy_judged(meter: Meter, model: str, asl: int, framework: str, policy: str, unmet: int) -> None:
    """Say on the supervisor's meter whether a model meets its floor: ``unmet`` rows of ``framework`` are not met."""
    policy_gone(meter, model)
    meter.set(meter.bind("guard_policy_compliant", model, str(asl)), 0.0 if unmet else 1.0)
    meter.set(meter.bind("guard_policy_unmet_rows", model), float(unmet))
    meter.bind("guard_policy_info", model, str(asl), framework, policy)


def coverage_judged(meter: Meter, model: str, unscreened: Mapping[str, int]) -> None:
    """Say on the supervisor's meter on how many paths to a model each side (`Target`) is not screened in full."""
    for target, paths in unscreened.items():
        meter.set(meter.bind("guard_unscreened_paths", model, target), float(paths))


def policy_gone(meter: Meter, model: str) -> None:
    """Say no more of whether a model meets its floor."""
    for name in ("guard_policy_compliant", "guard_policy_unmet_rows", "guard_policy_info", "guard_unscreened_paths"):
        meter.forget(name, model)
