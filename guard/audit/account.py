"""One past request as the log has it: every record of it, where each stands, and what may hide more of it.

Nothing is inferred beyond what is written. A request without an end on record either runs, or its process has died and
the next start will record that; which of the two is judged by whether the process that holds the writer's folder lives.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import parse_checkpoint
from guard.audit.heads import read_head
from guard.audit.leaf_reader import SealError
from guard.audit.note import NoteError
from guard.audit.read import Damage, Entry, search, writers
from guard.audit.records import Intent, Outcome, Part, Recovered
from guard.audit.segments import first_of, listing

_PID_DIGITS: Final = 20


class State(StrEnum):
    """How far a request is, by what is on record of it."""

    ENDED = "ended"
    RUNNING = "running"
    DIED = "died"  # no process here writes its log, and that it was cut off is not on record yet
    CUT_OFF = "cut_off"  # on record: it has no outcome and will have none
    PARTIAL = "partial"  # records of it, but neither intent nor end
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Removed:
    """A writer of whose log the beginning is gone: the first record that is left has this sequence."""

    writer: str
    first: int


@dataclass(frozen=True, slots=True)
class Account:
    """What is on record of one request.

    ``outcome`` is the last one, ``entries`` are all records in the order in which they were written. ``signed`` says of
    each writer how many records its signed head covers, the signature unchecked; ``removed`` and ``damage`` what may
    hide more.
    """

    request: str
    state: State
    intent: Intent | None
    parts: tuple[Part, ...]
    outcome: Outcome | None
    recovered: tuple[Recovered, ...]
    entries: tuple[Entry, ...]
    signed: tuple[tuple[str, int], ...]
    removed: tuple[Removed, ...]
    damage: tuple[Damage, ...]

    def sealed(self, entry: Entry) -> bool:
        """Tell whether the head beside the log covers the record."""
        return entry.sequence <= dict(self.signed).get(entry.writer, 0)


def account(audit: Path, request: str, passed: Callable[[int], None] = lambda _: None) -> Account:
    """Gather it; raises LedgerError when there is no log or it cannot be read. ``passed`` is as in `search`."""
    items = list(search(audit, request, passed))
    entries = tuple(item for item in items if isinstance(item, Entry))
    found = [entry.record for entry in entries]
    intent = next((one for one in found if isinstance(one, Intent)), None)
    outcome = next((one for one in reversed(found) if isinstance(one, Outcome)), None)
    recovered = tuple(one for one in found if isinstance(one, Recovered))
    involved = dict.fromkeys(entry.writer for entry in entries)
    return Account(
        request,
        _state(audit, intent, outcome, recovered, entries),
        intent,
        tuple(one for one in found if isinstance(one, Part)),
        outcome,
        recovered,
        entries,
        tuple((writer, _signed(audit / writer)) for writer in involved),
        () if intent is not None else tuple(_removed(audit)),
        tuple(item for item in items if isinstance(item, Damage)),
    )


def _state(
    audit: Path,
    intent: Intent | None,
    outcome: Outcome | None,
    recovered: tuple[Recovered, ...],
    entries: tuple[Entry, ...],
) -> State:
    if outcome is not None:
        return State.ENDED
    if recovered:
        return State.CUT_OFF
    if intent is None:
        return State.PARTIAL if entries else State.UNKNOWN
    return State.RUNNING if _lives(audit / entries[0].writer) else State.DIED


def _lives(directory: Path) -> bool:
    """Tell whether the process that took the writer's folder last lives; not known counts as living."""
    try:
        with (directory / "lock").open("rb") as file:
            pid = int(file.read(_PID_DIGITS))
        os.kill(pid, 0)
    except (ProcessLookupError, FileNotFoundError):
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True


def _signed(directory: Path) -> int:
    try:
        note = read_head(directory)
        return 0 if note is None else parse_checkpoint(note.text).size
    except (SealError, NoteError):
        return 0


def _removed(audit: Path) -> Iterable[Removed]:
    for directory in writers(audit):
        paths = listing(directory)
        if paths and first_of(paths[0]) > 1:
            yield Removed(directory.name, first_of(paths[0]))
