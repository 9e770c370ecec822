"""What a full walk leaves for people who were not there: what was tried, what was seen, and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from guard import __version__
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


def evidence_of(result: Result, cases: Sequence[Walked], config: Config) -> dict[str, Any]:
    """Return the content of the file: plain data, times in seconds."""
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
        "workers": msgspec.to_builtins(result.workers),
        "cases": [msgspec.to_builtins(each) for each in cases],
        "not_shown": list(NOT_SHOWN),
    }
