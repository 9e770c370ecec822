"""The fleet log: every signed head of every writer, in a log of its own that is sealed as theirs are.

Its head stands for the whole host: who keeps one of them, or cosigns it, holds every writer's past to it. An entry is
a frame of kind 7 whose payload is the signed checkpoint as a note; its leaf is made as any record's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.directory import lock, prepare
from guard.audit.disk import Disk, LocalDisk
from guard.audit.frames import encode
from guard.audit.note import Key, Note, NoteError, parse_note, signed_by
from guard.audit.read import FLEET
from guard.audit.segments import Segment, SegmentReader, first_of, listing, name

HEAD_KIND: Final = 7
SEGMENT_BYTES: Final = 4 * 1024 * 1024
NEWEST: Final = 2  # segments that are looked through for the newest heads


class FleetLog:
    """Writes the heads; one process at a time. Never synced again after an error: the next head begins a segment."""

    def __init__(self, audit: Path, disk: Disk | None = None) -> None:
        """Lock the log's folder and find its end; raises LedgerError and OSError."""
        self.directory = audit / FLEET
        self._disk = disk or LocalDisk()
        prepare(self.directory)
        self._held = lock(self.directory)
        self._segment: Segment | None = None
        self._next = 1
        self.durable = 0
        # What a crash tore stays at the end of its segment: the next one goes on where the last whole head stands.
        for path in listing(self.directory)[-NEWEST:]:
            self._next = max(self._next, first_of(path) + 1)
            for frame in SegmentReader(path).read():
                self._next = frame.sequence + 1
        self.durable = self._next - 1

    def append(self, notes: list[Note]) -> None:
        """Write heads and wait until they are on the disk; raises OSError, and then none of them counts as written."""
        if self._segment is None or self._segment.size > SEGMENT_BYTES:
            self._close_segment()
            self._segment = self._begin()
        sequence, data = self._next, b""
        for note in notes:
            data += encode(HEAD_KIND, sequence, note.encode())
            sequence += 1
        try:
            self._segment.write(data)
            self._segment.sync()
        except OSError:
            # Some of it may be there after all: no sequence is used twice.
            self._next = sequence
            self._close_segment()
            raise
        self._next = sequence
        self.durable = sequence - 1

    def close(self) -> None:
        """Give the folder back."""
        self._close_segment()
        self._disk.close(self._held)

    def _begin(self) -> Segment:
        while True:
            try:
                return Segment(self._disk, self.directory / name(self._next))
            except FileExistsError:
                self._next += 1

    def _close_segment(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None


def entries(audit: Path, *, newest: bool = False, after: int = 0) -> Iterator[tuple[int, Note | str]]:
    """Every head ever signed with its sequence, oldest first, or what is wrong with it; raises OSError.

    With ``newest`` only those of the last two segments, with ``after`` only of segments with one behind that sequence.
    """
    paths = listing(audit / FLEET)
    begun = [path for path in paths if first_of(path) <= after + 1]
    for path in paths[-NEWEST if newest else max(0, len(begun) - 1) :]:
        for frame in SegmentReader(path).read():
            if frame.kind != HEAD_KIND:
                yield frame.sequence, f"kind {frame.kind} is no signed head"
                continue
            try:
                note = parse_note(frame.payload)
                parse_checkpoint(note.text)
            except NoteError as error:
                yield frame.sequence, str(error)
            else:
                yield frame.sequence, note


def last_heads(audit: Path, key: Key, after: int = 0) -> dict[str, Checkpoint]:
    """The newest head of each log that this key signed, as far as entries behind ``after`` tell; raises OSError."""
    last: dict[str, tuple[Checkpoint, Note]] = {}
    for _, note in entries(audit, after=after):
        if isinstance(note, Note):  # verification names what is none; here it only gives no floor
            head = parse_checkpoint(note.text)
            last[head.origin] = head, note
    found = {}
    for origin, (head, note) in last.items():
        with contextlib.suppress(NoteError):
            if signed_by(note, key):
                found[origin] = head
    return found
