"""Reading the ledger of all writers in order of time, following it as it grows, and finding one request in it.

One request is found by the segments' indexes, which readers make where they are missing; else what is not skipped by
what its index says is read, about a second per gigabyte and core. Readers take no lock and write no record. What cannot
be read is reported as Damage, in its place, and reading goes on in the next segment.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from guard.audit import records
from guard.audit.frames import End, Frame
from guard.audit.lookup import About, Request, about, locate
from guard.audit.segments import LedgerError, SegmentReader, describe, first_of, listing

ALWAYS = float("-inf")
FLEET = "fleet"  # the log of all writers' signed heads: no writer, and its entries are no records


@dataclass(frozen=True, slots=True)
class Entry:
    """One record and where it stands."""

    writer: str
    segment: str
    sequence: int
    record: records.Record


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no record, or records that are not there; ``offset`` is in bytes."""

    writer: str
    segment: str
    offset: int
    reason: str


Item = Entry | Damage


@dataclass(frozen=True, slots=True)
class Found:
    """All there is about one request; ``damage`` is what may hide more of it."""

    intent: records.Intent | None
    parts: tuple[records.Part, ...]
    outcome: records.Outcome | None
    recovered: tuple[records.Recovered, ...]
    damage: tuple[Damage, ...]


@dataclass(slots=True)
class _Tail:
    """Where reading one writer's directory stands; ``time`` only grows, so that writers can be merged by it."""

    directory: Path
    skips: Callable[[About], bool] | None = None
    last: int = 0
    time: float = ALWAYS
    expected: int = 0
    reader: SegmentReader | None = None

    def read(self) -> Iterator[tuple[float, Item]]:
        """What came since the last call, each with its place in time."""
        # Listed before reading: whatever is not the newest now gets no more bytes.
        paths = listing(self.directory)
        if self.reader is None and self.last:
            paths = paths[_holding(paths, self.last) :]
        done = self.reader.path.name if self.reader else ""
        for path in [path for path in paths if path.name >= done]:
            if self.reader is None or self.reader.path != path:
                if self.reader is not None:
                    yield from self._close(self.reader)
                first = first_of(path)
                if 0 < self.expected < first:
                    missing = f"records {self.expected} to {first - 1} are missing before it"
                    yield self.time, Damage(self.directory.name, path.name, 0, missing)
                self.expected = first + 1  # an empty segment has used up its name
                self.reader = self._enter(path, sealed=path is not paths[-1])
            yield from self._segment(self.reader, sealed=path is not paths[-1])

    def _enter(self, path: Path, *, sealed: bool) -> SegmentReader:
        """Begin to read it, at its end if nobody wants what it is about."""
        found = about(path) if sealed and self.skips is not None else None
        if found is None or self.skips is None or not self.skips(found):
            return SegmentReader(path, passing=True)
        self.expected = found.last + 1
        return SegmentReader(path, found.end, found.last + 1, passing=True)

    def _segment(self, reader: SegmentReader, *, sealed: bool) -> Iterator[tuple[float, Item]]:
        was, passed = reader.end, len(reader.lost)
        try:
            for frame in reader.read(whole=sealed):
                for lost in reader.lost[passed:]:
                    yield self.time, Damage(self.directory.name, reader.path.name, lost.offset, lost.end.value)
                passed = len(reader.lost)
                self.expected = frame.sequence + 1
                yield self._item(reader.path.name, frame)
        except FileNotFoundError:
            return  # a segment that could not be begun is removed again
        except OSError as error:
            raise LedgerError(f"{reader.path}: {describe(error)}") from error
        if reader.end is not was and reader.end not in {End.COMPLETE, End.TORN}:
            yield self.time, Damage(self.directory.name, reader.path.name, reader.offset, reader.end.value)

    def _close(self, reader: SegmentReader) -> Iterator[tuple[float, Item]]:
        # The newest segment may end in the middle of a record because it is being written, an older one may not.
        if reader.end is End.TORN:
            yield self.time, Damage(self.directory.name, reader.path.name, reader.offset, reader.end.value)

    def _item(self, segment: str, frame: Frame) -> tuple[float, Item]:
        item = _decoded(self.directory.name, segment, frame)
        if isinstance(item, Entry):
            self.time = max(self.time, item.record.time)
        return self.time, item


