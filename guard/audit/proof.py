"""Proofs that records stood in the log: their form, and checking them with nothing but themselves and a key.

A proof holds the records' own bytes, the hashes beside their way up the tree, the signed head they lead to, and that
head's place in the fleet log. The hashes tell nothing of other records. ``deploy/check_proof.py`` checks the same file
without us; both read this form and must change together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.fleet import HEAD_KIND
from guard.audit.note import Key, Note, NoteError, cosigned_at, decode_base64, parse_note, signed_by
from guard.audit.timestamp_authority import Authority
from guard.audit.timestamp_form import TimestampError, read_token
from guard.audit.tree import ProofError, check_inclusion, leaf_hash

FORMAT: Final = "asl-guard proof v1"
MAX_PROOF_BYTES: Final = 256 * 1024 * 1024


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class ProvenRecord(_Strict, frozen=True):
    """One record: its place in the tree, its frame's kind and payload (Base64), and the hashes beside its way up."""

    index: int
    kind: int
    payload: str
    path: tuple[str, ...]


class Anchor(_Strict, frozen=True):
    """The head's place in the fleet log, whose own head may carry the cosignatures of witnesses."""

    index: int
    path: tuple[str, ...]
    checkpoint: str


class Stamp(_Strict, frozen=True):
    """An earlier head of the fleet log that has the writer's head too, and a time stamp over its bytes (Base64)."""

    path: tuple[str, ...]
    checkpoint: str
    answer: str


class ProvenLog(_Strict, frozen=True, omit_defaults=True):
    """Records of one writer's log under one of its heads; that one's index in the fleet log is the same for both."""

    checkpoint: str
    records: tuple[ProvenRecord, ...]
    fleet: Anchor | None = None
    stamp: Stamp | None = None


class Proof(_Strict, frozen=True):
    """What is written to the file."""

    format: str
    request: str
    logs: tuple[ProvenLog, ...]


@dataclass(frozen=True, slots=True)
class Proven:
    """A record that was proved: in which log, as which record, its kind and its decoded content."""

    log: str
    sequence: int
    kind: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a proof shows; ``witnessed`` says when each witness, by its name, saw the fleet log with these records.

    ``stamped`` is when all of them stood at the latest, as time stamps say (seconds since the epoch), None without any.
    """

    request: str
    records: tuple[Proven, ...]
    witnessed: tuple[tuple[str, int], ...]
    stamped: float | None = None


def encode_proof(proof: Proof) -> bytes:
    """The file's bytes: JSON for people too."""
    return msgspec.json.format(msgspec.json.encode(proof), indent=1) + b"\n"


def decode_proof(data: bytes) -> Proof:
    """Read the file; raises ProofError."""
    try:
        proof = msgspec.json.decode(data, type=Proof)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProofError("not a proof: it has another form") from None
    if proof.format != FORMAT:
        raise ProofError(f"not a proof of the form {FORMAT}")
    return proof


def check_proof(proof: Proof, key: Key, witnesses: Collection[Key] = (), authority: Authority | None = None) -> Checked:
    """Check every record of the proof under the log's key, and that each witness cosigned it; raises ProofError.

    With an ``authority`` it must have stamped all of them. Without one a time stamp is only held to what it is over.
    """
    if not proof.logs or not all(log.records for log in proof.logs):
        raise ProofError("it proves no record")
    found: list[Proven] = []
    witnessed: dict[str, int] = {}
    stamped: list[float] = []
    try:
        for log in proof.logs:
            if log.stamp is not None or authority is not None:
                stamped.append(_stamped(log, key, authority))
            found += _check_log(log, key, proof.request)
            for witness in witnesses:
                at = _witnessed(log, key, witness)
                witnessed[witness.name] = min(at, witnessed.get(witness.name, at))
    except NoteError as error:
        raise ProofError(str(error)) from None
    except TimestampError as error:
        raise ProofError(f"its time stamp: the authority {error}") from None
    at_last = max(stamped) if len(stamped) == len(proof.logs) else None
    return Checked(proof.request, tuple(found), tuple(sorted(witnessed.items())), at_last)


def _check_log(log: ProvenLog, key: Key, request: str) -> list[Proven]:
    note, head = _signed(log.checkpoint, key)
    if not head.origin.startswith(f"{key.name}/"):
        raise ProofError("the head is not one of a writer of this log")
    if log.fleet is not None:
        _, fleet = _fleet(log.fleet, key)
        leaf = leaf_hash(HEAD_KIND, note.encode())
        check_inclusion(leaf, log.fleet.index, fleet.size, _path(log.fleet.path), fleet.root)
    found = []
    for record in log.records:
        payload = decode_base64(record.payload)
        if not 1 <= record.kind <= 255:  # noqa: PLR2004 - the frame's one byte
            raise ProofError("a record's kind is one byte")
        check_inclusion(leaf_hash(record.kind, payload), record.index, head.size, _path(record.path), head.root)
        try:
            content = msgspec.json.decode(payload, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ProofError("a record is proved, but no JSON object") from None
        if content.get("id") != request:
            raise ProofError("a record is proved, but it is of another request")
        found.append(Proven(head.origin, record.index + 1, str(content.get("record", "")), content))
    return found


def _witnessed(log: ProvenLog, key: Key, witness: Key) -> int:
    if log.fleet is None:
        raise ProofError(f"it has no head of the fleet log, so {witness.name} cannot have seen it")
    note, _ = _fleet(log.fleet, key)
    at = cosigned_at(note, witness)
    if at is None:
        raise ProofError(f"not cosigned by {witness.name}")
    return at


def _stamped(log: ProvenLog, key: Key, authority: Authority | None) -> float:
    """When the writer's head stood in the fleet log at the latest."""
    if log.stamp is None or log.fleet is None:
        raise ProofError("no time stamp covers all of it")
    note, head = _signed(log.stamp.checkpoint, key)
    if head.origin != key.name:
        raise ProofError("the head of the fleet log is not one of this log")
    leaf = leaf_hash(HEAD_KIND, parse_note(log.checkpoint.encode()).encode())
    check_inclusion(leaf, log.fleet.index, head.size, _path(log.stamp.path), head.root)
    answer, data = decode_base64(log.stamp.answer), note.encode()
    if authority is not None:
        return authority.check(answer, data).time
    token = read_token(answer)
    if token.imprint != hashlib.sha256(data).digest():
        raise ProofError("its time stamp is over something else")
    return token.time


def _fleet(anchor: Anchor, key: Key) -> tuple[Note, Checkpoint]:
    note, head = _signed(anchor.checkpoint, key)
    if head.origin != key.name:
        raise ProofError("the head of the fleet log is not one of this log")
    return note, head


def _signed(text: str, key: Key) -> tuple[Note, Checkpoint]:
    note = parse_note(text.encode())
    if not signed_by(note, key):
        raise ProofError(f"the head is not signed by the key of {key.name}")
    return note, parse_checkpoint(note.text)


def _path(path: tuple[str, ...]) -> list[bytes]:
    return [decode_base64(each) for each in path]
