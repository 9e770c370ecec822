"""What sealing reads, kept for the index: so each segment is read, checked and unpacked once for both.

Of one writer's log it holds what came since the last run of an index was written: of the segment that is read now, and
of the one before until that is indexed too. It is a hint as the index is: where something is missing here, the segment
is read again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from guard.audit.frames import Frame
from guard.audit.index import Index, StaleIndexError
from guard.audit.indexing import Collected, bound
from guard.audit.segments import first_of

MOST_BYTES: Final = 16 * 1024 * 1024  # of a segment, not yet indexed; what is beyond is read from it later


class Gathered:
    """What was read of one log and is in no index yet; from one thread."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._name = ""
        self._found: Collected | None = None
        self._before: tuple[str, Collected | None] = ("", None)

    def begin(self, segment: Path) -> None:
        """Go on with this segment, from its first byte; the one before is read to its end."""
        self._before = self._name, self._found
        self._name, self._found = segment.name, _beyond_index(segment)

    def take(self, frames: Sequence[Frame]) -> None:
        """Take in the next frames of the segment, in their order."""
        found = self._found
        if found is None:
            return
        if frames and frames[0].offset < found.end:  # the index has them
            frames = [frame for frame in frames if frame.offset >= found.end]
        if not frames:
            return
        follows = (frames[0].sequence, frames[0].offset) == (found.last + 1, found.end)
        self._found = None
        if follows and found.end - found.begin <= MOST_BYTES:
            # Whatever a worker wrote, it must not keep any log from being sealed.
            with contextlib.suppress(Exception):
                found.take(frames)
                self._found = found

    def growing(self, segment: Path) -> Collected | None:
        """What there is of the segment that is read now."""
        return self._found if segment.name == self._name else None

    def sealed(self, segment: Path) -> Collected | None:
        """What there is of the segment that was read before, to its end."""
        name, found = self._before
        return found if segment.name == name else None

    def indexed(self, segment: Path) -> None:
        """Keep nothing that the segment's index may have now."""
        if segment.name == self._name:
            self._found = _beyond_index(segment)
        elif segment.name == self._before[0]:
            self._before = ("", None)


def _beyond_index(segment: Path) -> Collected:
    first, begin = first_of(segment), 0
    with contextlib.suppress(OSError, StaleIndexError), Index(segment) as index:
        reach = bound(segment, index)
        if reach is not None:
            first, begin = reach[0].last + 1, reach[0].end
    return Collected(first, begin)
