"""What stands behind a row that is claimed as enforced: what its check does, where it shows, and which test proves it.

The tables are closed: a check, a safeguard or an invariant without an entry fails a test, and so does a named test
that still passes when its check is switched off (``tests/mutations``). ``config/STANDARDS.md`` is made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from guard.policy.invariants import HOLDS, Invariant
from guard.policy.mount import SafeguardKind
from guard.policy.standard import BuiltInRow, CheckName, MountedRow, Row, ScreensRow


@dataclass(frozen=True, slots=True)
class Proof:
    """What it does in a sentence, the metric in which its result shows, and the test that fails without it."""

    does: str
    metric: str
    test: str


_TESTS: Final = "tests/journeys/test_enforced.py::test_"
_UNMET: Final = "guard_policy_unmet_rows"
_DECISIONS: Final = "guard_decisions_total"

CHECKS: Final[Mapping[CheckName, Proof]] = MappingProxyType(
    {
        CheckName.ATTESTED: Proof(
            "Somebody vouches for the claim with evidence that has begun, has not expired and is not too old; judged "
            "for as long as the model is served. That it is true is for people.",
            "guard_attestation_expiry_timestamp_seconds",
            f"{_TESTS}a_model_without_its_evidence_is_not_served",
        ),
        CheckName.MOUNTED: Proof(
            "The safeguard is mounted with mode enforce and on_failure block.",
            _UNMET,
            f"{_TESTS}a_model_whose_safeguard_may_not_block_is_not_served",
        ),
        CheckName.MOUNTED_ANY_MODE: Proof(
            "The safeguard is mounted, in any mode.",
            _UNMET,
            f"{_TESTS}a_model_without_its_safeguard_is_not_served",
        ),
        CheckName.SCREENS: Proof(
            "A classifier screens this side; where the row says enforce, it blocks, also when it fails.",
            "guard_unscreened_paths",
            f"{_TESTS}a_model_with_a_side_that_no_classifier_screens_is_not_served",
        ),
        CheckName.DURABLE_INTENT: Proof(
            "The request log has each request on disk before it is forwarded, and each text before its release.",
            "guard_audit_records_total",
            f"{_TESTS}a_model_whose_requests_may_be_forwarded_before_they_are_on_disk_is_not_served",
        ),
        CheckName.PARTS_ON_TWO_DEVICES: Proof(
            "The request log has each text on two devices before its release, and a failure of either is its own.",
            "guard_audit_records_total",
            f"{_TESTS}a_model_whose_answers_are_not_on_two_devices_before_they_are_sent_is_not_served",
        ),
        CheckName.LIMITS_PER_KEY: Proof(
            "Limits are enforced, and every tier that may use the model has a rate for each key.",
            _UNMET,
            f"{_TESTS}a_model_without_limits_for_each_key_is_not_served",
        ),
        CheckName.LISTED_OPERATIONS: Proof(
            "The model lists its operations, and no tier is granted another.",
            _UNMET,
            f"{_TESTS}a_model_of_which_more_is_granted_than_it_lists_is_not_served",
        ),
        CheckName.AUTHENTICATED: Proof(
            "Every key that may use the model has an owner and a last day.",
            "guard_auth_failures_total",
            f"{_TESTS}a_model_that_a_key_of_nobody_may_use_is_not_served",
        ),
        CheckName.DECLARED_LEVELS: Proof(
            "The model's file declares a level on both axes and the version of its framework.",
            "guard_policy_info",
            f"{_TESTS}a_model_that_declares_no_level_is_not_served",
        ),
        CheckName.LEVEL_DEFINED: Proof(
            "Refuses: nobody has written down what this level contains.",
            _UNMET,
            f"{_TESTS}a_model_at_a_level_that_nobody_has_defined_is_not_served",
        ),
        CheckName.CUSTOM_PROFILE: Proof(
            "At ASL-4 the standard is the operator's own, has rows for that level, and two people signed it as it is.",
            _UNMET,
            f"{_TESTS}a_model_at_level_four_under_a_standard_that_nobody_signed_is_not_served",
        ),
        CheckName.SIGNED_BUNDLE: Proof(
            "No configuration comes into force that two people have not signed as a whole, classifiers and all.",
            "guard_policy_reloads_total",
            f"{_TESTS}a_model_of_a_configuration_that_nobody_needs_to_sign_is_not_served",
        ),
        CheckName.RETENTION: Proof(
            "The request log keeps texts, and records, for at least so many days.",
            _UNMET,
            f"{_TESTS}a_model_whose_texts_are_not_kept_for_long_enough_is_not_served",
        ),
        CheckName.COPIES: Proof(
            "Copies of the request log are made elsewhere, and records lag behind them for so many seconds at most.",
            "guard_audit_ship_overdue",
            f"{_TESTS}a_model_whose_records_may_lag_behind_their_copies_is_not_served",
        ),
        CheckName.REPORTING_CLOCK: Proof(
            "A clock of guard.yaml that lists the row runs for every such incident, and runs out within so many hours. "
            "Whom it names is not judged.",
            "guard_incident_due_timestamp_seconds",
            f"{_TESTS}a_model_of_whose_incidents_nobody_must_be_told_in_time_is_not_served",
        ),
        CheckName.RESPONDERS_NAMED: Proof(
            "operators.yaml names at least one person who may stop models and two who may approve resuming them.",
            _UNMET,
            f"{_TESTS}a_model_that_nobody_is_named_to_stop_is_not_served",
        ),
        CheckName.DRILLS: Proof(
            "The guard stops a model of its own so often, on every worker, to see that a stop still stops; one that is "
            "late or failed alarms and is told as a gap of the model.",
            "guard_drill_last_success_timestamp_seconds",
            f"{_TESTS}a_model_whose_kill_switch_is_not_drilled_often_enough_is_not_served",
        ),
        CheckName.DIALS: Proof(
            "The model's file declares how wide and how robust its classifiers are, and no less than the row asks for; "
            "where it says expanded, every path to it is screened on both sides. That the classifiers are as robust, "
            "and their rules as wide, is not seen here: evidence has to show it.",
            _UNMET,
            f"{_TESTS}a_model_whose_classifiers_are_declared_too_narrow_or_too_weak_is_not_served",
        ),
        CheckName.BOTH_AXES_RAISED: Proof(
            "A model above ASL-1 on one axis is above it on the other.",
            _UNMET,
            f"{_TESTS}a_model_raised_on_one_axis_alone_is_not_served",
        ),
        CheckName.THRESHOLD: Proof(
            "Unless these thresholds are ruled out, the model declares the level that they demand on the row's axis.",
            "guard_threshold_expiry_timestamp_seconds",
            f"{_TESTS}a_model_below_the_level_of_one_threshold_is_not_served",
        ),
        CheckName.THRESHOLDS_WITHIN_LEVELS: Proof(
            "The model declares, on both axes, the levels that every threshold demands which is not ruled out.",
            "guard_threshold_expiry_timestamp_seconds",
            f"{_TESTS}a_model_below_the_levels_of_all_its_thresholds_is_not_served",
        ),
        CheckName.SAME_WEIGHTS_DECLARED: Proof(
            "Aliases for the same model of the same server name one another.",
            _UNMET,
            f"{_TESTS}a_model_under_two_names_that_do_not_say_so_is_not_served",
        ),
        CheckName.VARIANT_EVALUATED: Proof(
            "A fine-tuned variant has a current evaluation of its own.",
            _UNMET,
            f"{_TESTS}a_variant_without_an_evaluation_of_its_own_is_not_served",
        ),
        CheckName.REPORTED_MODEL: Proof(
            "The model's file says which model every answer of the server must name.",
            _UNMET,
            f"{_TESTS}a_model_whose_answers_need_not_name_it_is_not_served",
        ),
        CheckName.OVERDUE_STOPS: Proof(
            "The model's file says within how many hours a found weakness must be fixed on every surface; an incident "
            "that runs past them stops the model, or has another one answer in its place.",
            "guard_incident_due_timestamp_seconds",
            f"{_TESTS}a_model_without_a_time_to_fix_weaknesses_is_not_served_and_a_late_fix_stops_it",
        ),
        CheckName.NEWCOMERS_REFUSABLE: Proof(
            "The model's ladder has the rung on which new keys are refused, and every key says when it was issued, so "
            "that present ones are served on.",
            "guard_ladder_rung",
            f"{_TESTS}a_model_that_cannot_turn_newcomers_away_alone_is_not_served",
        ),
        CheckName.REPLACEMENT_DECLARED: Proof(
            "The model's file says what replaces it once it is withdrawn; callers of the withdrawn model are told, and "
            "from ASL-3 on it comes back by two people.",
            "guard_ladder_rung",
            f"{_TESTS}a_model_without_a_replacement_is_not_served_and_a_withdrawn_one_names_it",
        ),
        CheckName.MONITORED: Proof(
            "The model's file declares bands in which measured values must stay, one of them for what its safeguards "
            "find, and people have reviewed them in time. A value that leaves its band is said to people and, by the "
            "band, moves the model a step down. How wide the bands are is not judged.",
            "guard_monitoring_value",
            f"{_TESTS}a_model_without_reviewed_bands_is_not_served",
        ),
        CheckName.CONTROLS_AS_REPORTED: Proof(
            "The attestation of risk_report carries the controls that the report describes, and none in force is "
            "weaker. What is stronger or neutral is shown by guard check and guard explain.",
            "guard_controls_deviations",
            f"{_TESTS}a_model_with_weaker_controls_than_its_risk_report_describes_is_not_served",
        ),
    }
)

SAFEGUARDS: Final[Mapping[SafeguardKind, Proof]] = MappingProxyType(
    {
        SafeguardKind.REQUEST_LOG: Proof(
            "Records the intent before anything else, the texts before their release, and always the outcome.",
            "guard_audit_records_total",
            f"{_TESTS}what_cannot_be_recorded_is_not_served_and_what_is_served_is_recorded",
        ),
        SafeguardKind.KILL_SWITCH: Proof(
            "Refuses what a stop order covers, and cuts what runs.",
            "guard_kill_switch_engaged",
            f"{_TESTS}what_is_stopped_is_refused_and_what_runs_is_cut",
        ),
        SafeguardKind.EVIDENCE: Proof(
            "Refuses while an attestation that the standard requires is missing or has lapsed.",
            _DECISIONS,
            f"{_TESTS}evidence_that_lapses_under_way_refuses_the_request",
        ),
        SafeguardKind.ACCESS: Proof(
            "Refuses a caller whose tier does not grant the operation on this model.",
            _DECISIONS,
            f"{_TESTS}a_tier_without_a_grant_is_refused",
        ),
        SafeguardKind.LIMITS: Proof(
            "Refuses a key whose rate is used up.",
            _DECISIONS,
            f"{_TESTS}a_key_whose_rate_is_used_up_is_refused",
        ),
        SafeguardKind.CLASSIFIER: Proof(
            "Blocks a prompt, or an answer while it is being written, that its rules match.",
            _DECISIONS,
            f"{_TESTS}what_a_classifier_hits_reaches_neither_the_model_nor_the_caller",
        ),
    }
)

_BY_ITSELF: Final[Mapping[Invariant, tuple[str, str]]] = MappingProxyType(
    {
        Invariant.LEVELS_CUMULATE: (_UNMET, "a_model_is_bound_by_the_rows_of_every_lower_level"),
        Invariant.KNOWN_THRESHOLDS: (_UNMET, "a_threshold_that_the_standard_does_not_know_is_an_error"),
        Invariant.KNOWN_SURFACES: (
            "guard_refusals_total",
            "a_model_is_unknown_on_a_surface_it_is_not_for",
        ),
        Invariant.AUDIENCES_APART: ("guard_refusals_total", "a_key_of_one_audience_does_not_reach_a_model_of_another"),
        Invariant.BELOW_FLOOR_REFUSED: ("guard_policy_compliant", "a_model_below_its_floor_is_not_served"),
        Invariant.ONE_JOURNEY: (_DECISIONS, "every_surface_and_every_key_meets_the_same_safeguards"),
        Invariant.EXACT_ROUTES: ("guard_refusals_total", "nothing_but_the_exact_routes_is_answered"),
        Invariant.UNREADABLE_REFUSED: ("guard_refusals_total", "what_no_classifier_can_read_is_refused"),
        Invariant.RELEASED_WHEN_CLEARED: ("guard_unscanned_total", "no_text_leaves_before_it_was_cleared"),
        Invariant.KEYS_END: ("guard_auth_failures_total", "a_key_is_refused_from_its_last_moment_on"),
        Invariant.REFUSALS_COUNTED: ("guard_streams_terminated_total", "a_refusal_within_an_answer_is_counted"),
        Invariant.LOG_APART: ("guard_audit_records_total", "blocking_and_recording_do_not_switch_each_other_off"),
        Invariant.STANDARD_PINNED: ("guard_policy_info", "a_standard_is_pinned_by_its_hash"),
        Invariant.CHANGED_WHILE_SERVED: (
            "guard_policy_reloads_total",
            "changed_rules_come_into_force_while_served",
        ),
        Invariant.FALLBACK_MEETS_FLOOR: (
            "guard_answered_by_another_total",
            "a_model_below_its_floor_answers_for_no_other",
        ),
        Invariant.LOWERED_BY_TWO: ("guard_policy_reloads_total", "a_level_is_not_lowered_without_two_people"),
        Invariant.INCIDENTS_TIMED: (
            "guard_incident_mitigation_seconds",
            "an_incident_is_timed_from_end_to_end",
        ),
        Invariant.CLOSED_WHEN_FIXED: ("guard_incidents_open", "an_incident_stays_open_until_every_surface_is_fixed"),
        Invariant.INCIDENTS_EXPORTED: ("guard_incidents_open", "an_exported_incident_shows_what_was_changed_in_it"),
        Invariant.LIMITS_STATED: (_UNMET, "what_the_level_does_not_withstand_is_said"),
    }
)
INVARIANTS: Final[Mapping[Invariant, Proof]] = MappingProxyType(
    {
        invariant: Proof(f"{HOLDS[invariant].capitalize()}.", metric, f"{_TESTS}{test}")
        for invariant, (metric, test) in _BY_ITSELF.items()
    }
)


def proofs(row: Row) -> tuple[Proof, ...]:
    """Return what stands behind a row: its check, then the safeguard it asks for; nothing if unverified."""
    if row.check is None:
        return ()
    if isinstance(row, BuiltInRow):
        return (INVARIANTS[row.parameters.invariant],)
    check = CHECKS[row.check]
    if isinstance(row, MountedRow):
        return check, SAFEGUARDS[row.parameters.safeguard]
    if isinstance(row, ScreensRow):
        return check, SAFEGUARDS[SafeguardKind.CLASSIFIER]
    return (check,)
