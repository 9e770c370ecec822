"""The store: every order is one file under ``orders/``, written whole and never changed or deleted by the guard.

Anything else in that directory counts as a stop of everything while it is there: a damaged order, a foreign file, a
file that may not be read. Nobody can neutralise the switch by damaging it; an editor's backup file stops the service.
The convenience in that rule: ``touch orders/STOP`` stops everything and ``touch orders/STOP.model.demo`` (or
``STOP.tier.general``, ``STOP.org.ACME%20Ltd``) one scope, by anyone who may write there, with no tool of ours, and even
on a full disk. Such a stop ends when its file is removed, at every level: the directory's permissions are its control.

What stops is shown first and synced then, so that a disk which hangs delays nobody's stop; a file that a crash of the
host tears in between cannot be read, and so stops everything. A resume is on the disk before anybody sees it.

Readers learn of an order from one 8-byte word that every process has mapped (``generation``). A writer stores a fresh
random value there instead of counting up: that needs no lock, so a writer frozen half-way holds up nobody's stop.
What the word did not tell (a writer killed too early, a file put there by hand) shows in the directory's times.
Both need a local file system. Do not truncate ``generation`` under a running guard: reading the mapped word then
kills the worker (SIGBUS), which stops it but not gently. It is one file because every rule here leans on the others.
"""

from __future__ import annotations

import mmap
import os
import stat
import threading
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from guard.state.merge import Judge, StandingStop, State
from guard.state.orders import MAX_ORDER_BYTES, Order, ResumeOrder, StopOrder, decode, encode, is_order_id
from guard.state.scope import EVERYTHING, OrderError, Scope

MAX_FILES = 20_000
_WORD_BYTES = 8
_SUFFIX = ".json"
_LONGEST_NAME = 255  # of a file, in bytes, and a STOP file's name is ASCII
_UNMAPPED = memoryview(bytes(_WORD_BYTES)).cast("@Q")

# Not blocking: what stands there may be a FIFO that somebody put in the way.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MAKE = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

