"""What a metric is, and the closed values of the labels that this package alone names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a metric counts; an info is a gauge that is always 1 and says something by its labels."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


class Origin(StrEnum):
    """Who records a metric.

    ``worker``: every process, told apart by the label ``worker`` (the supervisor's own are ``supervisor``).
    ``supervisor``: the supervisor alone, so that one host says it once and no ``worker`` label is added.
    """

    WORKER = "worker"
    SUPERVISOR = "supervisor"


class AuthFailure(StrEnum):
    """Why a credential was not accepted."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"


class Phase(StrEnum):
    """Which part of the time that the guard itself adds: until forwarding, until the first byte left, in all."""

    REQUEST = "request"
    FIRST_BYTE = "first_byte"
    TOTAL = "total"


class Unscanned(StrEnum):
    """How text came to pass without every check that the policy asks for."""

    FAILED_OPEN = "failed_open"
    NO_DECISION = "no_decision"
    NOT_CLEARED = "not_cleared"


class Cut(StrEnum):
    """What ended an answer that had begun to reach the caller."""

    SAFEGUARD = "safeguard"
    POLICY = "policy"
    KILL_SWITCH = "kill_switch"
    UPSTREAM = "upstream"
    CALLER = "caller"
    DEADLINE = "deadline"
    DRAIN = "drain"
    INTERNAL = "internal"


class Abort(StrEnum):
    """What became of asking a model's server to stop generating (`guard.upstream.abort.Aborted` says the same)."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    DROPPED = "dropped"


class Written(StrEnum):
    """What became of one record of the request log: on disk, handed over and not yet on disk, or lost."""

    DURABLE = "durable"
    BUFFERED = "buffered"
    FAILED = "failed"


class Reload(StrEnum):
    """What became of an attempt to change the policy (`guard.state.reloads.Outcome` says the same)."""

    IN_FORCE = "in_force"
    UNCHANGED = "unchanged"
    INVALID = "invalid"
    REFUSED = "refused"
    FAILED = "failed"


class Hooked(StrEnum):
    """What became of what a webhook received (`guard.hooks.desk.Result` says the same)."""

    STOPPED = "stopped"
    REPEATED = "repeated"
    COVERED = "covered"
    RESOLVED = "resolved"
    IGNORED = "ignored"
    UNBOUND = "unbound"
    FAILED = "failed"
    MALFORMED = "malformed"
    STALE = "stale"
    REFUSED = "refused"


class Pushed(StrEnum):
    """What a process makes of a rule order."""

    ENFORCED = "enforced"
    REFUSING = "refusing"


class Drill(StrEnum):
    """What was drilled (`guard.drills.result.Kind` says the same)."""

    STOP = "stop"
    LEASE = "lease"


class DrillFailure(StrEnum):
    """How a drill failed (`guard.drills.result.Failure` says the same)."""

    NO_STREAM = "no_stream"
    NOT_ORDERED = "not_ordered"
    NOT_CUT = "not_cut"
    WRONG_ENDING = "wrong_ending"
    NOT_REFUSED = "not_refused"
    NOT_SPARED = "not_spared"
    NOT_RESUMED = "not_resumed"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


class Cause(StrEnum):
    """What moved a model down by itself."""

    BAND = "band"
    FINDING = "finding"
    OVERDUE = "overdue"


class Told(StrEnum):
    """What became of an attempt to tell people (`guard.notices.courier.Sent` says the same)."""

    SENT = "sent"
    RETRIED = "retried"
    LOST = "lost"


class Restart(StrEnum):
    """Why a worker was replaced."""

    DEAF = "deaf"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; ``buckets`` are upper bounds in the metric's unit, ``closed`` names all values of a label.

    A label set above the series cap keeps its closed labels and has ``_other`` for the rest.
    """

    name: str
    kind: Kind
    origin: Origin
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    closed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def series(self) -> int:
        """How many exposed series one label set costs."""
        return len(self.buckets) + 3 if self.kind is Kind.HISTOGRAM else 1
