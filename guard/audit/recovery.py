"""What a crash left in a writer's directory: the torn tail is set aside, open requests are found."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from guard.audit import records
from guard.audit.checkpoint import parse_checkpoint
from guard.audit.disk import FILE_MODE, LocalDisk
from guard.audit.fleet import entries
from guard.audit.frames import HEADER, End, Frame
from guard.audit.heads import read_head
from guard.audit.note import Note, NoteError
from guard.audit.segments import CHUNK, LedgerError, Lost, SegmentReader, first_of, listing

CRASHED = "unknown (crash)"
UNRECORDED = "unknown (log unavailable)"


@dataclass(frozen=True, slots=True)
class TornTail:
    """Bytes that were no whole record: where they were, how many, where they are now, and what was wrong."""

    segment: str
    offset: int
    size: int
    file: str
    end: End


@dataclass(frozen=True, slots=True)
class Damaged:
    """Damage of what was signed, which stays in its segment: where it begins and which records it took."""

    segment: str
    lost: Lost


@dataclass(frozen=True, slots=True)
class Recovery:
    """``sequence`` is the next to write, ``previous`` the last segment's name or empty."""

    sequence: int
    previous: str
    torn: TornTail | None
    open: tuple[str, ...]
    damaged: tuple[Damaged, ...] = ()


def recover(directory: Path) -> Recovery:
    """Repair the last segment durably and say what was found.

    What no signed head covers and a power cut may have left is set aside, from the first byte that is no record. What
    was signed was on the disk: damage of that stays where it is, and so do the records behind it.

    Doing it twice, or again after dying half-way, gives the same result. Raises LedgerError for a segment that a
    newer version wrote, OSError when the disk fails. Only the last segment is repaired: an earlier one that ends
    badly was given up by a running writer, which said so in the next.
    """
    paths = listing(directory)
    if not paths:
        return Recovery(1, "", None, ())
    open_ids: dict[str, None] = {}
    for path in paths[_start(paths) : -1]:
        for frame in SegmentReader(path, passing=True).read(whole=True):
            _follow(frame, open_ids)
    path, signed = paths[-1], _signed(directory)
    reader = SegmentReader(path, passing=True)
    # An empty segment keeps its name, so the next one needs another.
    sequence, cut = first_of(path), None
    for frame in reader.read(whole=True):
        cut = next((lost for lost in reader.lost if lost.first > signed), None)
        if cut is not None:
            break
        _follow(frame, open_ids)
        sequence = max(sequence, frame.sequence)
    if cut is None and reader.end is End.VERSION:
        raise LedgerError(f"{path}: written by a newer version; start that one or move the directory away")
    damaged = [lost for lost in reader.lost if lost is not cut]
    torn, size = None, path.stat().st_size
    if cut is not None:
        torn = set_aside(path, cut.offset, cut.end)
    elif reader.end is not End.COMPLETE and reader.expected <= signed:
        # None of their numbers is used again; a head is not asked for more than there can have been.
        sequence = max(sequence, min(signed, reader.expected - 1 + (size - reader.offset) // HEADER))
        damaged.append(Lost(reader.offset, reader.end, reader.expected, sequence))
    else:
        torn = set_aside(path, reader.offset, reader.end)
    found = tuple(Damaged(path.name, lost) for lost in damaged)
    return Recovery(sequence + 1, path.name, torn, tuple(open_ids), found)


def _signed(directory: Path) -> int:
    """How many records heads cover, by the head beside the log and by the log of all heads; 0 without any.

    Nothing of them is checked: who forges one can only keep a torn tail where it is.
    """
    size = 0
    with contextlib.suppress(LedgerError, NoteError):
        note = read_head(directory)
        size = 0 if note is None else parse_checkpoint(note.text).size
    with contextlib.suppress(OSError):  # a log of heads that cannot be read is the sealer's trouble
        for _, each in entries(directory.parent, newest=True):
            if isinstance(each, Note):
                head = parse_checkpoint(each.text)
                if head.origin.rpartition("/")[2] == directory.name:
                    size = max(size, head.size)
    return size


def endings(ids: Iterable[str], ending: str, now: float, steady: float) -> list[records.Recovered]:
    """The records that say of requests without an outcome that they will have none."""
    return [records.Recovered(now, steady, "open_intent", id=one, ending=ending) for one in ids]


def account(found: Recovery, now: float, steady: float, bodies: Iterable[TornTail] = ()) -> list[records.Recovered]:
    """The records that say what was recovered; ``bodies`` are the torn tails of segments of bodies."""
    damaged = [
        records.Recovered(
            now,
            steady,
            "damaged",
            each.segment,
            each.lost.end,
            first=each.lost.first,
            last=each.lost.last,
            offset=each.lost.offset,
        )
        for each in found.damaged
    ]
    torn = [("torn_tail", found.torn)] if found.torn is not None else []
    torn += [("torn_body", tail) for tail in bodies]
    return [
        *damaged,
        *(
            records.Recovered(
                now, steady, what, tail.segment, tail.end, offset=tail.offset, set_aside=tail.size, file=tail.file
            )
            for what, tail in torn
        ),
        *endings(found.open, CRASHED, now, steady),
    ]


def _start(paths: list[Path]) -> int:
    # A segment that lost its first record says nothing about what was open before it: look further back.
    for index in range(len(paths) - 1, 0, -1):
        first = next(SegmentReader(paths[index]).read(), None)
        if first is not None and first.kind == records.Kind.OPENED:
            return index
    return 0


def _follow(frame: Frame, open_ids: dict[str, None]) -> None:
    if frame.kind == records.Kind.PART:
        return
    try:
        record = records.decode(frame.kind, frame.payload)
    except records.RecordError:
        return  # its checksum is good, so a newer version wrote it; it stays where it is
    if isinstance(record, records.Opened):
        open_ids.clear()
        open_ids.update(dict.fromkeys(record.open))
    elif isinstance(record, records.Intent):
        open_ids[record.id] = None
    elif isinstance(record, records.Outcome | records.Recovered):
        open_ids.pop(record.id, None)


def set_aside(path: Path, offset: int, end: End) -> TornTail | None:
    """Move what a segment has from there on into a file of its own, durably; None if it has nothing. Raises OSError."""
    size = path.stat().st_size - offset
    if size <= 0:
        return None
    aside = path.with_name(f"{path.stem}.torn-{offset}")
    # The copy is on the disk before the original is cut: a crash between the two repeats both.
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as copy, path.open("rb") as source:
        source.seek(offset)
        while data := source.read(CHUNK):
            copy.write(data)
        copy.flush()
        os.fsync(copy.fileno())
    LocalDisk().sync_directory(path.parent)
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return TornTail(path.name, offset, size, aside.name, end)
