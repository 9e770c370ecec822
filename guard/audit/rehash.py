"""Hashing one log anew, from its first record to its last, and comparing it with its tiles and every signed head.

What is compared: each frame's checksum and sequence, each tile of every level, the root at every size that was ever
signed. A record that differs is named exactly while its tile is authentic, which the signed root shows; where tiles
were changed with the records, the heads before and after still enclose it, most often within one second of records.
An index must not keep from a search what stands in its segment. It is one file because all of it is one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from guard.audit.checkpoint import Checkpoint
from guard.audit.findings import Expected, Finding, Place, Rehashed
from guard.audit.frames import End, Frame
from guard.audit.index import path_of
from guard.audit.indexing import Collected, hides
from guard.audit.records import Control, Kind, RecordError, decode
from guard.audit.segments import CHUNK, LedgerError, Lost, SegmentReader, describe, first_of, listing
from guard.audit.tiles import HEIGHT, WIDTH, TileError, TileReader, split, tile_path, tile_width
from guard.audit.tree import VOID, Frontier, complete_root, leaf_hash, root

RETAINED: Final = "retain"
MAX_FINDINGS: Final = 100
_ENDS: Final = frozenset((Kind.OUTCOME, Kind.RECOVERED))


class _Named(msgspec.Struct):
    id: str = ""


_NAMED: Final = msgspec.json.Decoder(_Named)


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where a segment, or what is whole of it, ends, and why nothing follows there."""

    offset: int
    end: End


@dataclass(frozen=True, slots=True)
class _Differs:
    """A tile that does not hold what the records give; of its first difference, the level, index and record."""

    place: Place
    level: int
    index: int
    what: str


def rehash(
    directory: Path,
    head: Checkpoint | None,
    expected: Sequence[Expected],
    progress: Callable[[int], None] = lambda _: None,
) -> Rehashed:
    """Read and judge one log; ``progress`` is told of bytes read. Raises LedgerError when it cannot be read."""
    return _Rehash(directory, head, expected, progress).run()


