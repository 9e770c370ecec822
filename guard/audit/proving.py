"""Making proofs: the records of a request, and their way up to heads of the fleet log that others have vouched for."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from guard.audit.checkpoint import parse_checkpoint
from guard.audit.cosigning import cosigned_heads
from guard.audit.epochs import read_chain
from guard.audit.fleet import entries
from guard.audit.frames import Frame
from guard.audit.heads import read_head
from guard.audit.lookup import Request, locate
from guard.audit.note import Note
from guard.audit.proof import FORMAT, Anchor, Proof, ProvenLog, ProvenRecord, Stamp
from guard.audit.read import FLEET, writers
from guard.audit.records import Kind, RecordError, decode
from guard.audit.segments import LedgerError, describe, listing
from guard.audit.tiles import TileError, TileReader
from guard.audit.timestamps import covering, sizes
from guard.audit.tree import inclusion


class NotYetError(LedgerError):
    """The record stands in the log, but no signed head covers it yet; one will within the next second or so."""


def prove(audit: Path, origin: str, request: str, kinds: Collection[Kind] = ()) -> Proof:
    """Prove the records of one request, all of them or those of some kinds.

    Raises LedgerError when there is none, one of them is under no signed head yet, or the log cannot be read.
    """
    try:
        anchors = _anchors(audit, origin, newest=True)
        logs = tuple(
            _prove_stamped(directory, frames, origin, anchors)
            or _prove_log(directory, frames, f"{origin}/{directory.name}", anchors)
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


def _prove_stamped(
    directory: Path, frames: list[Frame], origin: str, anchors: Sequence[_FleetHead]
) -> ProvenLog | None:
    """Under the writer's first head that covers the records, so that the earliest time stamp tells of them; or None."""
    audit = directory.parent
    if not sizes(audit):
        return None
    found = _first_head(audit, origin, directory.name, frames[-1].sequence)
    if found is None:
        return None
    index, note = found
    fleet = next((each for each in anchors if each.reader.size > index), None)
    stamp = next(
        (each for each in covering(audit, index + 1) if parse_checkpoint(each.note.text).origin == origin), None
    )
    widest = max(anchors, key=lambda each: each.reader.size, default=None)
    if fleet is None or stamp is None or widest is None or widest.reader.size < stamp.size:
        return None
    anchor = Anchor(
        index, _encoded(inclusion(index, fleet.reader.size, fleet.reader.node)), fleet.note.encode().decode()
    )
    # A copy lacks the partial tiles of just these sizes; those of its newest heads have the same hashes.
    path = inclusion(index, stamp.size, widest.reader.node)
    stamped = Stamp(_encoded(path), stamp.note.encode().decode(), base64.b64encode(stamp.answer).decode())
    known = (widest.newest.get(f"{origin}/{directory.name}", (0, note))[1], read_head(directory))
    largest = max(parse_checkpoint(each.text).size for each in (note, *known) if each is not None)
    for size in sorted({largest, parse_checkpoint(note.text).size}):
        with contextlib.suppress(TileError):
            return ProvenLog(note.encode().decode(), _records(directory, frames, note, size), anchor, stamped)
    return None


def _first_head(audit: Path, origin: str, writer: str, last: int) -> tuple[int, Note] | None:
    """The first head of a writer that covers the record ``last``, with its index in the fleet log."""
    # Every epoch names the sizes of all logs when it began: that is where to begin to look.
    after = 0
    for epoch in read_chain(audit).epochs:
        known = {head.origin: head.size for head in epoch.heads}
        if known.get(f"{origin}/{writer}", 0) >= last:
            break
        after = max(after, known.get(origin, 0))
    for sequence, entry in entries(audit, after=after):
        if isinstance(entry, Note):
            head = parse_checkpoint(entry.text)
            if head.origin == f"{origin}/{writer}" and head.size >= last:
                return sequence - 1, entry
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


def _records(directory: Path, frames: list[Frame], note: Note, tiles: int = 0) -> tuple[ProvenRecord, ...]:
    """The records under the head in a note, from its own tiles or those of a tree of at least its size; TileError."""
    size = parse_checkpoint(note.text).size
    reader = TileReader(directory, tiles or size)
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
