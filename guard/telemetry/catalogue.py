"""Every metric of the guard, once, in one file: what dashboards, alerts and the code may name, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from guard.telemetry.metric import (
    Abort,
    AuthFailure,
    Cause,
    Cut,
    Drill,
    DrillFailure,
    Hooked,
    Kind,
    Metric,
    Origin,
    Phase,
    Pushed,
    Reload,
    Restart,
    Told,
    Unscanned,
    Written,
)
from safeguards.decision import Ending, Failure, Target
from safeguards.mode import Mode
from safeguards.verdict import Code

UPSTREAM_ERRORS = (Code.UPSTREAM_FAILED, Code.UPSTREAM_TIMEOUT)

FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
APPEND = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
PROPAGATION = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
MITIGATION = (3600.0, 14400.0, 43200.0, 86400.0, 172800.0, 432000.0, 864000.0, 1296000.0, 2592000.0, 7776000.0)
FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 15, 30, 60)
TOKENS = tuple(float(4**power) for power in range(14))

_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


def _metric(
    name: str,
    kind: Kind,
    origin: Origin,
    text: str,
    labels: tuple[str, ...] = (),
    buckets: tuple[float, ...] = (),
    **closed: tuple[str, ...],
) -> Metric:
    values = {label: tuple(str(value) for value in of) for label, of in closed.items()}
    return Metric(name, kind, origin, text, labels, buckets, MappingProxyType(values))


_W, _S = Origin.WORKER, Origin.SUPERVISOR
_ALL = (
    # How exchanges went.
    _metric(
        "guard_requests_total",
        Kind.COUNTER,
        _W,
        "Exchanges that ended, each with exactly one outcome.",
        ("model", "route", "tier", "outcome"),
        outcome=tuple(Ending),
    ),
    _metric(
        "guard_answered_by_another_total",
        Kind.COUNTER,
        _W,
        "Exchanges in which another model answered in place of the one that was asked for.",
        ("model", "answered_by", "outcome"),
        outcome=tuple(Ending),
    ),
    _metric(
        "guard_requests_not_judged_total",
        Kind.COUNTER,
        _W,
        "Exchanges that no band counts: a reload, a pushed rule, a stricter rung or a detour decided how they ended.",
        ("model", "outcome"),
        outcome=tuple(Ending),
    ),
    _metric("guard_requests_in_flight", Kind.GAUGE, _W, "Exchanges that have begun and not ended.", ("model",)),
    _metric("guard_streams_open", Kind.GAUGE, _W, "Streamed exchanges that have begun and not ended.", ("model",)),
    _metric(
        "guard_overhead_seconds",
        Kind.HISTOGRAM,
        _W,
        "Time that the guard itself added to an exchange.",
        ("model", "phase"),
        FAST,
        phase=tuple(Phase),
    ),
    _metric(
        "guard_streams_terminated_total",
        Kind.COUNTER,
        _W,
        "Streamed answers cut after they had begun to reach the caller.",
        ("model", "cause"),
        cause=tuple(Cut),
    ),
    _metric(
        "guard_dropped_fields_total",
        Kind.COUNTER,
        _W,
        "Unknown fields that were dropped from answers.",
        ("model", "route"),
    ),
    _metric(
        "guard_refusals_total",
        Kind.COUNTER,
        _W,
        "Requests refused before a model was known.",
        ("code",),
        code=tuple(Code),
    ),
    _metric(
        "guard_auth_failures_total",
        Kind.COUNTER,
        _W,
        "Credentials that were not accepted.",
        ("reason",),
        reason=tuple(AuthFailure),
    ),
    _metric(
        "guard_upstream_errors_total",
        Kind.COUNTER,
        _W,
        "Exchanges that the model endpoint could not answer.",
        ("model", "error_type"),
        error_type=UPSTREAM_ERRORS,
    ),
    _metric(
        "guard_upstream_aborts_total",
        Kind.COUNTER,
        _W,
        "Model servers asked to stop generating what a stop had cut, where `upstream.abort` says so.",
        ("model", "result"),
        result=tuple(Abort),
    ),
    _metric(
        "guard_reports_total",
        Kind.COUNTER,
        _W,
        "Reports of harm that callers filed.",
        ("category",),
    ),
    # What the safeguards decided.
    _metric(
        "guard_decisions_total",
        Kind.COUNTER,
        _W,
        "Decisions of safeguards: the verdict and what was done about it.",
        ("model", "safeguard", "target", "verdict", "action", "mode"),
        target=tuple(Target),
        verdict=("allow", "deny"),
        action=("allow", "block"),
        mode=("enforce", "shadow"),
    ),
    _metric(
        "guard_safeguard_duration_seconds",
        Kind.HISTOGRAM,
        _W,
        "Time one safeguard took for one side of one exchange.",
        ("safeguard", "target"),
        (*FAST, 5.0),
        target=tuple(Target),
    ),
    _metric(
        "guard_safeguard_errors_total",
        Kind.COUNTER,
        _W,
        "Safeguards that failed to answer, and what was done about it.",
        ("safeguard", "error_type", "action"),
        error_type=tuple(Failure),
        action=("allow", "block"),
    ),
    _metric(
        "guard_unscanned_total",
        Kind.COUNTER,
        _W,
        "Exchanges passed on without every required check; must stay 0.",
        ("model", "route", "reason"),
        reason=tuple(Unscanned),
    ),
    # The kill switch: each process says what it obeys, the supervisor what was ordered.
    _metric(
        "guard_kill_switch_orders",
        Kind.GAUGE,
        _W,
        "Stop orders in force as this process sees them; differs only while an order spreads.",
    ),
    _metric("guard_kill_switch_readable", Kind.GAUGE, _W, "1 while this process can read the stop orders."),
    _metric(
        "guard_kill_switch_propagation_seconds",
        Kind.HISTOGRAM,
        _W,
        "Time from the acceptance of an order to this process obeying it.",
        buckets=PROPAGATION,
    ),
    _metric(
        "guard_kill_switch_engaged",
        Kind.GAUGE,
        _S,
        "1 while a stop order that refuses somebody covers the subject.",
        ("scope", "subject"),
    ),
    _metric(
        "guard_ladder_rung",
        Kind.GAUGE,
        _S,
        "1 for the deepest rung that is in force for a model, open where none is.",
        ("model", "rung"),
        rung=("open", *Mode),
    ),
    _metric(
        "guard_kill_switch_last_change_timestamp_seconds", Kind.GAUGE, _S, "When a stop was last ordered or lifted."
    ),
    _metric(
        "guard_pushed_rules",
        Kind.GAUGE,
        _W,
        "Rule orders in force for a model served here: enforced as given, or unusable and refusing all they cover.",
        ("standing",),
        standing=tuple(Pushed),
    ),
    # Drills of the kill switch.
    _metric(
        "guard_drill_last_success_timestamp_seconds",
        Kind.GAUGE,
        _S,
        "When a drill last showed what it was to show; 0 if none did.",
        ("drill",),
        drill=tuple(Drill),
    ),
    _metric(
        "guard_drill_due_timestamp_seconds",
        Kind.GAUGE,
        _S,
        "From when on the next success is late; 0 where this kind is not drilled.",
        ("drill",),
        drill=tuple(Drill),
    ),
    _metric(
        "guard_drill_failing", Kind.GAUGE, _S, "1 while the last drill has failed.", ("drill",), drill=tuple(Drill)
    ),
    _metric(
        "guard_drill_failures_total",
        Kind.COUNTER,
        _S,
        "Drills that failed, by how.",
        ("drill", "reason"),
        drill=tuple(Drill),
        reason=tuple(DrillFailure),
    ),
    _metric(
        "guard_drill_seconds",
        Kind.HISTOGRAM,
        _S,
        "Time from the order of a drill to the end of the last worker's stream.",
        ("drill",),
        PROPAGATION,
        drill=tuple(Drill),
    ),
    _metric(
        "guard_drill_gaps",
        Kind.GAUGE,
        _S,
        "Drills that are late, failed or switched off, of a model at ASL-3 and above.",
        ("model",),
    ),
    # Incidents.
    _metric(
        "guard_incidents_open",
        Kind.GAUGE,
        _S,
        "Incidents that are not closed; an empty model is one that is not configured any more.",
        ("model", "severity"),
        severity=tuple(map(str, range(5))),
    ),
    _metric(
        "guard_incident_due_timestamp_seconds",
        Kind.GAUGE,
        _S,
        "When the nearest clock of this name runs out; answer: every surface must be fixed.",
        ("model", "clock"),
    ),
    _metric(
        "guard_incident_mitigation_seconds",
        Kind.HISTOGRAM,
        _S,
        "From the discovery of a weakness to its fix on one surface.",
        ("model", "surface", "severity"),
        MITIGATION,
        severity=tuple(map(str, range(5))),
    ),
    _metric(
        "guard_incidents_damaged",
        Kind.GAUGE,
        _S,
        "Files among the incidents that are no events, and incidents that are not read.",
    ),
    _metric(
        "guard_hook_received_total",
        Kind.COUNTER,
        _S,
        "Alerts, events and commands that a webhook received, by what became of them.",
        ("hook", "result"),
        result=tuple(Hooked),
    ),
    _metric(
        "guard_hook_last_authentic_timestamp_seconds",
        Kind.GAUGE,
        _S,
        "When a webhook last received a message that was authentic; 0 if never since the start.",
        ("hook",),
    ),
    # What moves a model down by itself.
    _metric(
        "guard_trips_total",
        Kind.COUNTER,
        _S,
        "Times that the guard itself ordered a model down: a value out of its band, a finding, a late answer to one.",
        ("model", "cause"),
        cause=tuple(Cause),
    ),
    _metric(
        "guard_monitoring_value",
        Kind.GAUGE,
        _S,
        "A measured value of the model over a window; absent while there are too few exchanges to say anything.",
        ("model", "value", "window"),
    ),
    _metric(
        "guard_monitoring_out_of_band",
        Kind.GAUGE,
        _S,
        "1 from when a value left its band until it was back in it, or the stop that it ordered was lifted.",
        ("model", "value", "window"),
    ),
    _metric(
        "guard_monitoring_blind",
        Kind.GAUGE,
        _S,
        "1 while not every exchange is counted under its model, because there are too many series.",
    ),
    _metric(
        "guard_monitoring_review_due_timestamp_seconds",
        Kind.GAUGE,
        _S,
        "When people must have reviewed the bands of the model.",
        ("model",),
    ),
    _metric(
        "guard_notices_total",
        Kind.COUNTER,
        _S,
        "Notices to people outside: sent, tried again, or lost.",
        ("receiver", "result"),
        result=tuple(Told),
    ),
    # The fleet, where there is one.
    _metric(
        "guard_lease_age_seconds",
        Kind.GAUGE,
        _S,
        "Time since there was proof that every stop order of the fleet is known here, or since the start if never.",
    ),
    _metric(
        "guard_lease_lapsed",
        Kind.GAUGE,
        _S,
        "1 while models of this level are refused for want of such proof.",
        ("asl",),
    ),
    _metric(
        "guard_fleet_engine_errors_total", Kind.COUNTER, _S, "Times that the engine of the fleet failed to answer."
    ),
    _metric(
        "guard_fleet_distrusted",
        Kind.GAUGE,
        _S,
        "1 while the engine shows another history than the one that was seen here, so that it is not believed.",
    ),
    _metric("guard_fleet_position", Kind.GAUGE, _S, "Orders of the fleet's history that are in force here."),
    _metric(
        "guard_fleet_replicas",
        Kind.GAUGE,
        _S,
        "Guards of the fleet, as the engine knows them.",
        ("state",),
        state=("heard", "silent"),
    ),
    # Who acts on the admin listener.
    _metric(
        "guard_admin_refusals_total",
        Kind.COUNTER,
        _S,
        "Acts and sign-ins on the admin listener that were turned away; the log says why.",
    ),
    _metric(
        "guard_emergency_tokens_used_total",
        Kind.COUNTER,
        _S,
        "Times that an emergency token was used; each has an owner to ask.",
    ),
    # The request log.
    _metric(
        "guard_audit_records_total", Kind.COUNTER, _W, "Records of the request log.", ("result",), result=tuple(Written)
    ),
    _metric(
        "guard_audit_append_seconds",
        Kind.HISTOGRAM,
        _W,
        "Time until a record was accepted, and on disk where the level demands it.",
        buckets=APPEND,
    ),
    _metric("guard_audit_backlog_records", Kind.GAUGE, _W, "Records accepted and not yet on disk."),
    _metric(
        "guard_audit_last_durable_timestamp_seconds", Kind.GAUGE, _W, "When a record was last known to be on disk."
    ),
    _metric(
        "guard_audit_seal_failing",
        Kind.GAUGE,
        _S,
        "1 while the records of this writer cannot be brought under a signed head, or are not those that were signed.",
        ("writer",),
    ),
    _metric(
        "guard_audit_unsealed_records", Kind.GAUGE, _S, "Records on disk that no signed head covers yet.", ("writer",)
    ),
    _metric(
        "guard_audit_sealed_timestamp_seconds",
        Kind.GAUGE,
        _S,
        "When all that this writer had on disk was sealed, or more of it than before.",
        ("writer",),
    ),
    _metric(
        "guard_audit_witness_lag_seconds",
        Kind.GAUGE,
        _S,
        "How long a head of the log has waited for this witness to cosign it or a newer one.",
        ("witness",),
    ),
    _metric(
        "guard_audit_timestamp_lag_seconds",
        Kind.GAUGE,
        _S,
        "How long a head of the log has waited for a time stamp over it or a newer one; 0 where none are asked for.",
    ),
    _metric(
        "guard_audit_timestamp_late",
        Kind.GAUGE,
        _S,
        "1 while it has waited for longer than audit.timestamp.late_seconds.",
    ),
    _metric(
        "guard_audit_timestamp_clock_difference_seconds",
        Kind.GAUGE,
        _S,
        "By how much this host's clock was ahead of the last time stamp when that came; negative if it was behind.",
    ),
    _metric(
        "guard_audit_ship_lag_seconds",
        Kind.GAUGE,
        _S,
        "For how long the oldest record without a copy has been so; 0 where no copies are made.",
    ),
    _metric(
        "guard_audit_ship_overdue",
        Kind.GAUGE,
        _S,
        "1 while records lag more than the model's policy allows.",
        ("model",),
    ),
    _metric(
        "guard_audit_ship_failing", Kind.GAUGE, _S, "1 while copies are not made, or differ from what is there already."
    ),
    _metric("guard_audit_ship_failures_total", Kind.COUNTER, _S, "Attempts to ship that failed."),
    _metric("guard_audit_shipped_bytes_total", Kind.COUNTER, _S, "Bytes that were shipped."),
    _metric("guard_audit_shipped_objects_total", Kind.COUNTER, _S, "Objects that were shipped."),
    _metric("guard_audit_shipped_records", Kind.GAUGE, _S, "Records of this log that have a copy.", ("writer",)),
    # Whether each model meets its standard.
    _metric(
        "guard_policy_compliant", Kind.GAUGE, _S, "1 while the model meets the floor of its level.", ("model", "asl")
    ),
    _metric(
        "guard_policy_unmet_rows", Kind.GAUGE, _S, "Rows of the standard that the model does not meet.", ("model",)
    ),
    _metric(
        "guard_policy_routable_until_timestamp_seconds",
        Kind.GAUGE,
        _S,
        "From when on a model that meets its floor no longer will unless something is renewed; absent if nothing ends.",
        ("model",),
    ),
    _metric(
        "guard_unscreened_paths",
        Kind.GAUGE,
        _S,
        "Paths to the model (listener, operation) on which this side is not screened in full; see guard coverage.",
        ("model", "target"),
        target=tuple(Target),
    ),
    _metric(
        "guard_policy_info", Kind.INFO, _S, "The policy that judges the model.", ("model", "asl", "framework", "policy")
    ),
    _metric(
        "guard_policy_reloads_total",
        Kind.COUNTER,
        _S,
        "Attempts to change the policy while serving, by what became of them.",
        ("outcome",),
        outcome=tuple(Reload),
    ),
    _metric(
        "guard_policy_disk_differs",
        Kind.GAUGE,
        _S,
        "1 while the files of the configuration could not come into force.",
    ),
    _metric(
        "guard_policy_snapshot_damaged",
        Kind.GAUGE,
        _S,
        "1 while the policy in force does not lie in the state folder as it was put there, and cannot be put back.",
    ),
    _metric(
        "guard_policy_snapshot_damages_total",
        Kind.COUNTER,
        _S,
        "Times that the policy in force was found changed in the state folder; the guard puts it back.",
    ),
    _metric("guard_policy_in_force_timestamp_seconds", Kind.GAUGE, _S, "When the policy in force came into force."),
    _metric(
        "guard_attestation_expiry_timestamp_seconds",
        Kind.GAUGE,
        _S,
        "When an attestation of the model lapses: it expires, or is older than a row of the standard allows.",
        ("model", "attestation"),
    ),
    _metric(
        "guard_attestation_overdue_seconds",
        Kind.GAUGE,
        _S,
        "How long ago evidence that the standard asks for lapsed; absent while it holds.",
        ("model", "attestation", "then"),
    ),
    _metric(
        "guard_threshold_expiry_timestamp_seconds",
        Kind.GAUGE,
        _S,
        "When a finding that rules out a capability threshold lapses; absent where it counts as crossed.",
        ("model", "threshold"),
    ),
    _metric(
        "guard_controls_deviations",
        Kind.GAUGE,
        _S,
        "How many controls of the model are not as an attestation describes them; absent where it describes none.",
        ("model", "attestation", "effect"),
    ),
    # The processes.
    _metric("guard_build_info", Kind.INFO, _S, "The running version.", ("version", "python")),
    _metric(
        "guard_event_loop_lag_seconds",
        Kind.HISTOGRAM,
        _W,
        "How late the event loop of the process woke up.",
        buckets=LAG,
    ),
    _metric("guard_worker_up", Kind.GAUGE, _S, "1 while the worker runs and reports.", ("worker",)),
    _metric(
        "guard_worker_last_report_timestamp_seconds",
        Kind.GAUGE,
        _S,
        "When the worker last published its metrics.",
        ("worker",),
    ),
    _metric(
        "guard_worker_restarts_total",
        Kind.COUNTER,
        _S,
        "Workers that were replaced.",
        ("reason",),
        reason=tuple(Restart),
    ),
    _metric(
        "guard_metrics_series_dropped_total",
        Kind.COUNTER,
        _W,
        "Recordings whose label set was collapsed because the series cap was reached.",
    ),
    _metric("guard_log_lines_dropped_total", Kind.COUNTER, _W, "Log lines that standard error did not take at once."),
    # OpenTelemetry's names for generative AI, so that existing dashboards work.
    _metric(
        "gen_ai_server_request_duration_seconds",
        Kind.HISTOGRAM,
        _W,
        "Time of one exchange in all; error_type is empty when it was served.",
        (*_GEN_AI, "error_type"),
        DURATION,
    ),
    _metric(
        "gen_ai_server_time_to_first_token_seconds",
        Kind.HISTOGRAM,
        _W,
        "Time until the first byte of a streamed answer left.",
        (*_GEN_AI,),
        FIRST_TOKEN,
    ),
    _metric(
        "gen_ai_client_token_usage",
        Kind.HISTOGRAM,
        _W,
        "Tokens of one exchange, as the model endpoint counted them.",
        (*_GEN_AI, "gen_ai_token_type"),
        TOKENS,
        gen_ai_token_type=("input", "output"),
    ),
)
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
