"""What the guard's own code holds for every model, whatever a configuration says: the closed list that rows may name.

Nothing in a configuration can switch one off, so the check of such a row is always met. What stands behind each claim
is the test that is named for it, which fails when the code behind the claim is disabled.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Invariant(StrEnum):
    """Every invariant by its name in standards."""

    LEVELS_CUMULATE = "levels_cumulate"
    KNOWN_THRESHOLDS = "known_thresholds"
    KNOWN_SURFACES = "known_surfaces"
    AUDIENCES_APART = "audiences_apart"
    BELOW_FLOOR_REFUSED = "below_floor_refused"
    ONE_JOURNEY = "one_journey"
    EXACT_ROUTES = "exact_routes"
    UNREADABLE_REFUSED = "unreadable_refused"
    RELEASED_WHEN_CLEARED = "released_when_cleared"
    KEYS_END = "keys_end"
    REFUSALS_COUNTED = "refusals_counted"
    LOG_APART = "log_apart"
    STANDARD_PINNED = "standard_pinned"
    LIMITS_STATED = "limits_stated"
    INCIDENTS_TIMED = "incidents_timed"
    CLOSED_WHEN_FIXED = "closed_when_fixed"
    INCIDENTS_EXPORTED = "incidents_exported"
    CHANGED_WHILE_SERVED = "changed_while_served"
    LOWERED_BY_TWO = "lowered_by_two"
    FALLBACK_MEETS_FLOOR = "fallback_meets_floor"


HOLDS: Final[Mapping[Invariant, str]] = MappingProxyType(
    {
        Invariant.LEVELS_CUMULATE: "a model's level binds it to the rows of every lower level too",
        Invariant.KNOWN_THRESHOLDS: "an assessment of a threshold that the standard does not know is an error",
        Invariant.KNOWN_SURFACES: "a model is known on the listeners that its file names, and a wrong name is an error",
        Invariant.AUDIENCES_APART: "a key reaches models of its own audience alone, and no tier can be granted others",
        Invariant.BELOW_FLOOR_REFUSED: "a model with an unmet row is refused, and judged anew when evidence lapses",
        Invariant.ONE_JOURNEY: "every request on every surface, of every key, goes through the same pipeline",
        Invariant.EXACT_ROUTES: "only the routes of a fixed table are answered, compared byte by byte",
        Invariant.UNREADABLE_REFUSED: "what no classifier can read is refused, and at ASL-3 nothing can allow it",
        Invariant.RELEASED_WHEN_CLEARED: "no text leaves before every safeguard cleared it, and none after a block",
        Invariant.KEYS_END: "the last day of a key is compared with the time at each request",
        Invariant.REFUSALS_COUNTED: "what the guard refuses has its own metrics, also within an answer of status 200",
        Invariant.LOG_APART: "what blocks does not change what is logged, nor the reverse",
        Invariant.STANDARD_PINNED: "every record carries the standard's hash, and a built-in one cannot be altered",
        Invariant.CHANGED_WHILE_SERVED: "changed rules and classifiers come into force while models are served",
        Invariant.FALLBACK_MEETS_FLOOR: "a model answers in place of another by its own policy, never below its floor",
        Invariant.LOWERED_BY_TWO: "no level is lowered without two people, under another name neither",
        Invariant.INCIDENTS_TIMED: "the discovery, triage, fixes and closing of an incident are timed and on record",
        Invariant.CLOSED_WHEN_FIXED: "no incident closes while a surface of the model has not reported its fix",
        Invariant.INCIDENTS_EXPORTED: "an incident is exported without texts, with a hash of everything in it",
        Invariant.LIMITS_STATED: "guard explain says what ASL-3 security does not claim to withstand",
    }
)
