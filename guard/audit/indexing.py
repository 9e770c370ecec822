"""Making the indexes of segments: run by run while one is written, whole once it is sealed, and anew when one is lost.

It is the supervisor's work, in the thread that seals; whoever searches a sealed segment without an index makes it too.
Nothing waits for it and nothing relies on it: without an index a segment is read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from guard.audit.disk import DIRECTORY_MODE, FILE_MODE
from guard.audit.frames import HEADER, Frame
from guard.audit.index import (
    MOST_VALUES,
    Facts,
    Index,
    Span,
    StaleIndexError,
    encode,
    entry,
    key_of,
    offset_of,
    path_of,
)
from guard.audit.part_leaf import about
from guard.audit.records import Kind
from guard.audit.segments import SegmentReader, first_of

STRIDE_BYTES: Final = 1024 * 1024  # of a growing segment; what is not indexed yet is read by every search
MOST_RUNS: Final = 8  # of an index; a lookup asks each


class _Named(msgspec.Struct):
    """What an index takes from a record of any kind."""

    time: float
    id: str = ""
    model: str = ""
    key: str = ""
    owner: str = ""
    tier: str = ""


_DECODER: Final = msgspec.json.Decoder(_Named)
_VALUES: Final = ("model", "key", "owner", "tier")


def bound(segment: Path, index: Index) -> tuple[Span, int] | None:
    """How far an index reaches and how long its segment is, in bytes; None if it is not about this very file.

    Raises OSError.
    """
    span = index.last
    if span is None:
        return None
    descriptor = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        return (span, size) if size >= span.end and os.pread(descriptor, HEADER, span.at) == span.tail else None
    finally:
        os.close(descriptor)


class Collected:
    """What a run is made of, frame by frame; the first frame that cannot be understood ends it."""

    def __init__(self, first: int, begin: int) -> None:
        """Begin with the frame ``first`` at the offset ``begin``."""
        self._first, self._begin = first, begin
        self._last, self._end = first - 1, begin
        self._at = begin
        self._earliest, self._latest = float("inf"), float("-inf")
        self._entries: list[bytes] = []
        self._values: dict[str, set[str]] = {name: set() for name in _VALUES}
        self._keys: dict[str | bytes, bytes] = {}  # by the id, as its hex digits or as they are packed
        self.whole = True

    @property
    def begin(self) -> int:
        """The offset at which it began."""
        return self._begin

    @property
    def end(self) -> int:
        """The offset up to which it has come."""
        return self._end

    @property
    def last(self) -> int:
        """The sequence of the last frame, the one before the first if there is none."""
        return self._last

    def follows(self, last: int, end: int) -> bool:
        """Tell whether it begins right after a frame of this sequence that ends at this offset."""
        return (self._first, self._begin) == (last + 1, end)

    def take(self, frames: Iterable[Frame]) -> None:
        """Take the next frames in, in their order."""
        if not self.whole:
            return
        entries, keys, newest = self._entries, self._keys, None
        earliest, latest = self._earliest, self._latest
        for frame in frames:
            one: str | bytes
            if frame.packed and frame.kind == Kind.PART:  # what its JSON would say, and most frames are of this kind
                time, one = about(frame.packed)
            else:
                named = _named(frame)
                if named is None:
                    self.whole = False
                    break
                time, one = named.time, named.id
                if frame.kind == Kind.INTENT:
                    for name in _VALUES:
                        self._values[name].add(getattr(named, name))
            if one:
                key = keys.get(one)
                if key is None:
                    key = keys[one] = key_of(one if isinstance(one, str) else one.hex())
                entries.append(entry(key, frame.offset))
            earliest, latest = min(earliest, time), max(latest, time)
            newest = frame
        if newest is not None:
            self._earliest, self._latest = earliest, latest
            self._last, self._at, self._end = newest.sequence, newest.offset, newest.offset + newest.size

    def run(self, segment: Path) -> bytes:
        """The run, empty if there is no frame to index; raises OSError, and ValueError for too long a segment."""
        if self._last < self._first:
            return b""
        with segment.open("rb") as file:
            file.seek(self._at)
            tail = file.read(HEADER)
        span = Span(self._first, self._last, self._begin, self._end, self._at, tail, self._earliest, self._latest)
        return encode(span, sorted(self._entries), self._facts())

    def joined(self, before: Index) -> Collected:
        """This after all the runs of an index, as one; raises StaleIndexError and OSError."""
        entries, facts = before.entries(), before.facts()
        self._entries += entries
        for name in _VALUES:
            known: frozenset[str] | None = getattr(facts, name)
            self._values[name] |= known if known is not None else {str(each) for each in range(MOST_VALUES + 1)}
        spans = [run.span for run in before.runs]
        self._earliest = min(self._earliest, *(span.earliest for span in spans))
        self._latest = max(self._latest, *(span.latest for span in spans))
        if self._last < self._first:
            self._last, self._at, self._end = spans[-1].last, spans[-1].at, spans[-1].end
        self._first, self._begin = spans[0].first, spans[0].begin
        return self

    def beyond(self, index: Index, *, whole: bool) -> bool:
        """Tell whether there is more here than in an index; raises StaleIndexError and OSError.

        What it says of times and values counts only if it is about the whole segment.
        """
        spans = [run.span for run in index.runs]
        known = set(index.entries())
        if any(each not in known for each in self._entries if offset_of(each) < spans[-1].end):
            return True
        if not whole:
            return False
        facts = index.facts()
        told = {name: getattr(facts, name) for name in _VALUES}
        return (
            min(span.earliest for span in spans) > self._earliest
            or max(span.latest for span in spans) < self._latest
            or spans[-1].last < self._last
            or any(given is not None and not self._values[name] <= given for name, given in told.items())
        )

    def _facts(self) -> Facts:
        given = {name: frozenset(found) if len(found) <= MOST_VALUES else None for name, found in self._values.items()}
        return Facts(**given)


_KINDS: Final = frozenset(Kind)


def _named(frame: Frame) -> _Named | None:
    try:
        named = _DECODER.decode(frame.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return named if frame.kind in _KINDS else None


def index_sealed(segment: Path, known: Collected | None = None) -> None:
    """Make the index of a segment that nobody writes any more, one run, unless it has one that is whole.

    ``known`` is what was read of it to its end, or of what its index lacks; it is used up. Raises OSError, and
    ValueError for a segment that is too long to have one.
    """
    with contextlib.suppress(FileNotFoundError, StaleIndexError), Index(segment) as index:
        reach = bound(segment, index)
        if reach is not None:
            last, size = reach
            if last.end == size and len(index.runs) == 1:
                index.entries()
                index.facts()
                return
            rest = _rest(segment, last.last + 1, last.end, known)
            put(segment, rest.joined(index).run(segment))
            return
    put(segment, _rest(segment, first_of(segment), 0, known).run(segment))


def _rest(segment: Path, first: int, begin: int, known: Collected | None) -> Collected:
    """All from the frame ``first`` at ``begin`` on: what is known, if it is that, or it is read."""
    if known is not None and known.follows(first - 1, begin):
        return known
    found = Collected(first, begin)
    found.take(SegmentReader(segment, begin, first).read())
    return found


def hides(segment: Path, found: Collected) -> bool:
    """Tell whether an index that would be believed keeps anything of this from a search.

    ``found`` is what was read of the whole segment. No damage does that, only somebody who wants it.
    """
    with contextlib.suppress(OSError, StaleIndexError), Index(segment) as index:
        reach = bound(segment, index)
        return reach is not None and found.beyond(index, whole=reach[0].end == reach[1])
    return False


def put(segment: Path, run: bytes) -> None:
    """Replace a segment's index by this one run; raises OSError."""
    path = path_of(segment)
    path.parent.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    _write(draft, run, os.O_TRUNC)
    draft.replace(path)


