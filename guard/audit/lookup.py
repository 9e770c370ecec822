"""The records of one request in one segment: by its index where it has one, else by reading all of it.

An index is asked only where a record may lie. What it names is read and checked like any record; one that is missing,
damaged or of another file is worth nothing, and then the segment is read as if there were none.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from guard.audit import frames
from guard.audit.frames import End, Frame
from guard.audit.index import Facts, Index, StaleIndexError, key_of
from guard.audit.indexing import bound, index_sealed
from guard.audit.records import RecordError, decode
from guard.audit.segments import LedgerError, SegmentReader, describe, first_of


@dataclass(frozen=True, slots=True)
class Located:
    """Frames that may be of a request, ``last`` the sequence of the segment's last whole frame, and why none follows.

    ``end`` at ``offset`` is damage unless it is COMPLETE, or TORN while the segment is written.
    """

    frames: tuple[Frame, ...]
    last: int
    offset: int
    end: End


class Request:
    """What is looked for: a request's id, as it stands in records and in indexes."""

    def __init__(self, request: str) -> None:
        """Take the id."""
        self.id = request
        self.key = key_of(request)
        self.needle: bytes = msgspec.json.encode(request.encode(errors="replace").decode())


@dataclass(frozen=True, slots=True)
class About:
    """What the whole of a sealed segment is about: its last record, its end in bytes, its times, who asked for what."""

    last: int
    end: int
    earliest: float
    latest: float
    facts: Facts


def about(segment: Path) -> About | None:
    """What its index says, None where that is not known of all of it. Never raises OSError."""
    try:
        with Index(segment) as index:
            reach = bound(segment, index)
            if reach is None or reach[0].end != reach[1]:
                return None
            span = reach[0]
            spans = [run.span for run in index.runs]
            earliest, latest = min(one.earliest for one in spans), max(one.latest for one in spans)
            return About(span.last, span.end, earliest, latest, index.facts())
    except (StaleIndexError, OSError):
        return None


def locate(segment: Path, request: Request, *, sealed: bool) -> Located:
    """Find it; a sealed segment without an index gets one, if that can be written. Raises LedgerError."""
    try:
        found = _indexed(segment, request, sealed=sealed)
        if found is None and sealed:
            found = _indexing(segment, request)
        return found or _scanned(segment, request, sealed=sealed)
    except FileNotFoundError:
        return Located((), first_of(segment), 0, End.COMPLETE)  # one that could not be begun is removed again
    except OSError as error:
        raise LedgerError(f"{segment}: {describe(error)}") from error


def _scanned(segment: Path, request: Request, begin: int = 0, first: int = 0, *, sealed: bool) -> Located:
    reader = SegmentReader(segment, begin, first, passing=True)
    found, last = [], (first or first_of(segment)) - 1
    for frame in reader.read(whole=sealed):
        last = frame.sequence
        if request.needle in frame.payload:
            found.append(frame)
    stands = reader.lost[0] if reader.lost else reader
    return Located(tuple(found), max(last, first_of(segment)), stands.offset, stands.end)


def _indexed(segment: Path, request: Request, *, sealed: bool) -> Located | None:
    try:
        with Index(segment) as index:
            reach = bound(segment, index)
            if reach is None:
                return None
            span, size = reach
            offsets = list(index.offsets(request.key))
        found = tuple(_named(segment, offsets, request, span.last)) if offsets else ()
    except (StaleIndexError, OSError):
        return None
    if size == span.end:
        return Located(found, span.last, span.end, End.COMPLETE)
    rest = _scanned(segment, request, span.end, span.last + 1, sealed=sealed)
    return Located((*found, *rest.frames), rest.last, rest.offset, rest.end)


def _named(segment: Path, offsets: list[int], request: Request, last: int) -> list[Frame]:
    """The frames that an index names, each read and checked; raises StaleIndexError where one is not as it says."""
    found = []
    descriptor = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for offset in offsets:
            head = os.pread(descriptor, frames.HEADER, offset)
            body = os.pread(descriptor, frames.payload_length(head), offset + len(head))
            cut = frames.scan(head + body)
            if cut.end is not End.COMPLETE or not cut.frames:
                raise StaleIndexError
            (frame,) = cut.frames
            record = decode(frame.kind, frame.payload)
            one = getattr(record, "id", "")
            if not first_of(segment) <= frame.sequence <= last or key_of(one) != request.key:
                raise StaleIndexError
            if one == request.id:  # else another id of the same key
                found.append(Frame(frame.kind, frame.sequence, offset, frame.payload, frame.size))
    except RecordError:
        raise StaleIndexError from None
    finally:
        os.close(descriptor)
    return found


def _indexing(segment: Path, request: Request) -> Located | None:
    """Make the index and use it; None where it cannot be written, or cannot cover the segment."""
    with contextlib.suppress(OSError, ValueError, StaleIndexError):
        if segment.parent.stat().st_uid != os.geteuid():
            return None  # a file of another owner would be in the guard's own way
        index_sealed(segment)
        return _indexed(segment, request, sealed=True)
    return None
