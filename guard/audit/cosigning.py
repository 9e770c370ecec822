"""Anchors: a witness elsewhere cosigns the fleet log's head if it continues the one before (C2SP tlog-witness).

Here is what is said on both sides and what the witness decides, without a socket. A witness keeps of each log the
newest head it has cosigned, durably and before it answers: so a log can never be put back to before what it saw.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.directory import lock, prepare
from guard.audit.note import MAX_NOTE_BYTES, Key, Note, NoteError, Signer, decode_base64, parse_note, signed_by
from guard.audit.read import FLEET
from guard.audit.segments import LedgerError, describe
from guard.audit.tiles import write_atomically
from guard.audit.tree import EMPTY_ROOT, Node, ProofError, check_consistency, consistency

MAX_REQUEST_BYTES: Final = MAX_NOTE_BYTES + 4096
MAX_PROOF_LINES: Final = 63
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answers: a status of HTTP, a body and its type."""

    status: int
    body: bytes
    kind: str = TEXT_TYPE


def add_request(old: int, note: Note, node: Node) -> bytes:
    """The body of ``add-checkpoint``: this head, and the proof that it continues the one of ``old`` leaves.

    Raises ValueError when the log had more leaves than the head has, TileError when tiles are missing.
    """
    path = consistency(old, parse_checkpoint(note.text).size, node)
    lines = [f"old {old}", *(base64.b64encode(each).decode() for each in path), ""]
    return "\n".join(lines).encode() + b"\n" + note.encode()


class WitnessState:
    """One witness: its key, the logs it knows, and what it has seen of them; one process at a time."""

    def __init__(self, directory: Path, signer: Signer, logs: Mapping[str, Sequence[Key]]) -> None:
        """Lock the folder; ``logs`` are the trusted keys by origin. Raises LedgerError."""
        self._directory = directory
        self._signer = signer
        self._logs = dict(logs)
        try:
            prepare(directory)
            self._held = lock(directory)
        except OSError as error:
            raise LedgerError(f"{directory}: {describe(error)}") from error

    def close(self) -> None:
        """Give the folder back."""
        os.close(self._held)

    def latest(self, origin: str) -> Note | None:
        """The newest head that was cosigned for a log; raises LedgerError when it cannot be read."""
        path = self._path(origin)
        try:
            return parse_note(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerError(f"{path}: {describe(error)}") from error
        except NoteError as error:
            raise LedgerError(f"{path}: {error}") from None

    def add(self, body: bytes, now: int) -> Answer:
        """Judge a head and cosign it at ``now`` (seconds since the epoch); raises LedgerError and OSError."""
        try:
            old, path, note = _parse(body)
            head = parse_checkpoint(note.text)
        except NoteError as error:
            return _refusal(400, str(error))
        keys = self._logs.get(head.origin)
        if keys is None:
            return _refusal(404, "a log that this witness does not know")
        try:
            if not any(signed_by(note, key) for key in keys):
                return _refusal(403, "not signed by a key of this log")
        except NoteError as error:
            return _refusal(403, str(error))
        if old > head.size:
            return _refusal(400, "the old size is greater than the new one")
        latest = self.latest(head.origin)
        seen = parse_checkpoint(latest.text) if latest is not None else Checkpoint(head.origin, 0, EMPTY_ROOT)
        if old != seen.size:
            return Answer(409, f"{seen.size}\n".encode(), SIZE_TYPE)
        if head.size == seen.size and head.root != seen.root:
            return Answer(409, f"{seen.size}\n".encode(), SIZE_TYPE)
        try:
            check_consistency(old, head.size, path, seen.root, head.root)
        except ProofError as error:
            return _refusal(422, str(error))
        cosignature = self._signer.cosign(note.text, now)
        # Of the head nothing is kept but what was judged: its text, the log's signatures, and our own.
        kept = tuple(one for one in note.signatures if any((one.name, one.id) == (key.name, key.id) for key in keys))
        cosigned = Note(note.text, (*kept, cosignature))
        write_atomically(self._path(head.origin), cosigned.encode(), durable=True)
        return Answer(200, f"{cosignature}\n".encode())

    def _path(self, origin: str) -> Path:
        return self._directory / log_file(origin)


def log_file(origin: str) -> str:
    """The name of the file, and of the resource, where a witness keeps the newest head of a log."""
    return hashlib.sha256(origin.encode()).hexdigest()


def keep_cosigned(audit: Path, note: Note, witness: Key) -> None:
    """Keep the newest head that this witness cosigned; raises OSError."""
    write_atomically(audit / FLEET / _cosigned_name(witness), note.encode(), durable=True)


def cosigned(audit: Path, witness: Key) -> Note | None:
    """The newest head of the fleet log that this witness is known to have cosigned, unchecked; raises LedgerError."""
    path = audit / FLEET / _cosigned_name(witness)
    try:
        return parse_note(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"{path}: {describe(error)}") from error
    except NoteError as error:
        raise LedgerError(f"{path}: {error}") from None


def cosigned_heads(audit: Path) -> list[Note]:
    """Every head of the fleet log that some witness cosigned, as it was kept, unchecked; raises LedgerError."""
    try:
        return [parse_note(path.read_bytes()) for path in sorted((audit / FLEET).glob("cosigned-*"))]
    except OSError as error:
        raise LedgerError(f"{error.filename}: {describe(error)}") from error
    except NoteError as error:
        raise LedgerError(f"{audit / FLEET}: a cosigned head: {error}") from None


def _cosigned_name(witness: Key) -> str:
    return f"cosigned-{hashlib.sha256(str(witness).encode()).hexdigest()[:16]}"


def _parse(body: bytes) -> tuple[int, list[bytes], Note]:
    head, blank, rest = body.partition(b"\n\n")
    if not blank or len(body) > MAX_REQUEST_BYTES:
        raise NoteError("not a request of add-checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise NoteError("not a request of add-checkpoint") from None
    old = _OLD.fullmatch(lines[0])
    if old is None or len(lines) - 1 > MAX_PROOF_LINES:
        raise NoteError("not a request of add-checkpoint")
    return int(old[1]), [decode_base64(line) for line in lines[1:]], parse_note(rest)


def _refusal(status: int, words: str) -> Answer:
    return Answer(status, f"{words}\n".encode())
