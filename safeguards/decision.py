"""The frozen records of a decision and of an exchange's end, from which metrics, logs, traces and ledger are made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from safeguards.exchange import ChannelId
from safeguards.verdict import Code


class Target(StrEnum):
    """Which side of the exchange was judged."""

    INPUT = "input"
    OUTPUT = "output"


class Failure(StrEnum):
    """How a safeguard failed to answer."""

    TIMEOUT = "timeout"
    CRASH = "crash"
    BAD_ANSWER = "bad_answer"
    OVERLOAD = "overload"
    UNREACHABLE = "unreachable"
    UNAUTHORISED = "unauthorised"


class Unavailable(Exception):  # noqa: N818 - reads as the state it reports
    """Raised by a safeguard or an adapter that cannot judge, with the kind of failure."""

    def __init__(self, failure: Failure, reason: str) -> None:
        """Keep the kind; the reason must not quote any prompt or completion."""
        super().__init__(reason)
        self.failure = failure
        self.reason = reason


class Decision(NamedTuple):
    """What one mounted safeguard decided about one side of one exchange; of many fields, and a dozen to each request.

    ``denied`` is the verdict, ``blocked`` what was done about it: a mount in shadow denies without blocking.
    ``seconds`` is the time the safeguard took in all; ``score`` and ``threshold`` are a classifier's that denied, and
    ``also`` the further categories that it hit a prompt for.
    """

    safeguard: str
    target: Target
    enforced: bool
    denied: bool
    blocked: bool
    seconds: float
    code: Code | None = None
    reason: str = ""
    category: str = ""
    rule: str = ""
    failure: Failure | None = None
    retry_after: float | None = None
    score: float | None = None
    threshold: float | None = None
    also: tuple[str, ...] = ()


class Ending(StrEnum):
    """How an exchange ended; exactly one for each."""

    SERVED = "served"
    BLOCKED_INPUT = "blocked_input"
    BLOCKED_OUTPUT = "blocked_output"
    STOPPED = "stopped"
    DENIED = "denied"
    ERROR = "error"
    CALLER_GONE = "caller_gone"


@dataclass(frozen=True, slots=True)
class Released:
    """How much of one channel came from the model and how much of it the caller got, in characters.

    ``text`` is what the caller got, ``withheld`` what came after it and never left.
    """

    channel: ChannelId
    received: int
    released: int
    text: str
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one exchange ended and what left the guard; times are seconds, durations monotonic.

    ``answered_as`` is the id under which another model answers what a rung kept from this one, and then nobody was told
    of this end.
    """

    ending: Ending
    status: int
    code: Code | None
    reason: str
    decisions: tuple[Decision, ...]
    released: tuple[Released, ...]
    events: int
    sent_bytes: int
    ended: float
    seconds: float
    upstream_seconds: float
    first_byte_seconds: float | None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    dropped_fields: int = 0
    answered_as: str = ""
