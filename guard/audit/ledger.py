"""The ledger's writer: one per process and directory, the store behind the port `safeguards.ports.Log`.

Every record is one write to the file before its call returns, its texts' sealed body another just before, so that a
killed process loses none; a durable one also waits for the group commit, which syncs bodies before leaves. Appends run
on the event loop: a disk that hangs inside ``write`` stalls that loop. It is one file because what is open, what could
not be recorded and the segment in use change together.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from guard.audit import frames, leaves, records
from guard.audit.bodies import MAX_TEXTS, Bodies, TooLongError
from guard.audit.body_places import FOLDER
from guard.audit.body_recovery import recover_bodies
from guard.audit.commit import Committer
from guard.audit.directory import lock, prepare
from guard.audit.disk import Disk, LocalDisk, UncopiedError
from guard.audit.keeping import Keeping, Kept
from guard.audit.keys import DataKeys
from guard.audit.outage import Waiting
from guard.audit.part_leaf import pack, packed_id
from guard.audit.recovery import UNRECORDED, account, endings, recover
from guard.audit.segments import LedgerError, Segment, describe, name
from guard.audit.wrapping import KeyUnavailableError
from safeguards.decision import Failure, Outcome, Unavailable
from safeguards.exchange import Channel, Exchange
from safeguards.ports import Clock, Keep

MAX_OPEN = 65_536
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 10.0
_NAME_TRIES = 100
KEEPING_ERRORS = (OSError, KeyUnavailableError, TooLongError)


@dataclass(frozen=True, slots=True)
class Limits:
    """``segment`` and ``unsynced`` are bytes, ``interval`` the seconds between syncs that nobody waits for.

    Beyond ``unsynced`` new requests are refused; outcomes and control records have twice that room.
    """

    segment: int = 64 * 1024 * 1024
    unsynced: int = 64 * 1024 * 1024
    interval: float = 0.2


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures for the metrics.

    ``durable``, ``buffered`` and ``failed`` count records by result; ``last_durable`` is seconds since the epoch,
    ``oldest_pending`` the age in seconds of the oldest record not on the disk, ``backlog`` how many those are;
    ``waits`` are seconds from append to durable since the last call, the newest few thousand; ``waiting`` are records
    in memory alone, since the disk takes none.
    """

    durable: int
    buffered: int
    failed: int
    last_durable: float | None
    oldest_pending: float
    backlog: int
    segment: str
    sequence: int
    syncs: int
    waits: tuple[float, ...]
    waiting: int = 0


DEFAULT_LIMITS = Limits()


