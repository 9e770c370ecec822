"""What a full walk leaves for people who were not there: what was tried, what was seen, and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from guard import __version__
from guard.drills.disruptive import Report
from guard.drills.result import Result
from guard.drills.walk import Walked
from guard.policy.config import Config

CLAIM: Final = "stop_drill"
NOT_SHOWN: Final = (
    "that customers' exchanges answer to what is rehearsed beside the real orders (all, levels, operations, streaming)",
    "these kinds by any path but order files and STOP files; in a fleet, by its engine any scope but a version",
    "the capabilities tools and structured_output, the modes other than stop",
    "the customers' own listeners and TLS, classifiers, and that senders of webhooks know their secrets",
    "the resume of two people: the self-test model is at ASL-2",
)

NOT_SHOWN_OF_SERVED: Final = (
    "that callers saw the stop's own ending and new requests are refused: full drills show that of the self-test model",
    "when the last byte left: times are until each worker of this host said that it had cut what ran",
    "after how long the other guards of a fleet obeyed: it is waited for, and not timed",
)


def evidence_of(result: Result, cases: Sequence[Walked], config: Config) -> dict[str, Any]:
    """Return the content of the file: plain data, times in seconds."""
    return {
        **_of(result, config),
        "workers": msgspec.to_builtins(result.workers),
        "cases": [msgspec.to_builtins(each) for each in cases],
        "not_shown": list(NOT_SHOWN),
    }


def evidence_of_window(report: Report, reason: str, asl: int, config: Config) -> dict[str, Any]:
    """Return the content of the file of a drill on a served model of this level: as `evidence_of`."""
    return {
        **_of(report.result, config),
        "model": report.result.disrupted,
        "asl": asl,
        "reason": reason,
        "cases": [msgspec.to_builtins(each) for each in report.cases],
        "not_shown": list(NOT_SHOWN_OF_SERVED),
    }


def _of(result: Result, config: Config) -> dict[str, Any]:
    return {
        "version": 1,
        "claim": CLAIM,
        "made": datetime.fromtimestamp(result.at, UTC).isoformat(timespec="seconds"),
        "by": result.who,
        "guard": __version__,
        "policy": config.digest,
        "replica": None if config.guard.fleet is None else config.guard.fleet.replica,
        "drill": result.id,
        "succeeded": result.succeeded,
        "words": result.words(),
    }
