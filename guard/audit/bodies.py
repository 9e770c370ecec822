"""Where a writer puts the texts of its records: sealed, in segments of their own, one folder for each class and day.

``<writer>/bodies/<class>/<day>/seg-<number>.log`` holds the same frames as the ledger. The first says the segment's
salt; then come bodies (the texts of one record), texts (bodies of one short text, laid out to be cheap) and blobs (a
text that several bodies of the segment refer to, so that a conversation that sends its history again is kept once for
each owner, class, day and segment). Payloads begin with the id of the data key. What has been written is in the file
before `write` returns, and `sync` puts it on the disk before the leaf that refers to it is: the group commit calls it
first. Nothing refers to a body whose leaf was lost.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Final

import msgspec

from guard.audit import encryption, frames
from guard.audit.body_places import FOLDER, Kind, Opened, bound
from guard.audit.directory import prepare
from guard.audit.disk import Disk
from guard.audit.encryption import Blob, Body, Seal
from guard.audit.keys import DataKeys
from guard.audit.part_leaf import packed_place
from guard.audit.segments import Segment, describe, first_of, name
from guard.audit.wrapping import DataKey
from guard.randomness import Randomness

BLOB_FROM: Final = 64  # bytes; a shorter text is kept in its body, where it costs less than a reference
MAX_KNOWN: Final = 100_000  # blobs that are remembered for each segment; the oldest are forgotten, and kept again
MAX_TEXTS: Final = frames.MAX_PAYLOAD - 1024 * 1024  # bytes of one record, so that even uncompressed they make a frame
RETRY_SECONDS: Final = 1.0
_TRIES: Final = 100


class TooLongError(ValueError):
    """Texts that no frame holds."""


class Writing:
    """A segment being written; leaves name it by ``place``, packed ones by ``packed``, empty if none can.

    ``known`` is where its blobs begin, by key and keyed hash; ``dirty`` says that something in it awaits the disk, and
    ``told`` that those who wait for it have heard of its death.
    """

    __slots__ = ("dirty", "first", "known", "next", "opened", "packed", "place", "seals", "segment", "told")

    def __init__(self, segment: Segment, opened: Opened) -> None:
        """Begin with its first frame."""
        self.segment = segment
        self.opened = opened
        self.first = self.next = first_of(segment.path)
        self.seals: dict[bytes, Seal] = {}
        self.known: dict[bytes, int] = {}
        self.place = f"{opened.retention}/{opened.day}/{self.first}:"
        self.packed = packed_place(opened.retention, opened.day, self.first)
        self.dirty = self.told = False
        segment.write(self.frame(Kind.SALT, msgspec.json.encode(opened)))

    def frame(self, kind: Kind, payload: bytes) -> bytes:
        """The next frame."""
        data = frames.encode(kind, self.next, payload)
        self.next += 1
        return data

    def seal(self, key: DataKey) -> Seal:
        """What seals with this key here."""
        seal = Seal(key.secret, self.opened.salt, self.opened.context(self.segment.path.name))
        self.seals[key.id] = seal
        return seal

    def sealed(self, kind: Kind, key: DataKey, one: str | bytes, plain: bytes) -> bytes:
        """The next frame, sealed."""
        seal = self.seals.get(key.id) or self.seal(key)
        return self.frame(kind, key.id + seal.close(self.next, bound(kind, one), encryption.squeezed(plain)))


class Bodies:
    """The writer of one process; used from one event loop, but for `sync`, which the commit thread calls."""

    def __init__(
        self,
        directory: Path,
        keys: DataKeys,
        disk: Disk,
        *,
        size: int,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Take the writer's directory, its keys, and the most bytes of a segment."""
        self._directory = directory
        self._keys = keys
        self._disk = disk
        self._size = size
        self._randomness = Randomness(randomness)
        self._writing: dict[tuple[str, str], Writing] = {}
        self._failed = ("", float("-inf"))
        self._lock = threading.Lock()  # of the two lists; held for a few instructions
        self._syncing = threading.Lock()  # while descriptors are in use by the commit thread
        self._dirty: list[Writing] = []
        self._retired: list[Writing] = []

    def key(self, owner: str, retention: str, day: str) -> DataKey:
        """The data key for an owner's texts; raises OSError and KeyUnavailableError."""
        return self._keys.get(owner, retention, day)

    def salt(self) -> bytes:
        """A new record's salt."""
        return self._randomness.take(encryption.SALT)

    def write(
        self,
        key: DataKey,
        one: str,
        salt: bytes,
        texts: Sequence[bytes],
        *,
        now: float,
        hint: int,
        matches: Sequence[bytes] = (),
        labels: tuple[str, ...] = (),
    ) -> tuple[Writing, int, int]:
        """Append the texts of the record of ``one``; returns in which segment and where, and the bytes that it took.

        ``now`` is steady seconds; ``hint`` is a number for a new segment that no earlier one of this writer can have.
        With ``matches``, the texts' keyed hashes, long ones become blobs. Raises OSError; nothing of a failed write
        is referred to.
        """
        if sum(map(len, texts)) > MAX_TEXTS:
            raise TooLongError(f"texts of more than {MAX_TEXTS} bytes")
        writing = self._open(key.retention, key.day, now, hint)
        segment, known = writing.segment, writing.known
        at = offset = segment.size
        data: list[bytes] = []
        kept: list[bytes | Blob] = []
        for text, match in zip_longest(texts, matches):
            if match is None or len(text) < BLOB_FROM:
                kept.append(text)
                continue
            place = known.get(key.id + match)
            if place is None:
                place = known[key.id + match] = offset
                data.append(writing.sealed(Kind.BLOB, key, match, text))
                offset += len(data[-1])
            kept.append(Blob(place, match))
        data.append(writing.sealed(Kind.BODY, key, one, encryption.pack(Body(salt, tuple(kept), labels))))
        self._append(writing, data[0] if len(data) == 1 else b"".join(data), now)
        while len(known) > MAX_KNOWN:
            del known[next(iter(known))]
        return writing, offset, segment.size - at

    def write_text(
        self, key: DataKey, to: bytes, text: bytes, *, now: float, hint: int
    ) -> tuple[bytes, Writing, int, int]:
        """Append a body of one short text; returns its salt and what `write` does. Raises OSError as `write` does.

        ``to`` is `bound` of Kind.TEXT and the record's id. Called for every piece of every stream.
        """
        writing = self._writing.get((key.retention, key.day))
        if writing is None or writing.segment.dead or writing.segment.size >= self._size:
            writing = self._open(key.retention, key.day, now, hint)
        segment = writing.segment
        seal = writing.seals.get(key.id) or writing.seal(key)
        salt, number, at = self._randomness.take(encryption.SALT), writing.next, segment.size
        writing.next = number + 1
        sealed = seal.encrypt(number.to_bytes(12, "big"), salt + text, to)
        self._append(writing, frames.encode(Kind.TEXT, number, key.id + sealed), now)
        return salt, writing, at, segment.size - at

    def sync(self) -> None:
        """Put on the disk what was written before the call; raises OSError if any of it could not be, or ever."""
        with self._lock:
            dirty, self._dirty = self._dirty, []
            for writing in dirty:
                writing.dirty = False
        problem: OSError | None = None
        with self._syncing:
            for writing in dirty:
                segment = writing.segment
                if not segment.dead:
                    try:
                        segment.sync()
                    except OSError as error:
                        segment.dead = describe(error)
                if segment.dead and not writing.told:
                    writing.told = True
                    problem = OSError(0, segment.dead)
            self._close_retired()
        if problem is not None:
            raise problem

    def tend(self, today: str) -> None:
        """Let go of the keys of days gone, and close their segments; raises OSError and KeyUnavailableError."""
        self._keys.turn(today)
        # A stream that began before midnight still writes under its day, for a day at most.
        yesterday = (date.fromisoformat(today) - timedelta(days=1)).isoformat()
        for at, writing in list(self._writing.items()):
            if at[1] < yesterday:
                self._retire(writing)
        if self._retired and self._syncing.acquire(blocking=False):
            try:
                self._close_retired()
            finally:
                self._syncing.release()

    def close(self) -> None:
        """Give the descriptors back, after the last sync."""
        with self._lock:
            self._retired.extend(self._writing.values())
            self._writing.clear()
        with self._syncing:
            self._close_retired()

    def _append(self, writing: Writing, data: bytes, now: float) -> None:
        segment = writing.segment
        try:
            segment.write(data)
        except OSError as error:
            segment.dead = describe(error)
            self._failed = segment.dead, now
            self._retire(writing)
            self._mark(writing)  # the leaves that refer to it and wait for the disk must hear of it
            raise
        if not writing.dirty:
            self._mark(writing)

    def _open(self, retention: str, day: str, now: float, hint: int) -> Writing:
        at = retention, day
        writing = self._writing.get(at)
        if writing is not None and (writing.segment.dead or writing.segment.size >= self._size):
            if writing.segment.dead:
                self._failed = writing.segment.dead, now
            self._retire(writing)
            writing = None
        if writing is None:
            reason, since = self._failed
            if now - since < RETRY_SECONDS:
                raise OSError(0, reason)
            try:
                writing = self._writing[at] = self._begin(retention, day, hint)
            except OSError as error:
                self._failed = describe(error), now
                raise
            self._mark(writing)
        return writing

    def _begin(self, retention: str, day: str, hint: int) -> Writing:
        directory = self._directory / FOLDER / retention / day
        prepare(directory)
        opened = Opened(self._directory.name, retention, day, self._randomness.take(encryption.SEGMENT_SALT))
        for number in range(hint, hint + _TRIES):
            try:
                segment = Segment(self._disk, directory / name(number))
            except FileExistsError:
                continue
            try:
                return Writing(segment, opened)
            except OSError:
                segment.close()
                self._disk.discard(segment.path)
                raise
        raise OSError(0, "no free segment name")

    def _retire(self, writing: Writing) -> None:
        self._writing.pop((writing.opened.retention, writing.opened.day), None)
        with self._lock:
            self._retired.append(writing)

    def _mark(self, writing: Writing) -> None:
        with self._lock:
            if not writing.dirty:
                writing.dirty = True
                self._dirty.append(writing)

    def _close_retired(self) -> None:
        with self._lock:
            ready = [writing for writing in self._retired if not writing.dirty]
            self._retired = [writing for writing in self._retired if writing.dirty]
        for writing in ready:
            writing.segment.close()
