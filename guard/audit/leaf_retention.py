"""Deleting records whose own time is over: whole segments, oldest first; the hash of each record stays in the tiles.

So every signed head and every proof made before still holds, and what is gone can be read by nobody. Only the logs of
workers, which hold requests: what was done to the guard, deletions among it, is kept. A segment goes when its youngest
record is old enough, all of it is sealed, and nothing of the tree's right edge has to be made from it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
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
from guard.audit.segments import SegmentReader, listing
from guard.audit.tiles import WIDTH

LOGS: Final = "worker-"
_HERE: Final = LocalDisk()


@dataclass(frozen=True, slots=True)
class DueSegment:
    """A segment whose time is over; ``held`` and ``waits`` (for a copy) say why it stays nevertheless."""

    path: Path
    last: int
    since: str
    until: str
    size: int
    held: tuple[Hold, ...] = ()
    waits: bool = False

    @property
    def subject(self) -> str:
        """As the record of its deletion names it, which verification reads."""
        return f"{self.path.parent.name}/{self.path.name}:{self.last}"

    def __str__(self) -> str:
        """For people and for the record."""
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
        for path in listing(directory)[:-1]:
            first, last, number = _days(path)
            if not last or number > sealed - sealed % WIDTH:
                break
            ends = date.fromisoformat(last) + timedelta(days=1 + days)
            if ends > today:
                break
            alone = copied is not None and copied(directory.name) < number
            waits = alone and today < ends + timedelta(days=patience)
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


def _days(path: Path) -> tuple[str, str, int]:
    """The first and last day of a segment's records and the last one's number; empty for one with damage."""
    reader, number = SegmentReader(path), 0
    times: list[float] = []
    for frame in reader.read():
        number = frame.sequence
        try:
            record = decode(frame.kind, frame.payload)
        except RecordError:
            return "", "", 0
        times = [min([*times, record.time]), max([*times, record.time])]
    if not times or reader.end is not End.COMPLETE:
        return "", "", 0
    return day_of(times[0]), day_of(times[1]), number
