"""The keys that sign the log: one that names it for good, and one an hour whose predecessor is then erased.

Every checkpoint is signed by both. The log's own key is what auditors and witnesses are given. An epoch's key is
announced in a note signed by the log's key and by the epoch's predecessor, with the heads of all logs at that moment;
then the predecessor is gone. So whoever takes the host can sign from then on, but cannot sign another past (the idea of
journald's forward-secure sealing, state-and-audit C1): an earlier record cannot change without a break in this chain.
Erasing is overwriting and unlinking a file; a journal or a flash disk may keep the old bytes for a while.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import Checkpoint
from guard.audit.copies import joined
from guard.audit.disk import FILE_MODE, LocalDisk
from guard.audit.note import Algorithm, Key, Note, NoteError, Signer, decode_base64, parse_note, signed_by
from guard.audit.segments import LedgerError, describe
from guard.audit.tree import HASH_BYTES

FILE: Final = "epochs"
MAX_FILE_BYTES: Final = 1 << 30
_HEADER: Final = "asl-guard epoch v1"
_HEAD: Final = re.compile(r"head (\S+) (0|[1-9][0-9]{0,18}) (\S+)")
_NUMBER: Final = re.compile(r"epoch (0|[1-9][0-9]{0,18})\nkey (\S+)\ntime (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Epoch:
    """Whose turn it is: ``key`` signs from ``began`` (seconds since the epoch) on, when the logs stood at ``heads``."""

    origin: str
    number: int
    key: Key
    began: int
    heads: tuple[Checkpoint, ...]

    def text(self) -> str:
        """The text of its note; a head's log is named without the origin they share, or ``.`` for the origin's own."""
        lines = [_HEADER, self.origin, f"epoch {self.number}"]
        lines += [f"key {base64.b64encode(self.key.public).decode()}", f"time {self.began}"]
        for head in self.heads:
            name = head.origin.removeprefix(self.origin).removeprefix("/") or "."
            lines.append(f"head {name} {head.size} {base64.b64encode(head.root).decode()}")
        return "\n".join(lines) + "\n"


def epoch_key_name(origin: str, number: int) -> str:
    """The name that an epoch's key signs under."""
    return f"{origin}/epoch/{number}"


def parse_epoch(text: str) -> Epoch:
    """Read the text of an epoch's note; raises NoteError."""
    header, _, rest = text.partition("\n")
    origin, _, rest = rest.partition("\n")
    found = _NUMBER.match(rest)
    if header != _HEADER or not origin or found is None or not text.endswith("\n"):
        raise NoteError("not the note of an epoch")
    number = int(found[1])
    key = Key(epoch_key_name(origin, number), Algorithm.ED25519, decode_base64(found[2]))
    heads = []
    for line in rest[found.end() :].strip("\n").split("\n"):
        if not line:
            continue
        head = _HEAD.fullmatch(line)
        root = decode_base64(head[3]) if head else b""
        if head is None or len(root) != HASH_BYTES:
            raise NoteError("not the head of a log in the note of an epoch")
        heads.append(Checkpoint(origin if head[1] == "." else f"{origin}/{head[1]}", int(head[2]), root))
    epoch = Epoch(origin, number, key, int(found[3]), tuple(heads))
    if epoch.text() != text:
        raise NoteError("the note of an epoch is not in its one form")
    return epoch


@dataclass(frozen=True, slots=True)
class Chain:
    """The notes of all epochs, oldest first, as the file holds them; ``torn`` is what follows the last whole one."""

    notes: tuple[Note, ...]
    epochs: tuple[Epoch, ...]
    size: int
    torn: int


def read_chain(audit: Path) -> Chain:
    """Read the chain, without judging it; an absent file is an empty chain. Raises LedgerError naming what is wrong."""
    path = audit / FILE
    try:
        data = joined(path, MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise LedgerError(f"{path}: longer than {MAX_FILE_BYTES} bytes")
    except FileNotFoundError:
        return Chain((), (), 0, 0)
    except OSError as error:
        raise LedgerError(f"{path}: {describe(error)}") from error
    # A note and a blank line: text, blank line, signatures, blank line.
    *parts, rest = data.split(b"\n\n")
    if len(parts) % 2:
        rest = parts.pop() + b"\n\n" + rest
    notes = []
    for number, (text, lines) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        try:
            notes.append(parse_note(text + b"\n\n" + lines + b"\n"))
        except NoteError as error:
            raise LedgerError(f"{path}: epoch {number}: {error}") from None
    try:
        epochs = tuple(parse_epoch(note.text) for note in notes)
    except NoteError as error:
        raise LedgerError(f"{path}: {error}") from None
    return Chain(tuple(notes), epochs, len(data) - len(rest), len(rest))


def append_epoch(audit: Path, note: Note) -> None:
    """Put a note at the chain's end, on the disk; what was torn there is cut first. Raises OSError and LedgerError."""
    size = read_chain(audit).size
    descriptor = os.open(audit / FILE, os.O_WRONLY | os.O_CREAT, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(note.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    LocalDisk().sync_directory(audit)


def judge_chain(chain: Chain, log: Key) -> list[str]:
    """What is wrong with the chain under the log's own key, in words; nothing if all of it holds."""
    problems: list[str] = []
    for number, (note, epoch) in enumerate(zip(chain.notes, chain.epochs, strict=True)):
        try:
            if not signed_by(note, log):
                problems.append(f"epoch {number} is not signed by the log's key")
            if number and not signed_by(note, chain.epochs[number - 1].key):
                problems.append(
                    f"epoch {number} is not signed by the key of epoch {number - 1}: the chain was broken there"
                )
        except NoteError as error:
            problems.append(f"epoch {number}: {error}")
        if epoch.number != number or epoch.origin != log.name:
            problems.append(f"epoch {number} says that it is epoch {epoch.number} of {epoch.origin}")
    return problems


def sign_epoch(epoch: Epoch, log: Signer, before: Signer | None) -> Note:
    """The epoch's note, signed by the log's key and, unless it is lost or the first, the key before."""
    text = epoch.text()
    return Note(text, tuple(signer.sign(text) for signer in (log, before) if signer is not None))
