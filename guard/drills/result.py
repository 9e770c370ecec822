"""What came of a drill: one frozen statement, written as one line of JSON."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

MAX_BYTES: Final = 65_536
MAX_WORDS: Final = 500


class Kind(StrEnum):
    """What was drilled (`guard.telemetry.metric.Drill` says the same)."""

    STOP = "stop"
    LEASE = "lease"


class Failure(StrEnum):
    """How a drill failed; the list is closed (`guard.telemetry.metric.DrillFailure` says the same)."""

    NO_STREAM = "no_stream"
    NOT_ORDERED = "not_ordered"
    NOT_CUT = "not_cut"
    WRONG_ENDING = "wrong_ending"
    NOT_REFUSED = "not_refused"
    NOT_SPARED = "not_spared"
    NOT_RESUMED = "not_resumed"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


class Times(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One worker's seconds; None for what did not come.

    From the order to the last byte of its streams, to a refusal, and from the resume to the first answer.
    """

    worker: str
    cut: float | None = None
    refused: float | None = None
    resumed: float | None = None


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One drill; ``at`` is when it ended, in seconds since the epoch.

    ``failure`` is None for one that showed what it was to show, and ``why`` says the rest in words. ``skipped`` says
    why one was not made: then nothing was shown, and nothing failed. ``order`` is the stop that was given.
    ``disrupted`` is the served model that was stopped, empty where it was the self-test model.
    """

    id: str
    kind: Kind
    path: str
    at: float
    who: str
    workers: tuple[Times, ...] = ()
    order: str = ""
    failure: Failure | None = None
    why: str = ""
    skipped: str = ""
    disrupted: str = ""
    version: int = 1

    @property
    def succeeded(self) -> bool:
        """Whether it showed what it was to show."""
        return self.failure is None and not self.skipped

    @property
    def seconds(self) -> float | None:
        """From the order to the last byte of the slowest worker's stream."""
        return max((each.cut for each in self.workers if each.cut is not None), default=None)

    def words(self) -> str:
        """Say it in a line."""
        if self.skipped:
            return f"skipped: {self.skipped}"
        if self.failure is not None:
            return f"FAILED, {self.failure.value}: {self.why}"
        if self.disrupted:
            return self.why
        return f"{len(self.workers)} workers cut within {(self.seconds or 0.0) * 1000:.0f} ms, refused, and resumed"


class DrillError(Exception):
    """A drill that failed; ``times`` is what it measured until then."""

    def __init__(self, failure: Failure, why: str, times: tuple[Times, ...] = (), order: str = "") -> None:
        """Take how, in a word and in words."""
        super().__init__(why)
        self.failure = failure
        self.why = "".join(letter if letter.isprintable() else "?" for letter in why[:MAX_WORDS])
        self.times = times
        self.order = order


def encode(result: Result) -> bytes:
    """Write it."""
    return msgspec.json.encode(result) + b"\n"


def decode(raw: bytes) -> Result:
    """Read one strictly; raises ValueError."""
    if len(raw) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    result = msgspec.json.decode(raw, type=Result)
    if result.version != 1 or not (result.at >= 0 and len(result.id) == 26 and result.id.isalnum()):  # noqa: PLR2004 - an id's length
        raise ValueError("not the result of a drill")
    return result