def _decoded(writer: str, segment: str, frame: Frame) -> Item:
    try:
        return Entry(writer, segment, frame.sequence, records.decode(frame.kind, frame.payload))
    except records.RecordError as error:
        return Damage(writer, segment, frame.offset, str(error))


def writers(audit: Path) -> list[Path]:
    """The writers' directories; raises LedgerError when there is no audit directory or it cannot be read."""
    try:
        return sorted(path for path in audit.iterdir() if path.is_dir() and path.name != FLEET)
    except OSError as error:
        raise LedgerError(f"{audit}: {describe(error)}") from error


def _holding(paths: list[Path], last: int) -> int:
    """Which segment to begin with to read the last so many records, whatever the newest segment still gets."""
    upto = first_of(paths[-1]) - last if paths else 0
    return max(0, sum(first_of(path) <= upto for path in paths) - 1)


def iter_records(
    audit: Path, since: float = ALWAYS, skips: Callable[[About], bool] | None = None, last: int = 0
) -> Iterator[Item]:
    """Everything written at or after ``since`` (seconds since the epoch), by time, each writer's in its own order.

    Sealed segments that ``skips`` says yes to, by default those that end before ``since``, are not read; it is asked
    when their turn has come. With ``last``, segments before each writer's last so many records are not read either.
    Damage of what is read is reported whenever it was, for what it hides has no time. Raises LedgerError.
    """
    return _merged([_Tail(directory, skips or _before(since), last) for directory in writers(audit)], since)


def follow(audit: Path, wait: Callable[[], bool], since: float = ALWAYS) -> Iterator[Item]:
    """As `iter_records`, then ``wait`` and what came meanwhile, until ``wait`` returns False."""
    tails: dict[Path, _Tail] = {}
    while True:
        for directory in writers(audit):
            tails.setdefault(directory, _Tail(directory, _before(since)))
        yield from _merged(list(tails.values()), since)
        if not wait():
            return


def search(audit: Path, request: str, passed: Callable[[int], None] = lambda _: None) -> Iterator[Item]:
    """Every record of one request id, by time, and whatever damage may hide more of them; raises LedgerError.

    ``passed`` is told of the bytes of segments that are done with.
    """
    wanted = Request(request)
    found = [_located(directory, wanted, passed) for directory in writers(audit)]
    for _, item in heapq.merge(*found, key=lambda timed: timed[0]):
        if isinstance(item, Damage) or (
            not isinstance(item.record, records.Opened | records.Control) and item.record.id == request
        ):
            yield item


def _located(directory: Path, wanted: Request, passed: Callable[[int], None]) -> Iterator[tuple[float, Item]]:
    """What one writer has of it, each with its place in time."""
    time, expected = ALWAYS, 0
    paths = listing(directory)
    for path in paths:
        first, sealed = first_of(path), path is not paths[-1]
        if 0 < expected < first:
            yield time, Damage(directory.name, path.name, 0, f"records {expected} to {first - 1} are missing before it")
        found = locate(path, wanted, sealed=sealed)
        for frame in found.frames:
            item = _decoded(directory.name, path.name, frame)
            if isinstance(item, Entry):
                time = max(time, item.record.time)
            yield time, item
        if found.end is not End.COMPLETE and (sealed or found.end is not End.TORN):
            yield time, Damage(directory.name, path.name, found.offset, found.end.value)
        expected = found.last + 1
        passed(found.offset)


def find(audit: Path, request: str) -> Found:
    """Intent, parts and outcome of one request id, whatever is there; raises LedgerError."""
    items = list(search(audit, request))
    found = [item.record for item in items if isinstance(item, Entry)]
    damage = [item for item in items if isinstance(item, Damage)]
    return Found(
        next((one for one in found if isinstance(one, records.Intent)), None),
        tuple(one for one in found if isinstance(one, records.Part)),
        # One that was on record before its last words had left may be followed by how it ended after all.
        next((one for one in reversed(found) if isinstance(one, records.Outcome)), None),
        tuple(one for one in found if isinstance(one, records.Recovered)),
        tuple(damage),
    )


def _before(since: float) -> Callable[[About], bool] | None:
    """Skip what ended before it; without a beginning nothing need be asked."""
    return None if since == ALWAYS else lambda about: about.latest < since


def _merged(tails: list[_Tail], since: float) -> Iterator[Item]:
    for _, item in heapq.merge(*(tail.read() for tail in tails), key=lambda timed: timed[0]):
        if isinstance(item, Damage) or item.record.time >= since:
            yield item
