"""Deleting records whose own time is over: whole segments, oldest first; the hash of each record stays in the tiles.

So every signed head and every proof made before still holds, and what is gone can be read by nobody. Only the logs of
workers, which hold requests: what was done to the guard, deletions among it, is kept. A segment goes when its youngest
record is old enough, all of it is sealed, and nothing of the tree's right edge has to be made from it again. One that
was given up in the middle of a record, as on a full disk, goes like the others: the next one begins with that record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Final

from guard.audit.body_places import day_of
from guard.audit.checkpoint import parse_checkpoint
from guard.audit.disk import Disk, LocalDisk
from guard.audit.frames import End
from guard.audit.heads import read_head
from guard.audit.holds import Hold
from guard.audit.note import NoteError
from guard.audit.read import writers
from guard.audit.records import RecordError, decode
from guard.audit.retention import later
from guard.audit.segments import SegmentReader, first_of, listing
from guard.audit.tiles import WIDTH

LOGS: Final = "worker-"
_HERE: Final = LocalDisk()


@dataclass(frozen=True, slots=True)
class DueSegment:
    """A segment whose time is over; ``held``, ``waits`` (for a copy) and ``problem`` say why it stays."""

    path: Path
    last: int
    since: str
    until: str
    size: int
    held: tuple[Hold, ...] = ()
    waits: bool = False
    problem: str = ""

    @property
    def subject(self) -> str:
        """As the record of its deletion names it, which verification reads."""
        return f"{self.path.parent.name}/{self.path.name}:{self.last}"

    def __str__(self) -> str:
        """For people and for the record."""
        if self.problem:
            return f"it and all after it stay: {self.problem}"
        words = f"{self.size} bytes of records up to {self.until}"
        if self.held:
            return f"{words}; kept by {', '.join(sorted({hold.id for hold in self.held}))}"
        return f"{words}; waits for its copy" if self.waits else words


def due_segments(
    audit: Path,
    days: int,
    today: date,
    holds: tuple[Hold, ...] = (),
    *,
    copied: Callable[[str], int] | None = None,
    patience: int = 0,
) -> Iterator[DueSegment]:
    """What goes after ``days`` whole days, of each log up to the first that stays; raises LedgerError and OSError.

    ``copied`` says up to which record a log has copies; without one a segment stays for ``patience`` days more.
    """
    for directory in writers(audit):
        if not directory.name.startswith(LOGS):
            continue
        sealed = _sealed(directory)
        for path, following in pairwise(listing(directory)):
            first, last, number, problem = _days(path, first_of(following), str(later(today, 1)))
            ends = later(date.fromisoformat(first if problem else last), 1 + days)
            if ends > today:
                break
            if problem:
                yield DueSegment(path, number, first, last, path.stat().st_size, problem=problem)
                break
            if number > sealed - sealed % WIDTH:
                break
            alone = copied is not None and copied(directory.name) < number
            waits = alone and today < later(ends, patience)
            one = spared(DueSegment(path, number, first, last, path.stat().st_size, waits=waits), holds)
            yield one
            if one.held or waits:
                break


def spared(one: DueSegment, holds: tuple[Hold, ...]) -> DueSegment:
    """The same with the holds on its days: of any owner and model, for a segment has records of all."""
    return replace(one, held=tuple(hold for hold in holds if hold.since <= one.until and one.since <= hold.until))


def delete_segment(one: DueSegment, disk: Disk = _HERE) -> None:
    """Delete it, durably; raises OSError."""
    disk.remove(one.path)


def _sealed(directory: Path) -> int:
    note = read_head(directory)
    try:
        return 0 if note is None else parse_checkpoint(note.text).size
    except NoteError:
        return 0  # verification names it; nothing is deleted under a head that is none


def _days(path: Path, following: int, tomorrow: str) -> tuple[str, str, int, str]:
    """The first and last day of a segment's records, the last one's number, and what keeps it from going.

    Where that is so, the first day is that of what can be read, or one long ago if nothing can: it is told in time.
    """
    reader, number, problem = SegmentReader(path), 0, ""
    first, last = float("inf"), float("-inf")
    for frame in reader.read():
        number = frame.sequence
        try:
            record = decode(frame.kind, frame.payload)
        except RecordError as error:
            problem = problem or f"record {number}: {error}"
            continue
        first, last = min(first, record.time), max(last, record.time)
    if reader.end is not End.COMPLETE and not (reader.end is End.TORN and number == following - 1):
        problem = problem or f"damaged at offset {reader.offset} ({reader.end.value})"
    if first > last:
        return str(date.min), str(date.min), number, problem or "it has no record that can be read"
    begins, ends = day_of(first), day_of(last)
    if ends > tomorrow:
        problem = problem or f"a record is of {ends}, a day to come"
        begins = str(date.min) if begins > tomorrow else begins
    return begins, ends, number, problem
