"""The signed heads of one moment, read so that none speaks of what another does not cover."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.epochs import FILE as EPOCHS
from guard.audit.epochs import read_chain
from guard.audit.heads import CHECKPOINT, read_head
from guard.audit.note import Note, NoteError, parse_note
from guard.audit.read import FLEET
from guard.audit.sealer import logs
from guard.audit.segments import LedgerError

_READS: Final = 5


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of one moment: the fleet log's, the signed size of every writer's log, the bytes of the keys' chain."""

    fleet: Note | None
    sizes: dict[str, int]
    epochs: int


def read_heads(audit: Path) -> Heads:
    """Read them; raises LedgerError."""
    for _ in range(_READS):
        before = read_chain(audit).size
        fleet = read_head(audit / FLEET)
        if read_chain(audit).size == before:  # no epoch began between them
            break
    else:
        raise LedgerError(f"{audit / EPOCHS}: changes while it is read")
    sizes = {}
    for path in logs(audit):
        note = read_head(path)
        sizes[path.name] = 0 if note is None else signed_head(note, path).size
    return Heads(fleet, sizes, before)


def signed_head(note: Note, place: Path) -> Checkpoint:
    """What a note says, for the log in this place; raises LedgerError when it is no head. No signature is checked."""
    try:
        return parse_checkpoint(note.text)
    except NoteError as error:
        raise LedgerError(f"{place / CHECKPOINT}: {error}") from None


def same_head(existing: bytes, head: Note) -> bool:
    """Whether it speaks of the same tree: the signatures of another epoch do not make it another head."""
    try:
        return parse_note(existing).text == head.text
    except NoteError:
        return False
