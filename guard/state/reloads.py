"""What became of the last attempt to change the policy, as a file that commands on the host can read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

MAX_WORDS: Final = 100
_MAX_BYTES: Final = 1_048_576


class Outcome(StrEnum):
    """What became of it."""

    IN_FORCE = "in_force"
    UNCHANGED = "unchanged"
    INVALID = "invalid"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Reloaded:
    """One attempt: ``before`` is the digest that was in force, ``digest`` the one that was to be (empty: unknown).

    ``problems`` says why it is not in force, ``missing`` which workers have not confirmed that it is, ``effect`` what
    the change does (empty if nothing changed), ``lowered`` which levels are lower, in words, ``standards`` which bind
    models now, by name, version and hash. ``by`` is who asked: a person, ``signal``, ``files`` or ``start``; ``at`` is
    seconds since the epoch.
    """

    outcome: Outcome
    by: str
    before: str
    digest: str
    at: float
    effect: str = ""
    changes: int = 0
    approved_by: tuple[str, ...] = ()
    lowered: tuple[str, ...] = ()
    standards: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    workers: int = 0
    missing: tuple[str, ...] = ()
    streams_cut: int = 0
    seconds: float = 0.0

    @property
    def taken(self) -> bool:
        """Whether what was read is in force."""
        return self.outcome in {Outcome.IN_FORCE, Outcome.UNCHANGED}

    def fields(self) -> dict[str, Any]:
        """What the admin API and the file tell."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Posted:
    """The file's content: whose it is (``started`` as `process_started` has it), the ``count``-th attempt, the last.

    ``differs`` says why the files of the configuration are not the policy in force; empty if they are.
    """

    pid: int
    started: int
    count: int
    since: float
    differs: str
    last: dict[str, Any]


def post(state: Path, posted: Posted) -> None:
    """Replace the file ``policy/last``; raises OSError. Not synced: after a crash there is no supervisor either."""
    folder = state / "policy"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = folder / f".last.{os.getpid()}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(json.dumps({"version": 1, **asdict(posted)}).encode("ascii"))
    aside.replace(folder / "last")


def posted(state: Path) -> Posted | None:
    """Read the file; None where there is none, or none that can be understood."""
    try:
        with (state / "policy" / "last").open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        note = json.loads(raw) if len(raw) <= _MAX_BYTES else {}
        return Posted(
            int(note["pid"]),
            int(note["started"]),
            int(note["count"]),
            float(note["since"]),
            str(note["differs"]),
            dict(note["last"]),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