class Ledger:
    """Writes the records of one process; made by `Ledger.open`, used from one event loop, ended by `close`.

    Every method that writes raises Unavailable when it cannot: OVERLOAD for a record, a backlog or a number of open
    requests beyond its bound, UNREACHABLE for the disk. After an error a new segment is tried once a second.
    """

    def __init__(
        self, directory: Path, clock: Clock, disk: Disk, limits: Limits, held: int, keys: DataKeys | None
    ) -> None:
        """Use `Ledger.open`."""
        self._directory = directory
        self._clock = clock
        self._disk = disk
        self._limits = limits
        self._held = held
        self._closed = False
        self._buffered = self._failed = 0
        self._last_try = float("-inf")
        # Request id -> what is kept of its texts; a part does not say it again.
        self._open: dict[str, Kept | None] = {}
        bodies = None if keys is None else Bodies(directory, keys, disk, size=limits.segment)
        self._keeping = Keeping(bodies, clock)
        # What waits for a disk that fails, and the requests whose policy lets theirs wait, with the seconds.
        self._waiting = Waiting(limits.unsynced)
        self._patience: dict[str, float] = {}
        # Open requests whose intent could not be written, and ended ones whose outcome could not.
        self._unrecorded: set[str] = set()
        self._unended: dict[str, None] = {}
        found, torn = recover(directory), recover_bodies(directory)
        disk.settle(directory)
        self._next = found.sequence
        self._segment = self._begin(found.previous, found.open, account(found, clock.now(), clock.steady(), torn))
        try:
            self._segment.sync()
        except OSError:
            self._segment.close()
            raise
        before = None if bodies is None else bodies.sync
        self._commits = Committer(self._segment, self._next - 1, clock, limits.interval, before)

    @classmethod
    def open(
        cls,
        directory: Path,
        clock: Clock,
        *,
        disk: Disk | None = None,
        limits: Limits = DEFAULT_LIMITS,
        keys: DataKeys | None = None,
    ) -> Ledger:
        """Lock the directory, repair what a crash left, and begin a segment; blocks until that is on the disk.

        The directory is made if missing, its name is the writer's name. Without ``keys`` no text can be kept. Raises
        LedgerError.
        """
        try:
            prepare(directory)
            held = lock(directory)
        except OSError as error:
            raise LedgerError(f"{directory}: {describe(error)}") from error
        try:
            return cls(directory, clock, disk or LocalDisk(), limits, held, keys)
        except BaseException as error:
            os.close(held)
            if isinstance(error, OSError):
                raise LedgerError(f"{directory}: {describe(error)}") from error
            raise

    def intent(
        self, exchange: Exchange, *, durable: bool, keep: Keep | None, patience: float = 0.0
    ) -> Awaitable[None] | None:
        """As `Log.intent`."""
        if len(self._open) + len(self._unended) >= MAX_OPEN:
            raise self._refuse(Failure.OVERLOAD, f"{MAX_OPEN} requests are open")
        wall, now = self._clock.now(), self._clock.steady()
        self._open[exchange.id] = None
        if patience:
            self._patience[exchange.id] = patience
        write = partial(self._intent, exchange, keep, wall, now, durable=durable)
        try:
            size = 4 * sum(len(passage.text) for passage in exchange.passages) if patience else 0
            return self._now_or_later(size, patience, now, write)
        except Unavailable:
            self._unrecorded.add(exchange.id)
            self._patience.pop(exchange.id, None)
            raise

    def part(self, exchange: Exchange, channel: Channel, *, durable: bool = False) -> Awaitable[None] | None:
        """As `Log.part`; the text is kept if the request's intent kept its texts."""
        patience = self._patience.get(exchange.id, 0.0) if self._patience else 0.0
        wall, now = self._clock.now(), self._clock.steady()
        if not patience:
            written = self._part(exchange, channel, wall, now, durable=durable)
            if self._segment.dead and written is None:  # it lacks its copy, and would be sent at once
                raise self._refuse(Failure.UNREACHABLE, self._segment.dead)
            return written
        piece = Channel(channel.id)
        piece.start, piece.fresh = channel.start, channel.fresh
        write = partial(self._part, exchange, piece, wall, now, durable=durable)
        return self._now_or_later(4 * len(channel.fresh), patience, now, write)

    def outcome(self, exchange: Exchange, outcome: Outcome, *, durable: bool) -> Awaitable[None] | None:
        """As `Log.outcome`."""
        wall, now = self._clock.now(), self._clock.steady()
        write = partial(self._outcome, exchange, outcome, wall, now, durable=durable)
        # An outcome may wait as long as its request's intent and parts do, and beyond their time.
        patience = float("inf") if self._patience.pop(exchange.id, 0.0) else 0.0
        size = 4 * sum(one.received for one in outcome.released) if patience else 0
        try:
            return self._now_or_later(size, patience, now, write)
        except Unavailable:
            if exchange.id in self._open and exchange.id not in self._unrecorded:
                self._unended[exchange.id] = None
            self._forget(exchange.id)
            raise

    def _now_or_later(
        self, size: int, patience: float, now: float, write: Callable[[], asyncio.Future[None] | None]
    ) -> asyncio.Future[None] | None:
        """Write, or let it wait where the policy has patience; records that wait keep their order."""
        waiting = self._waiting
        if waiting:
            self._drain()
        if not (patience and waiting):
            try:
                return write()
            except Unavailable as refusal:
                if not patience or refusal.failure is not Failure.UNREACHABLE or self._closed:
                    raise
                if size > MAX_TEXTS or not waiting.takes(size, patience, now):
                    raise
                self._failed -= 1  # it waits, so it has not failed
        elif size > MAX_TEXTS or not waiting.takes(size, patience, now):
            raise self._refuse(Failure.UNREACHABLE, self._segment.dead or f"{len(waiting)} records wait for the disk")
        waiting.put(size, write, now)
        return None

    def _drain(self) -> None:
        failed = self._failed
        self._waiting.drain()
        self._failed = failed  # what goes on waiting has not failed

    def _intent(
        self, exchange: Exchange, keep: Keep | None, wall: float, steady: float, *, durable: bool
    ) -> asyncio.Future[None] | None:
        now, room = self._clock.steady(), self._limits.unsynced
        sealed, size = leaves.NOTHING, 0
        if keep is not None:
            self._writable(now, room)
            try:
                kept, sealed, size = self._keeping.intent(exchange, keep, now, self._next)
            except KEEPING_ERRORS as error:
                raise self._not_kept(error) from error
            self._open[exchange.id] = kept
        record = leaves.intent(exchange, wall, steady, sealed)
        return self._append(records.Kind.INTENT, record, now, durable=durable, room=room, sealed=size)

    def _part(
        self, exchange: Exchange, channel: Channel, wall: float, steady: float, *, durable: bool
    ) -> asyncio.Future[None] | None:
        now = self._clock.steady()
        segment = self._writable(now, self._limits.unsynced)
        kept = self._open.get(exchange.id)
        size = 0
        if kept is None:
            leaf = pack(wall, steady, packed_id(exchange.id), channel.id, channel.start, len(channel.fresh))
            said = "", ""
        else:
            try:
                digest, writing, at, size = self._keeping.part(kept, exchange, channel, now, self._next)
            except KEEPING_ERRORS as error:
                raise self._not_kept(error) from error
            self._still(segment)
            one, start = kept.packed, channel.start
            leaf = pack(wall, steady, one, channel.id, start, len(channel.fresh), digest, writing.packed, at)
            said = ("", "") if leaf else (digest.hex(), f"{writing.place}{at}")
        if leaf:
            frame = frames.packed(records.Kind.PART, self._next, leaf)
        else:
            record = leaves.part(exchange, channel, wall, steady, *said)
            frame = frames.compact(records.Kind.PART, self._next, records.encode(record))
        future = asyncio.get_running_loop().create_future() if durable else None
        self._put(segment, frame, now, future, size)
        return future

    def _outcome(
        self, exchange: Exchange, outcome: Outcome, wall: float, steady: float, *, durable: bool
    ) -> asyncio.Future[None] | None:
        now, room = self._clock.steady(), 2 * self._limits.unsynced
        kept = self._open.get(exchange.id)
        sealed, flagged, size = leaves.NOTHING, "", 0
        if kept is not None:
            self._writable(now, room)
            try:
                sealed, flagged, size = self._keeping.outcome(kept, exchange, outcome, now, self._next)
            except KEEPING_ERRORS as error:
                raise self._not_kept(error) from error
        record = leaves.outcome(exchange, outcome, wall, steady, sealed, flagged)
        written = self._append(records.Kind.OUTCOME, record, now, durable=durable, room=room, sealed=size)
        self._forget(exchange.id)
        return written

    def _forget(self, one: str) -> None:
        self._open.pop(one, None)
        self._unrecorded.discard(one)

    def control(self, *, who: str, what: str, subject: str, reason: str) -> Awaitable[None]:
        """Write an act of control; the awaitable ends once it is on the disk."""
        now = self._clock.steady()
        return self._control(records.Control(self._clock.now(), now, who, what, subject, reason), now)

    def report(
        self, *, who: str, owner: str, subject: str, category: str, comment: str, keep: Keep | None
    ) -> Awaitable[None]:
        """Write a report of harm, its comment sealed, or without ``keep`` not kept; as `control`."""
        now = self._clock.steady()
        sealed, size = leaves.NOTHING, 0
        if keep is not None:
            self._writable(now, 2 * self._limits.unsynced)
            try:
                sealed, size = self._keeping.comment(owner, keep, subject, comment, now, self._next)
            except KEEPING_ERRORS as error:
                raise self._not_kept(error) from error
        commitment, _ = sealed.of(0)
        record = records.Control(
            self._clock.now(), now, who, "report", subject, category, len(comment), commitment, sealed.body
        )
        return self._control(record, now, size)

    def tend(self) -> None:
        """Do what a new day asks for, several times a minute or more; raises Unavailable when it cannot be done."""
        if self._waiting:
            self._drain()
        try:
            self._keeping.tend()
        except KEEPING_ERRORS as error:
            raise self._not_kept(error) from error

    def stats(self) -> Stats:
        """The figures of this moment; cheap enough for every scrape."""
        progress = self._commits.progress()
        return Stats(
            progress.confirmed,
            self._buffered,
            self._failed + progress.failed,
            progress.last_durable,
            progress.oldest_pending,
            progress.written - progress.durable + len(self._waiting),
            self._segment.path.name,
            self._next - 1,
            progress.syncs,
            progress.waits,
            len(self._waiting),
        )

    def durable(self) -> int:
        """The sequence up to which every record is on the disk, or on record as in doubt; from any thread."""
        return self._commits.doubtful()[0] - 1

    def close(self) -> int:
        """Sync what is written, end the thread and unlock the directory; later appends raise Unavailable.

        Blocks for the last sync, at most ten seconds. Idempotent. Returns how many records were never written.
        """
        before = 0
        while not self._closed and len(self._waiting) != before:
            before = len(self._waiting)
            self._drain()
        if not self._closed:
            self._closed = True
            if self._commits.close(CLOSE_SECONDS):
                self._keeping.close()
                os.close(self._held)  # else the disk still hangs on our file: the lock goes with the process
        return len(self._waiting)

    def _control(self, record: records.Control, now: float, sealed: int = 0) -> Awaitable[None]:
        room = 2 * self._limits.unsynced
        written = self._append(records.Kind.CONTROL, record, now, durable=True, room=room, sealed=sealed)
        assert written is not None  # noqa: S101 - durable appends always have one
        return written

    def _append(
        self, kind: int, record: records.Record, now: float, *, durable: bool, room: int, sealed: int
    ) -> asyncio.Future[None] | None:
        payload = records.encode(record)
        if len(payload) > frames.MAX_PAYLOAD:
            raise self._refuse(Failure.OVERLOAD, f"a record of {len(payload)} bytes, at most {frames.MAX_PAYLOAD}")
        if sealed:
            self._still(self._segment)
        segment = self._writable(now, room - len(payload))
        future = asyncio.get_running_loop().create_future() if durable else None
        self._put(segment, frames.compact(kind, self._next, payload), now, future, sealed)
        return future

    def _put(
        self, segment: Segment, frame: bytes, now: float, future: asyncio.Future[None] | None, sealed: int
    ) -> None:
        """Write the frame of the next sequence."""
        sequence = self._next
        try:
            segment.write(frame)
        except UncopiedError as error:
            # It is there as a whole and in doubt, as after a failed sync: its number is used, and who waits hears it.
            segment.dead = describe(error)
            self._commits.wake()
        except Exception as error:  # whatever it was, nothing may follow what could be half a frame
            segment.dead = describe(error)
            self._commits.wake()
            raise self._refuse(Failure.UNREACHABLE, segment.dead) from error
        self._commits.wrote(sequence, len(frame) + sealed, now, future)
        self._next = sequence + 1
        if future is None:
            self._buffered += 1

    def _still(self, segment: Segment) -> None:
        """Refuse the leaf of a text if a sync failed since the text was written: it may be lost with that."""
        if segment.dead:
            raise self._refuse(Failure.UNREACHABLE, segment.dead)

    def _not_kept(self, error: Exception) -> Unavailable:
        """Turn what keeping texts raises into the refusal that callers of the log expect."""
        if isinstance(error, TooLongError):
            return self._refuse(Failure.OVERLOAD, str(error))
        reason = describe(error) if isinstance(error, OSError) else f"a data key: {error}"
        return self._refuse(Failure.UNREACHABLE, f"{FOLDER}: {reason}")

    def _refuse(self, failure: Failure, reason: str) -> Unavailable:
        self._failed += 1
        return Unavailable(failure, f"audit log: {reason}")

    def _writable(self, now: float, room: int) -> Segment:
        segment = self._segment
        if self._closed:
            raise self._refuse(Failure.UNREACHABLE, "closed")
        if self._commits.unsynced_bytes() > room:
            raise self._refuse(Failure.OVERLOAD, "the disk does not keep up")
        if not segment.dead and segment.size < self._limits.segment:
            return segment
        if segment.dead and now - self._last_try < RETRY_SECONDS:
            raise self._refuse(Failure.UNREACHABLE, segment.dead)
        try:
            return self._replace(segment, now)
        except OSError as error:
            self._last_try = now
            segment.dead = segment.dead or describe(error)
            self._commits.wake()
            raise self._refuse(Failure.UNREACHABLE, describe(error)) from error

    def _replace(self, old: Segment, now: float) -> Segment:
        causes: list[records.Recovered] = []
        if old.dead:
            self._last_try = now
            first, last = self._commits.doubtful()
            span = (first, last) if first <= last else (0, 0)
            failed = records.Recovered(self._clock.now(), now, "failed_segment", old.path.name, old.dead)
            causes.append(msgspec.structs.replace(failed, first=span[0], last=span[1]))
        causes.extend(endings(self._unended, UNRECORDED, self._clock.now(), now))
        self._segment = self._begin(old.path.name, (*self._open, *self._unended), causes)
        self._unended.clear()
        self._commits.replace(self._segment)
        self._commits.wrote(self._next - 1, self._segment.size, now, None)
        return self._segment

    def _begin(self, previous: str, open_ids: tuple[str, ...], causes: Sequence[records.Recovered]) -> Segment:
        """Begin a segment with its first records; on OSError nothing of it remains in use."""
        segment = self._create()
        opened = records.Opened(
            self._clock.now(), self._clock.steady(), self._directory.name, os.getpid(), previous, open_ids
        )
        sequence = self._next
        data = bytearray(frames.compact(records.Kind.OPENED, sequence, records.encode(opened)))
        for cause in causes:
            sequence += 1
            data += frames.compact(records.Kind.RECOVERED, sequence, records.encode(cause))
        try:
            segment.write(bytes(data))
        except OSError:
            segment.close()
            self._disk.discard(segment.path)  # a full disk must not fill with empty files
            raise
        self._next = sequence + 1
        return segment

    def _create(self) -> Segment:
        for _ in range(_NAME_TRIES):
            try:
                return Segment(self._disk, self._directory / name(self._next))
            except FileExistsError:
                self._next += 1
        raise OSError(0, "no free segment name")