def grow(segment: Path, stride: int = STRIDE_BYTES, known: Collected | None = None) -> int:
    """Index what was added to a segment that is written, if it is a stride or more; returns how many bytes that was.

    ``known`` is what was read of it already: if it is what the index lacks, no more is read, and it is used up unless
    it is less than a stride. Raises OSError, and ValueError for a segment that is too long to be indexed.
    """
    first, begin, whole = first_of(segment), 0, 0
    with contextlib.suppress(FileNotFoundError, StaleIndexError), Index(segment) as index:
        reach = bound(segment, index)
        if reach is not None:
            first, begin, whole = reach[0].last + 1, reach[0].end, index.runs[-1].size
            if len(index.runs) >= MOST_RUNS and _reach(reach[1], first, begin, known) - begin >= stride:
                found = _rest(segment, first, begin, known)
                read = found.end - begin
                put(segment, found.joined(index).run(segment))
                return read
    if _reach(segment.stat().st_size, first, begin, known) - begin < stride:
        return 0
    found = _rest(segment, first, begin, known)
    run = found.run(segment)
    if run and not whole:
        put(segment, run)
    elif run:
        os.truncate(path_of(segment), whole)  # half a run that a kill left would hide what follows it
        _write(path_of(segment), run, os.O_APPEND)
    return found.end - begin


def _reach(size: int, first: int, begin: int, known: Collected | None) -> int:
    return known.end if known is not None and known.follows(first - 1, begin) else size


def _write(path: Path, data: bytes, flag: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
