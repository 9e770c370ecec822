"""The results on this host: a file each under ``drills/`` of the state folder, the newest hundred; one drill at a time.

Whoever may write into the state folder may write results too: they are told as what that host says of itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from guard.drills.result import MAX_BYTES, Result, decode, encode
from guard.state.orders import is_order_id

KEPT: Final = 100
MAX_FILES: Final = 10_000
_SUFFIX: Final = ".json"
_LOCK: Final = ".lock"
_BEGUN: Final = ".begun"
_SINCE: Final = ".since"
_RECORDED: Final = ".recorded"


class BusyError(Exception):
    """Another drill is under way on this host."""


class DrillFolder:
    """The results of one host."""

    def __init__(self, state: Path) -> None:
        """Take the state folder; nothing is made before the first result."""
        self.path = state / "drills"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the one that drills; raises BusyError where another does, or OSError."""
        self._make()
        lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._adopt(lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError("another drill is under way on this host") from None
            yield
        finally:
            os.close(lock)

    def begin(self, result: Result) -> None:
        """Note that a drill begins, as what is left if nobody lives to say how it ended; raises OSError."""
        self._write(_BEGUN, encode(result))

    def forget(self) -> None:
        """Take back the note of a beginning; raises OSError."""
        (self.path / _BEGUN).unlink(missing_ok=True)

    def interrupted(self) -> Result | None:
        """Return the note of a drill that never ended, for who is alone; raises OSError."""
        try:
            return decode(_read(self.path / _BEGUN))
        except (FileNotFoundError, ValueError):
            return None

    def add(self, result: Result) -> None:
        """Put a result there and forget the oldest and the note of its beginning; raises OSError."""
        self._make()
        self._write(f"{result.id}{_SUFFIX}", encode(result))
        self.forget()
        others = [name for name in self.names() if name != f"{result.id}{_SUFFIX}"]
        for name in others[: 1 - KEPT]:
            (self.path / name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the names of results, oldest first; raises OSError."""
        try:
            found = os.listdir(self.path)  # noqa: PTH208 - names are wanted, not paths
        except FileNotFoundError:
            return []
        named = (name for name in found[:MAX_FILES] if name.endswith(_SUFFIX))
        return sorted(name for name in named if is_order_id(name.removesuffix(_SUFFIX)))

    def results(self) -> tuple[Result, ...]:
        """Return what can be read, oldest first; raises OSError."""
        found = []
        for name in self.names()[-KEPT:]:
            with contextlib.suppress(OSError, ValueError):  # one that is damaged hides no other
                found.append(decode(_read(self.path / name)))
        return tuple(found)

    def fresh(self) -> tuple[Result, ...]:
        """Return the results that are not in the request log yet, by the guard's own note; raises OSError."""
        recorded = self._recorded()
        return tuple(each for each in self.results() if each.id not in recorded)

    def note_recorded(self, result: str) -> None:
        """Note that this result is in the request log; raises OSError."""
        # Each by its id: one that was made after a clock was set back is older than what is recorded, and is new.
        kept = {name.removesuffix(_SUFFIX) for name in self.names()}
        self._write(_RECORDED, "".join(f"{each}\n" for each in sorted({*(self._recorded() & kept), result})).encode())

    def _recorded(self) -> set[str]:
        try:
            return set(_read(self.path / _RECORDED).decode("ascii", "replace").split())
        except (FileNotFoundError, ValueError):
            return set()

    def since(self) -> float | None:
        """Return since when drills are owed here; None where that was never noted. Raises OSError."""
        try:
            return float(_read(self.path / _SINCE))
        except (FileNotFoundError, ValueError):
            return None

    def note_since(self, now: float) -> None:
        """Note that they are owed from now on; raises OSError."""
        self._make()
        self._write(_SINCE, repr(now).encode())

    def _make(self) -> None:
        if not self.path.exists():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = self.path.parent.stat()
            if os.geteuid() == 0 and owner.st_uid != 0:
                os.chown(self.path, owner.st_uid, owner.st_gid)

    def _write(self, name: str, content: bytes) -> None:
        aside = self.path / f".{os.getpid()}.{name.lstrip('.')}"
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            self._adopt(fd)
            file.write(content)
            file.flush()
            os.fsync(fd)
        aside.replace(self.path / name)

    def _adopt(self, fd: int) -> None:
        """Give root's files to the state folder's owner, so that the guard can read them."""
        owner = self.path.parent.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.fchown(fd, owner.st_uid, owner.st_gid)


def _read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("not a regular file")
        return os.read(fd, MAX_BYTES + 1)
    finally:
        os.close(fd)