Stamp = tuple[int, int, int, int]
Version = tuple[int, Stamp]


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the directory: orders that were not known before, stops that files stand for, ids of all files."""

    fresh: tuple[Order, ...]
    standing: frozenset[StandingStop]
    ids: frozenset[str]


def _nothing() -> None:
    """Do nothing when an order is shown."""


class OrderDirectory:
    """The orders of one host under a state directory; each process opens its own."""

    def __init__(self, path: Path, *, create: bool = True, entropy: Callable[[int], bytes] = os.urandom) -> None:
        """Open ``path``, creating what is missing unless told not to; ``entropy`` gives that many random bytes.

        Without ``create`` nothing is written until an order is, and changes are told by `stamp` alone.
        Raises OSError when it cannot be opened.
        """
        self.path = path
        self.orders = path / "orders"
        self._incoming = path / "incoming"
        self._generation = path / "generation"
        self._entropy = entropy
        self._create = create
        if create:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.orders.mkdir(mode=0o700, exist_ok=True)
            self._incoming.mkdir(mode=0o700, exist_ok=True)
        self._mapped = (-1, -1)
        self.word = _UNMAPPED
        self.refresh()

    def refresh(self) -> None:
        """Map the generation word anew if its file was replaced; raises OSError when there is no directory."""
        os.stat(self.orders)  # noqa: PTH116 - on a worker's data loop twenty times a second
        if not self._create:
            return  # it would make the word's file; who only looks once has no use for it
        with suppress(FileNotFoundError):
            found = os.stat(self._generation)  # noqa: PTH116 - as above
            if (found.st_dev, found.st_ino) == self._mapped and found.st_size >= _WORD_BYTES:
                return
        fd = self._open_generation()
        try:
            found = os.fstat(fd)
            # The mapping lives as long as someone holds the word, here or in the switches.
            self.word = memoryview(mmap.mmap(fd, _WORD_BYTES, prot=mmap.PROT_READ)).cast("@Q")
            self._mapped = (found.st_dev, found.st_ino)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let the mapping go; `refresh` opens it again."""
        self.word = _UNMAPPED
        self._mapped = (-1, -1)

    def stamp(self) -> Stamp:
        """Which directory it is and when it last changed; raises OSError when there is none."""
        found = os.stat(self.orders)  # noqa: PTH116 - as in `refresh`
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns

    def version(self) -> Version:
        """Differs after every change that is older than the file system's clock tick (up to 10 ms)."""
        return self.word[0], self.stamp()

    def put(self, order: Order, shown: Callable[[], None] = _nothing) -> None:
        """Write one order: on disk when this returns; what stops is in force before, when ``shown`` is called.

        An order already there is left as it is. Raises FileExistsError when another has its id, OSError when it
        cannot be written (then, for a stop, `trip` may still work); after ``shown`` that is, when it cannot be synced.
        """
        self.adopt(order.id, encode(order), shown)

    def adopt(self, order: str, raw: bytes, shown: Callable[[], None] = _nothing) -> None:
        """Write these very bytes under an order's id, as `put`: what cannot be read there stops everything.

        Raises ValueError for what is no id.
        """
        if not is_order_id(order):
            raise ValueError("not the id of an order")
        target = self.orders / f"{order}{_SUFFIX}"
        try:
            fd = os.open(target, _READ)
        except FileNotFoundError:
            fd = self._written(target, raw, first=_lifts(raw))
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode) or os.pread(fd, len(raw) + 1, 0) != raw:
                raise FileExistsError(f"another order has the id {order}")
            self._announce()
            shown()
            os.fsync(fd)
        finally:
            os.close(fd)
        _sync(self.orders)

    def held(self) -> frozenset[str]:
        """Return the id of every file that is named as an order is; raises OSError when they cannot be listed."""
        names = os.listdir(self.orders)  # noqa: PTH208 - names are wanted, not paths
        return frozenset(
            found for name in names if name.endswith(_SUFFIX) and is_order_id(found := name.removesuffix(_SUFFIX))
        )

    def bytes_of(self, order: str) -> bytes:
        """Return an order's file as it is, cut behind what any order may have; raises OSError."""
        fd = os.open(self.orders / f"{order}{_SUFFIX}", _READ)
        try:
            return os.read(fd, MAX_ORDER_BYTES + 1)
        finally:
            os.close(fd)

    def is_stop(self, order: str) -> bool:
        """Whether there is a stop order of this id, lifted or not, that can be read."""
        return is_order_id(order) and isinstance(self._look(f"{order}{_SUFFIX}", order), StopOrder)

    def trip(self, scope: Scope, shown: Callable[[], None] = _nothing) -> str:
        """Put an empty STOP file there, which needs no space on the disk; returns the name to remove by hand.

        It is in force when ``shown`` is called, and on disk when this returns.
        """
        path = self.stop_file(scope)
        while True:
            try:
                fd = os.open(path, os.O_WRONLY | _MAKE, 0o600)
            except OSError:
                if not _in_the_way(path):
                    raise
                break  # it stops as well, by its name, and stands in for no order
            try:
                with suppress(OSError):
                    os.utime(fd)  # from now on it is somebody's, if it only stood in for an order
                with suppress(FileNotFoundError):
                    if os.stat(path, follow_symlinks=False).st_ino == os.fstat(fd).st_ino:  # noqa: PTH116 - as above
                        break
            finally:
                os.close(fd)
        self._announce()
        shown()
        _sync(self.orders)
        return path.name

    def stand_in(self, scope: Scope, shown: Callable[[], None] = _nothing) -> str:
        """Put a STOP file there until an order of this scope can be written (`stood_in`); returns its name.

        It is known by the time of its last change, 0: whoever touches it, or trips the same scope, makes it theirs. One
        that is there already stays whose it is. ``shown`` is as in `trip`.
        """
        path = self.stop_file(scope)
        with suppress(FileExistsError):
            fd = os.open(path, os.O_WRONLY | os.O_EXCL | _MAKE, 0o600)
            try:
                with suppress(OSError):  # then it has to be removed by hand
                    os.utime(fd, ns=(0, 0))
            finally:
                os.close(fd)
        self._announce()
        shown()
        _sync(self.orders)
        return path.name

    def stood_in(self, scope: Scope) -> None:
        """Remove the file of `stand_in`, now that the order is there; one that is somebody else's stays."""
        path = self.stop_file(scope)
        try:
            if os.stat(path, follow_symlinks=False).st_mtime_ns:  # noqa: PTH116 - as in `refresh`
                return
            # Taken aside first and looked at again: it may be made somebody's between the look and the removal.
            aside = self._incoming / f"stood-in.{os.getpid()}.{threading.get_ident()}"
            self._incoming.mkdir(mode=0o700, exist_ok=True)
            os.rename(path, aside)  # noqa: PTH104 - as in `_write`
        except FileNotFoundError:
            return
        if aside.stat(follow_symlinks=False).st_mtime_ns:
            with suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()
        self._announce()
        _sync(self.orders)

    def read(self, known: Container[str] = ()) -> Reading:
        """List the directory and load the orders whose id is not known; raises OSError when it cannot be listed."""
        names = os.listdir(self.orders)  # noqa: PTH208 - names are wanted, not paths
        standing: set[StandingStop] = set()
        if len(names) > MAX_FILES:
            standing.add(StandingStop("file:", EVERYTHING, f"orders/ holds more than {MAX_FILES} files"))
            # The newest are kept, so that a flood of old files cannot hide a new order.
            names = sorted(names)[-MAX_FILES:]
        fresh: list[Order] = []
        ids: set[str] = set()
        for name in names:
            found = name[: -len(_SUFFIX)] if name.endswith(_SUFFIX) else ""
            if found and found in known:
                ids.add(found)
                continue
            read = self._look(name, found)
            if isinstance(read, StandingStop):
                standing.add(read)
            elif read is not None:
                ids.add(found)
                fresh.append(read)
        fresh.sort(key=lambda order: order.id)
        return Reading(tuple(fresh), frozenset(standing), frozenset(ids))

    def snapshot(self, judge: Judge) -> State:
        """Everything that is there now, merged; raises OSError when it cannot be listed."""
        reading = self.read()
        return State.of(reading.fresh, judge, reading.standing)

    def stop_file(self, scope: Scope) -> Path:
        """Where the STOP file of a scope is; of one that no file name can hold, that of everything."""
        name = scope.file
        return self.orders / (name if len(name) <= _LONGEST_NAME else EVERYTHING.file)

    def _look(self, name: str, found: str) -> Order | StandingStop | None:
        """What a file means that was not known before; None when it has gone since the listing."""
        if not is_order_id(found):
            return _tripwire(name) or _unreadable(name, "not an order")
        try:
            return _load(self.orders / name, found)
        except FileNotFoundError:
            return None
        except OrderError as error:
            return _unreadable(name, str(error))
        except OSError as error:
            return _unreadable(name, error.strerror or "it cannot be read")

    def _written(self, target: Path, raw: bytes, *, first: bool) -> int:
        """Write aside, then show it: what is in ``orders/`` is whole at any instant; returns it, open for reading.

        ``first`` makes it durable before it is shown.
        """
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        aside = self._incoming / f"{target.name}.{os.getpid()}.{threading.get_ident()}"
        fd = os.open(aside, os.O_RDWR | os.O_TRUNC | _MAKE, 0o600)
        try:
            self._adopt(fd)
            rest = raw
            while rest:
                rest = rest[os.write(fd, rest) :]
            if first:
                os.fsync(fd)
            os.rename(aside, target)  # noqa: PTH104 - one system call, shown as one
        except BaseException:
            os.close(fd)
            with suppress(OSError):
                aside.unlink()
            raise
        return fd

    def _announce(self) -> None:
        """Store a fresh value in the generation word; only a hint, so the order stands where this fails."""
        with suppress(OSError):
            fd = self._open_generation()
            try:
                os.pwrite(fd, self._entropy(_WORD_BYTES), 0)
            finally:
                os.close(fd)

    def _open_generation(self) -> int:
        fd = os.open(self._generation, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if os.fstat(fd).st_size < _WORD_BYTES:
            self._adopt(fd)
            os.pwrite(fd, self._entropy(_WORD_BYTES), 0)
        return fd

    def _adopt(self, fd: int) -> None:
        """Give root's files to the directory's owner: an order that the workers cannot read would stop everything."""
        owner = os.stat(self.orders)  # noqa: PTH116 - beside the other system calls
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.fchown(fd, owner.st_uid, owner.st_gid)


def _lifts(raw: bytes) -> bool:
    """Whether this is a resume; all else stops or screens something, what cannot be read everything."""
    try:
        return isinstance(decode(raw), ResumeOrder)
    except OrderError:
        return False


def _load(path: Path, expected: str) -> Order:
    # Not blocking and not following: a FIFO or a link put there must not hold up or mislead the reader.
    fd = os.open(path, _READ)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OrderError("not a regular file")
        order = decode(os.read(fd, MAX_ORDER_BYTES + 1))
    finally:
        os.close(fd)
    if order.id != expected:
        raise OrderError("id: not the file's name")
    return order


def _tripwire(name: str) -> StandingStop | None:
    """The stop that a STOP file stands for; None for every other name."""
    try:
        scope = Scope.of_file(name)
    except OrderError:
        return None
    return StandingStop(f"file:{name}", scope, f"the file orders/{name} is there")


def _unreadable(name: str, why: str) -> StandingStop:
    shown = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in name[:100])
    return StandingStop(f"file:{shown}", EVERYTHING, f"the file orders/{shown} cannot be used: {why}")


def _in_the_way(path: Path) -> bool:
    """Whether there is something of this name that is no file: a FIFO, a link, a folder."""
    try:
        return not stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
