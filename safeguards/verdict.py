"""What a safeguard may answer, and the closed list of codes it may give for a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class Code(StrEnum):
    """Why something was refused or ended: callers see the code, records have the reason beside it."""

    # The request could not be understood or may not be sent here.
    UNKNOWN_ROUTE = "unknown_route"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"
    UNAUTHENTICATED = "unauthenticated"
    KEY_EXPIRED = "key_expired"
    UNKNOWN_MODEL = "unknown_model"
    AUDIENCE_DENIED = "audience_denied"
    NOT_ROUTABLE = "not_routable"
    # A safeguard decided.
    ACCESS_DENIED = "access_denied"
    RATE_LIMITED = "rate_limited"
    CONTENT_BLOCKED = "content_blocked"
    STOPPED = "stopped"
    DE_DEPLOYED = "de_deployed"
    NO_NEW_PRINCIPALS = "no_new_principals"
    EVIDENCE_EXPIRED = "evidence_expired"
    LOG_UNAVAILABLE = "log_unavailable"
    SAFEGUARD_FAILED = "safeguard_failed"
    HELD_TOO_MUCH = "held_too_much"
    # The other side, or the guard itself, could not go on.
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    DEADLINE = "deadline"
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    POLICY_CHANGED = "policy_changed"
    CALLER_GONE = "caller_gone"
    INTERNAL = "internal"


FAILURES: Final = frozenset({Code.SAFEGUARD_FAILED, Code.LOG_UNAVAILABLE})
"""What a safeguard that could not judge denies with."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing against it."""


@dataclass(frozen=True, slots=True)
class Block:
    """It must not go on.

    ``reason`` is for records and never reaches a caller; it must not quote a prompt or a completion.
    ``rule`` names the operator's rule or order that decided, ``retry_after`` is seconds. ``score`` and ``threshold``
    are those of a classifier that has them, ``also`` the further categories that it hit a prompt for.
    """

    code: Code
    reason: str
    category: str = ""
    rule: str = ""
    retry_after: float | None = None
    score: float | None = None
    threshold: float | None = None
    also: tuple[str, ...] = ()


class Cleared(NamedTuple):
    """All text of the channel below this offset may be released; one is made for each piece of each answer.

    As a frozen dataclass it would take twice the time.
    """

    upto: int


PASS = Pass()
