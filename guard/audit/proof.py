"""Proofs that records stood in the log: made from tiles and segments, checked with nothing but themselves and a key.

A proof holds the records' own bytes, the hashes beside their way up the tree, the signed head they lead to, and that
head's place in the fleet log. The hashes tell nothing of other records. ``deploy/check_proof.py`` checks the same file
without us; both read this form and must change together.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.cosigning import cosigned_heads
from guard.audit.fleet import HEAD_KIND, entries
from guard.audit.frames import Frame
from guard.audit.heads import read_head
from guard.audit.lookup import Request, locate
from guard.audit.note import Key, Note, NoteError, cosigned_at, decode_base64, parse_note, signed_by
from guard.audit.read import FLEET, writers
from guard.audit.records import Kind, RecordError, decode
from guard.audit.segments import LedgerError, describe, listing
from guard.audit.tiles import TileError, TileReader
from guard.audit.tree import ProofError, check_inclusion, inclusion, leaf_hash

FORMAT: Final = "asl-guard proof v1"
MAX_PROOF_BYTES: Final = 256 * 1024 * 1024


class NotYetError(LedgerError):
    """The record stands in the log, but no signed head covers it yet; one will within the next second or so."""


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


class ProvenLog(_Strict, frozen=True):
    """Records of one writer's log under one of its heads."""

    checkpoint: str
    records: tuple[ProvenRecord, ...]
    fleet: Anchor | None = None


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
    """What a proof shows; ``witnessed`` says when each witness, by its name, saw the fleet log with these records."""

    request: str
    records: tuple[Proven, ...]
    witnessed: tuple[tuple[str, int], ...]


def prove(audit: Path, origin: str, request: str, kinds: Collection[Kind] = ()) -> Proof:
    """Prove the records of one request, all of them or those of some kinds.

    Raises LedgerError when there is none, one of them is under no signed head yet, or the log cannot be read.
    """
    try:
        anchors = _anchors(audit, origin, newest=True)
        logs = tuple(
            _prove_log(directory, frames, f"{origin}/{directory.name}", anchors)
            or _prove_log(directory, frames, f"{origin}/{directory.name}", _anchors(audit, origin))
            or _prove_alone(directory, frames)
            for directory in writers(audit)
            if (frames := _find(directory, request, kinds))
        )
    except (OSError, TileError) as error:
        raise LedgerError(describe(error) if isinstance(error, OSError) else str(error)) from error
    if not logs:
        raise LedgerError("no such record of a request of this id")
    return Proof(FORMAT, request, logs)


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


def check_proof(proof: Proof, key: Key, witnesses: Collection[Key] = ()) -> Checked:
    """Check every record of the proof under the log's key, and that each witness cosigned it; raises ProofError."""
    if not proof.logs or not all(log.records for log in proof.logs):
        raise ProofError("it proves no record")
    found: list[Proven] = []
    witnessed: dict[str, int] = {}
    try:
        for log in proof.logs:
            found += _check_log(log, key, proof.request)
            for witness in witnesses:
                at = _witnessed(log, key, witness)
                witnessed[witness.name] = min(at, witnessed.get(witness.name, at))
    except NoteError as error:
        raise ProofError(str(error)) from None
    return Checked(proof.request, tuple(found), tuple(sorted(witnessed.items())))


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


@dataclass(frozen=True, slots=True)
class _FleetHead:
    """A head of the fleet log, and of every writer the newest head below it with its index there."""

    note: Note
    reader: TileReader
    newest: dict[str, tuple[int, Note]]


def _anchors(audit: Path, origin: str, *, newest: bool = False) -> list[_FleetHead]:
    """The heads of the fleet log that a proof may lead to: those that witnesses cosigned first, the largest first."""
    by_text: dict[str, Note] = {}
    for note in cosigned_heads(audit):
        known = by_text.get(note.text, Note(note.text, ()))
        by_text[note.text] = known.with_signatures(tuple(one for one in note.signatures if one not in known.signatures))
    notes = sorted(by_text.values(), key=lambda note: parse_checkpoint(note.text).size, reverse=True)
    own = read_head(audit / FLEET)
    heads = []
    for note in [*notes, *([own] if own is not None else [])]:
        head = parse_checkpoint(note.text)
        if head.origin == origin:
            heads.append(_FleetHead(note, TileReader(audit / FLEET, head.size), {}))
    for sequence, entry in entries(audit, newest=newest):
        if isinstance(entry, Note):
            writer = parse_checkpoint(entry.text).origin
            for each in heads:
                if sequence <= each.reader.size:
                    each.newest[writer] = sequence - 1, entry
    return heads


def _find(directory: Path, request: str, kinds: Collection[Kind]) -> list[Frame]:
    wanted, found, paths = Request(request), [], listing(directory)
    for path in paths:
        for frame in locate(path, wanted, sealed=path is not paths[-1]).frames:
            if kinds and frame.kind not in kinds:
                continue
            try:
                record = decode(frame.kind, frame.payload)
            except RecordError:
                continue
            if getattr(record, "id", None) == request:
                found.append(frame)
    return found


def _prove_log(directory: Path, frames: list[Frame], origin: str, anchors: Sequence[_FleetHead]) -> ProvenLog | None:
    last = frames[-1].sequence
    for each in anchors:
        index, note = each.newest.get(origin, (0, None))
        if note is not None and parse_checkpoint(note.text).size >= last:
            path = inclusion(index, each.reader.size, each.reader.node)
            anchor = Anchor(index, _encoded(path), each.note.encode().decode())
            return ProvenLog(note.encode().decode(), _records(directory, frames, note), anchor)
    return None


def _prove_alone(directory: Path, frames: list[Frame]) -> ProvenLog:
    """Under the writer's own head, where the fleet log has none that covers the records yet."""
    last = frames[-1].sequence
    own = read_head(directory)
    if own is None:
        raise NotYetError(f"{directory}: nothing of it is under a signed head yet")
    if parse_checkpoint(own.text).size < last:
        raise NotYetError(f"{directory}: record {last} is under no signed head yet")
    return ProvenLog(own.encode().decode(), _records(directory, frames, own))


def _records(directory: Path, frames: list[Frame], note: Note) -> tuple[ProvenRecord, ...]:
    size = parse_checkpoint(note.text).size
    reader = TileReader(directory, size)
    return tuple(
        ProvenRecord(
            frame.sequence - 1,
            frame.kind,
            base64.b64encode(frame.payload).decode(),
            _encoded(inclusion(frame.sequence - 1, size, reader.node)),
        )
        for frame in frames
    )


def _encoded(path: list[bytes]) -> tuple[str, ...]:
    return tuple(base64.b64encode(each).decode() for each in path)