class _Rehash:
    def __init__(
        self, directory: Path, head: Checkpoint | None, expected: Sequence[Expected], progress: Callable[[int], None]
    ) -> None:
        self._directory = directory
        self._progress = progress
        self._signed = head.size if head is not None else 0
        self._head = head
        self._tiles = TileReader(directory, self._signed)
        self._found = Rehashed(directory.name, signed=self._signed)
        self._at: dict[int, list[Expected]] = {}
        for each in expected:
            self._at.setdefault(each.head.size, []).append(each)
        self._hiding: list[Path] = []
        self._frontier = Frontier()
        self._rows: list[list[bytes]] = [[]]
        # Of the leaves in the first row: where each record stands. The last head that held, and the record after it.
        self._places: list[Place] = []
        self._held = 0
        self._after: Place | None = None
        self._differs: list[_Differs] = []
        self._wrong: tuple[Expected, int, Place] | None = None

    def run(self) -> Rehashed:
        found = self._found
        last: tuple[Path, _Stand] | None = None
        for path in listing(self._directory):
            expected, first = self._frontier.size + 1, first_of(path)
            if first > expected:
                self._gap(expected, first, last)
            elif first < expected:
                place = Place(found.writer, path.name, 0, first)
                self._find(place, f"begins at record {first} again, though there were {expected - 1} before it")
                continue
            elif last is not None and last[1].end is not End.COMPLETE:
                found.notices.append(
                    f"{found.writer}/{last[0].name}: ends with bytes that are no record; nothing is missing after them"
                )
            last = path, self._segment(path)
        if last is not None and last[1].end is not End.COMPLETE and self._frontier.size >= self._signed:
            found.notices.append(f"{found.writer}/{last[0].name}: ends in the middle of a record ({last[1].end.value})")
        found.size = self._frontier.size
        if self._frontier.size < self._signed:
            self._short(last)
        self._judge()
        # Where records were changed, their index must differ too: they are what is to be named.
        for path in self._hiding if not found.findings else ():
            what = f"{path_of(path)} was changed to hide records from searches; remove it"
            self._find(Place(found.writer, path.name, 0, first_of(path)), what)
        return found

    def _segment(self, path: Path) -> _Stand:
        reader, passed, read = SegmentReader(path, passing=True), 0, 0
        collected = Collected(first_of(path), 0) if path_of(path).exists() else None
        try:
            for frame in reader.read(whole=True):
                for lost in reader.lost[passed:]:
                    self._passed(path, lost)
                passed = len(reader.lost)
                read += frame.size
                if read >= CHUNK:
                    self._progress(read)
                    read = 0
                self._record(path.name, frame)
                if collected is not None:
                    collected.take([frame])
            self._progress(path.stat().st_size - reader.offset + read)
            if collected is not None and hides(path, collected):
                self._hiding.append(path)
        except OSError as error:
            raise LedgerError(f"{path}: {describe(error)}") from error
        return _Stand(reader.offset, reader.end)

    def _passed(self, path: Path, lost: Lost) -> None:
        """Name damage that whole records follow: no crash leaves that, whether or not it was signed."""
        stand = path, _Stand(lost.offset, lost.end)
        if lost.last < lost.first:
            self._find(Place(self._found.writer, path.name, lost.offset, lost.first), _WORDS[lost.end])
        else:
            self._gap(lost.first, lost.last + 1, stand, damaged=True)

    def _record(self, segment: str, frame: Frame) -> None:
        found = self._found
        found.records += 1
        request, kind = "", frame.kind
        if kind == Kind.INTENT or kind in _ENDS:
            try:
                request = _NAMED.decode(frame.payload).id
            except (msgspec.DecodeError, UnicodeDecodeError):
                request = ""
            if kind == Kind.INTENT:
                found.open[request] = None
            else:
                found.open.pop(request, None)
        elif kind == Kind.CONTROL:
            self._control(frame)
        place = Place(found.writer, segment, frame.offset, frame.sequence, _kind(kind), request)
        self._leaf(leaf_hash(kind, frame.payload), place)

    def _control(self, frame: Frame) -> None:
        try:
            record = decode(frame.kind, frame.payload)
        except RecordError:
            return
        if isinstance(record, Control) and record.what == RETAINED:
            self._found.deleted.update(record.subject.split())

    def _leaf(self, leaf: bytes, place: Place) -> None:
        if self._after is None:
            self._after = place
        self._frontier.append(leaf)
        if self._frontier.size <= self._signed:
            self._places.append(place)
            self._rows[0].append(leaf)
            if len(self._rows[0]) == WIDTH:
                self._filled()
        if self._frontier.size in self._at:
            self._compare(self._at[self._frontier.size])

    def _compare(self, heads: Sequence[Expected]) -> None:
        root_here = self._frontier.root()
        for each in heads:
            self._found.heads += 1
            if each.head.root != root_here and self._wrong is None and self._after is not None:
                self._wrong = each, self._held, self._after
        if self._wrong is None:
            self._held, self._after = self._frontier.size, None

    def _filled(self) -> None:
        level = 0
        while level < len(self._rows) and len(self._rows[level]) == WIDTH:
            row = self._rows[level]
            self._tile(level, ((self._signed_so_far() >> HEIGHT * level) - 1) // WIDTH, row)
            if level + 1 == len(self._rows):
                self._rows.append([])
            self._rows[level + 1].append(complete_root(row))
            self._rows[level] = []
            level += 1
        self._places.clear()

    def _signed_so_far(self) -> int:
        return min(self._frontier.size, self._signed)

    def _tile(self, level: int, index: int, row: list[bytes]) -> None:
        """Compare a tile with what it should hold; remember the first record that differs."""
        try:
            tile = split(self._tiles.hashes(level, index))
        except TileError as error:
            if tile_width(level, index, self._signed) < WIDTH:
                # A power cut may take it; the next start makes it again from the records.
                self._found.notices.append(f"{error}; it follows from the records")
            else:
                self._differs.append(_Differs(Place(self._found.writer), -1, index, str(error)))
            return
        for at, (stored, made) in enumerate(zip(tile, row, strict=False)):
            if stored != made:
                place = self._places[at] if level == 0 else Place(self._found.writer)
                what = f"{self._directory / tile_path(level, index, len(tile))} has another hash at {at}"
                self._differs.append(_Differs(place, level, index, what))
                return

    def _gap(self, first: int, after: int, last: tuple[Path, _Stand] | None, *, damaged: bool = False) -> None:
        """Records that are not there: their leaves are the tiles', for the tree behind them to be judged."""
        missing = []
        for sequence in range(first, after):
            leaf = VOID
            if sequence <= self._signed:
                try:
                    leaf = self._tiles.leaf(sequence - 1)
                except TileError as error:
                    # Without a partial tile, which an old copy lacks, the number counts as unused; the root will tell.
                    if tile_width(0, (sequence - 1) // WIDTH, self._signed) == WIDTH:
                        self._differs.append(_Differs(Place(self._found.writer), -1, 0, str(error)))
            if leaf != VOID or sequence > self._signed or damaged:
                missing.append(sequence)
            self._leaf(leaf, Place(self._found.writer, "", 0, sequence))
        if missing:
            self._find(*self._gone(missing[0], last), gone=missing[-1])

    def _gone(self, first: int, last: tuple[Path, _Stand] | None) -> tuple[Place, str]:
        if last is not None and last[1].end is not End.COMPLETE:
            path, stand = last
            place = Place(self._found.writer, path.name, stand.offset, first)
            return place, _WORDS[stand.end]
        name = f"seg-{first:020d}.log" if last is None or first_of(last[0]) < first else ""
        return Place(self._found.writer, name, 0, first), "the segment is missing, or ends too early"

    def _short(self, last: tuple[Path, _Stand] | None) -> None:
        first = self._frontier.size + 1
        place, why = self._gone(first, last)
        if last is not None and last[1].end is End.COMPLETE:
            place = Place(self._found.writer, last[0].name, last[1].offset, first)
            why = f"the log ends here, but {self._signed} records were signed"
        self._find(place, why, gone=self._signed)

    def _judge(self) -> None:
        """Say what differs from what was signed: the records, or only the tiles that should prove them."""
        found = self._found
        if self._head is None:
            return
        self._rest()
        whole = self._frontier.size >= self._signed
        changed = next((each for each in self._differs if each.level == 0 and self._authentic(each.index)), None)
        if changed is not None:
            self._find(changed.place, "the record is not the one that was signed")
        elif self._wrong is not None:
            each, held, after = self._wrong
            where = f"one of the records {held + 1} to {each.head.size} is not the one that was signed"
            self._find(after, f"{where}: {each.source} has another root for {each.head.size} records")
        if self._wrong is None and whole:
            for differs in self._differs:
                self._find(Place(found.writer), f"the records are those that were signed, but {differs.what}")

    def _rest(self) -> None:
        """Compare the tiles of the right edge, as far as there are records for them."""
        for level, row in enumerate(self._rows):
            index = (self._signed_so_far() >> HEIGHT * level) // WIDTH
            if row and tile_width(level, index, self._signed) >= len(row):
                self._tile(level, index, row)

    def _authentic(self, index: int) -> bool:
        """Whether the root that was signed follows from this tile of leaves, so that it says what was recorded."""
        try:
            if self._head is None or root(self._signed, self._tiles.node) != self._head.root:
                return False
            # The root shows the partial tiles alone; a full one counts if each tile above it holds its hash.
            level = 0
            while tile_width(level, index, self._signed) == WIDTH:
                above = self._tiles.node(HEIGHT * (level + 1), index)
                if above != complete_root(split(self._tiles.hashes(level, index))):
                    return False
                level, index = level + 1, index // WIDTH
        except TileError:
            return False
        return True

    def _find(self, place: Place, what: str, *, gone: int = 0) -> None:
        if gone > place.sequence:
            what = f"records {place.sequence} to {gone} are missing: {what}"
        elif gone:
            what = f"record {place.sequence} is missing: {what}"
        if len(self._found.findings) < MAX_FINDINGS:
            self._found.findings.append(Finding(place, what, gone))


_WORDS: Final[Mapping[End, str]] = {
    End.COMPLETE: "the segment ends too early",
    End.TORN: "the segment ends in the middle of a record",
    End.NOT_A_FRAME: "what stands here is no record",
    End.TOO_LONG: "what stands here says that it is longer than any record",
    End.CHECKSUM: "the record's checksum is wrong",
    End.COMPRESSION: "the record's compression is damaged",
    End.VERSION: "the record is of a version that this guard does not know",
    End.SEQUENCE: "another record stands here: out of its sequence",
}


def _kind(number: int) -> str:
    try:
        return Kind(number).name.lower()
    except ValueError:
        return f"kind {number}"
