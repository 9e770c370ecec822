"""The time stamps of a log: heads of the fleet log with the answers of a time-stamping authority over their bytes.

``audit/fleet/timestamps/SIZE.checkpoint`` is the signed head as it was sent, ``SIZE.tsr`` the whole answer, so that
`openssl ts -verify -data SIZE.checkpoint -in SIZE.tsr -CAfile CA` needs nothing of ours. Neither ever changes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import parse_checkpoint
from guard.audit.directory import prepare
from guard.audit.note import MAX_NOTE_BYTES, Note, NoteError, parse_note
from guard.audit.read import FLEET
from guard.audit.segments import LedgerError, describe
from guard.audit.tiles import write_atomically
from guard.audit.timestamp_form import MAX_ANSWER_BYTES, TimestampError, Token, read_token

FOLDER: Final = "timestamps"
HEAD: Final = ".checkpoint"
ANSWER: Final = ".tsr"
_NAME: Final = re.compile(r"([0-9]{20})\.tsr")


@dataclass(frozen=True, slots=True)
class Stamped:
    """A head of the fleet log and the answer over it; ``token`` is what that states, its signature not checked."""

    note: Note
    size: int
    answer: bytes
    token: Token


def folder(audit: Path) -> Path:
    """Where they lie."""
    return audit / FLEET / FOLDER


def keep(audit: Path, note: Note, answer: bytes) -> None:
    """Put a head and the answer over it on the disk, the answer last; raises OSError."""
    directory = folder(audit)
    prepare(directory)
    name = f"{parse_checkpoint(note.text).size:020}"
    write_atomically(directory / f"{name}{HEAD}", note.encode(), durable=True)
    write_atomically(directory / f"{name}{ANSWER}", answer, durable=True)


def sizes(audit: Path) -> list[int]:
    """The sizes of the heads that have an answer, smallest first; raises OSError."""
    try:
        found = [_NAME.fullmatch(path.name) for path in folder(audit).iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(each[1]) for each in found if each is not None)


def stamped(audit: Path, size: int) -> Stamped:
    """The time stamp over the head of this size; raises LedgerError for one that is none, or over something else."""
    path = folder(audit) / f"{size:020}{ANSWER}"
    try:
        note = parse_note(_read(path.with_suffix(HEAD), MAX_NOTE_BYTES))
        answer = _read(path, MAX_ANSWER_BYTES)
        token = read_token(answer)
        if parse_checkpoint(note.text).size != size:
            raise LedgerError(f"{path}: the head beside it has another size")
    except OSError as error:
        raise LedgerError(f"{error.filename}: {describe(error)}") from error
    except (NoteError, TimestampError) as error:
        raise LedgerError(f"{path}: {error}") from None
    if token.imprint != hashlib.sha256(note.encode()).digest():
        raise LedgerError(f"{path}: the time stamp is over something else than the head beside it")
    return Stamped(note, size, answer, token)


def covering(audit: Path, entries: int) -> Iterator[Stamped]:
    """The time stamps over heads of the fleet log with so many entries or more, the earliest first.

    One that cannot be read is left out: verification names it. Raises OSError.
    """
    for size in sizes(audit):
        if size >= entries:
            try:
                yield stamped(audit, size)
            except LedgerError:
                continue


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit + 1)
