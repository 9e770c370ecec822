"""The files of a ledger: how segments are named, found, read and written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guard.audit.disk import Disk
from guard.audit.frames import MAX_PAYLOAD, End, Frame, Scanner, resync

CHUNK = 1024 * 1024
MAX_REST = 4 * MAX_PAYLOAD  # of a segment behind damage
_NAME = re.compile(r"seg-([0-9]{20})\.log")


class LedgerError(Exception):
    """A ledger's directory cannot be used; the message names it and says why."""


def name(first: int) -> str:
    """The file name of the segment whose first record has this sequence."""
    return f"seg-{first:020d}.log"


def first_of(path: Path) -> int:
    """The sequence in a segment's name."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise ValueError(f"{path.name} is not the name of a segment")
    return int(found[1])


def listing(directory: Path) -> list[Path]:
    """The segments of one writer, oldest first; an empty list when there is no such directory."""
    try:
        found = [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda path: path.name)


@dataclass(frozen=True, slots=True)
class Lost:
    """Damage that whole frames follow: its offset, what is wrong there, and which sequences are not there for it.

    ``last`` is below ``first`` where bytes were put between two frames and none is missing.
    """

    offset: int
    end: End
    first: int
    last: int


def pass_damage(path: Path, scanner: Scanner) -> tuple[Lost, Scanner] | None:
    """What a scan of a segment stands at, and a scan from the next whole frame on; None where none follows.

    A newer version's frame is no damage. Reads the rest of the segment; raises OSError.
    """
    if scanner.end in {End.COMPLETE, End.VERSION}:
        return None
    with path.open("rb") as file:
        file.seek(scanner.offset)
        data = file.read(MAX_REST)
    # Where the frame is the expected one and only what it holds is damaged, the next one begins behind it.
    found = resync(data, scanner.expected, begin=0 if scanner.end is End.SEQUENCE else 1)
    if found is None:
        return None
    at, sequence = found
    lost = Lost(scanner.offset, scanner.end, scanner.expected, sequence - 1)
    return lost, Scanner(sequence, scanner.offset + at)


class SegmentReader:
    """Reads a segment from its beginning, also while it grows; holds no descriptor between calls.

    ``offset`` is the end of the last whole frame and ``end`` why nothing follows it yet, or ever. ``lost`` is the
    damage that was passed, if it passes any.
    """

    def __init__(self, path: Path, begin: int = 0, first: int = 0, *, passing: bool = False) -> None:
        """Take the file; its first record must have the sequence of its name.

        With ``begin`` it reads from that offset on, where the record ``first`` begins. With ``passing`` it goes on
        behind damage, at the next whole frame.
        """
        self.path = path
        self.lost: list[Lost] = []
        self._scanner = Scanner(first or first_of(path), begin)
        self._position = begin
        self._passing = passing
        self._searched = -1

    def read(self, *, whole: bool = False) -> Iterator[Frame]:
        """The whole frames that came since the last call; raises OSError.

        ``whole`` says that no more will come, so that half a frame is damage too.
        """
        while True:
            with self.path.open("rb") as file:
                file.seek(self._position)
                while data := file.read(CHUNK):
                    self._position += len(data)
                    yield from self._scanner.feed(data)
            if not self._passing or not self._pass(whole=whole):
                return

    def _pass(self, *, whole: bool) -> bool:
        # Without new bytes a search finds nothing new.
        if self._searched == self._position or (self.end is End.TORN and not whole):
            return False
        found = pass_damage(self.path, self._scanner)
        if found is None:
            self._searched = self._position
            return False
        lost, self._scanner = found
        self.lost.append(lost)
        self._position = self._scanner.offset
        return True

    @property
    def offset(self) -> int:
        """Where the last whole frame ends, in bytes."""
        return self._scanner.offset

    @property
    def end(self) -> End:
        """Why the scan stands there."""
        return self._scanner.end

    @property
    def expected(self) -> int:
        """The sequence of the frame that must come next."""
        return self._scanner.expected


class Segment:
    """The segment being written; ``dead`` says what failed, and nothing is written to or synced in it after that."""

    __slots__ = ("_descriptor", "_disk", "dead", "fresh", "path", "size")

    def __init__(self, disk: Disk, path: Path) -> None:
        """Create the file; raises OSError, FileExistsError among them."""
        self._disk = disk
        self._descriptor = disk.create(path)
        self.path = path
        self.size = 0
        self.dead = ""
        self.fresh = True

    def write(self, data: bytes) -> None:
        """Append all of it, in as many writes as it takes; raises OSError."""
        done = self._disk.write(self._descriptor, data)
        if done < len(data):
            rest = memoryview(data)
            while done < len(data):
                wrote = self._disk.write(self._descriptor, rest[done:])
                if wrote <= 0:
                    raise OSError(0, "the file took no bytes")
                done += wrote
        self.size += len(data)

    def sync(self) -> None:
        """Make what was written durable, the first time the directory's entry as well; raises OSError."""
        written = self.size
        self._disk.fdatasync(self._descriptor)
        if self.fresh:
            self._disk.sync_directory(self.path.parent)
            self.fresh = False
        # A file that was removed or cut takes writes and syncs without complaint, and is lost (C1, Vault #31718).
        links, size = self._disk.standing(self._descriptor)
        if links == 0:
            raise OSError(0, "the segment was removed")
        if size < written:
            raise OSError(0, f"the segment was cut: it has {size} bytes of {written}")

    def close(self) -> None:
        """Give the descriptor back without syncing; an error cannot matter any more."""
        try:
            self._disk.close(self._descriptor)
        except OSError as error:
            self.dead = self.dead or describe(error)


def describe(error: Exception) -> str:
    """What went wrong in the operating system's words, without the path."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
