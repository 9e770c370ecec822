"""What a crash left in a writer's directory: the torn tail is set aside, open requests are found."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from guard.audit import records
from guard.audit.disk import FILE_MODE, LocalDisk
from guard.audit.frames import End, Frame
from guard.audit.segments import CHUNK, LedgerError, SegmentReader, first_of, listing

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
class Recovery:
    """``sequence`` is the next to write, ``previous`` the last segment's name or empty."""

    sequence: int
    previous: str
    torn: TornTail | None
    open: tuple[str, ...]


def recover(directory: Path) -> Recovery:
    """Repair the last segment durably and say what was found.

    Doing it twice, or again after dying half-way, gives the same result. Raises LedgerError for a segment that a
    newer version wrote, OSError when the disk fails. Only the last segment is repaired: an earlier one that ends
    badly was given up by a running writer, which said so in the next.
    """
    paths = listing(directory)
    if not paths:
        return Recovery(1, "", None, ())
    open_ids: dict[str, None] = {}
    reader = SegmentReader(paths[-1])
    sequence = first_of(paths[-1])
    for path in paths[_start(paths) :]:
        reader = SegmentReader(path)
        for frame in reader.read():
            _follow(frame, open_ids)
            sequence = frame.sequence
    if reader.end is End.VERSION:
        raise LedgerError(f"{reader.path}: written by a newer version; start that one or move the directory away")
    torn = set_aside(reader)
    # An empty segment keeps its name, so the next one needs another.
    return Recovery(max(sequence, first_of(paths[-1])) + 1, paths[-1].name, torn, tuple(open_ids))


def endings(ids: Iterable[str], ending: str, now: float, steady: float) -> list[records.Recovered]:
    """The records that say of requests without an outcome that they will have none."""
    return [records.Recovered(now, steady, "open_intent", id=one, ending=ending) for one in ids]


def account(found: Recovery, now: float, steady: float, bodies: Iterable[TornTail] = ()) -> list[records.Recovered]:
    """The records that say what was recovered; ``bodies`` are the torn tails of segments of bodies."""
    torn = [("torn_tail", found.torn)] if found.torn is not None else []
    torn += [("torn_body", tail) for tail in bodies]
    return [
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


def set_aside(reader: SegmentReader) -> TornTail | None:
    """Move what follows the last whole frame into a file of its own, durably; None if nothing does. Raises OSError."""
    path, offset = reader.path, reader.offset
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
    return TornTail(path.name, offset, size, aside.name, reader.end)
