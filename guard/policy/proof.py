"""What stands behind a row that is claimed as enforced: what its check does, where it shows, and which test proves it.

The tables are closed: a check or a safeguard without an entry fails a test, and so does a named test that still passes
when its check is switched off (``tests/mutations``). ``config/STANDARDS.md`` is made from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from guard.policy.mount import SafeguardKind
from guard.policy.standard import CheckName, MountedRow, Row, ScreensRow


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


def proofs(row: Row) -> tuple[Proof, ...]:
    """Return what stands behind a row: its check, then the safeguard it asks for; nothing if unverified."""
    if row.check is None:
        return ()
    check = CHECKS[row.check]
    if isinstance(row, MountedRow):
        return check, SAFEGUARDS[row.parameters.safeguard]
    if isinstance(row, ScreensRow):
        return check, SAFEGUARDS[SafeguardKind.CLASSIFIER]
    return (check,)
