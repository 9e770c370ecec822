"""Legal holds: what may not be deleted, whatever its time; small files in the folder of the wrapped keys."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from guard.audit.body_places import where
from guard.audit.directory import prepare
from guard.audit.disk import FILE_MODE, LocalDisk
from guard.audit.read import Damage, Entry, iter_records, search
from guard.audit.records import Intent

FOLDER: Final = "holds"
_NAME: Final = re.compile(r"hold-[0-9a-f]{16}")
_LOCK: Final = ".lock"
LOCK_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.01
FIRST, LAST = "0000-01-01", "9999-12-31"


class HoldError(Exception):
    """A hold cannot be read or made; nothing may be deleted while one cannot be read."""


class Hold(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is held: of days ``since`` to ``until`` (both included), everything, or one owner's, or one model's.

    ``request`` says which request's owner and day it was made for.
    """

    id: str
    who: str
    reason: str
    created: float
    since: str = FIRST
    until: str = LAST
    owner: str = ""
    model: str = ""
    request: str = ""


class Holds:
    """The holds of one guard."""

    def __init__(self, keys: Path) -> None:
        """Take the folder of the wrapped keys."""
        self._directory = keys / FOLDER

    def all(self) -> tuple[Hold, ...]:
        """Every hold; raises HoldError if one cannot be read."""
        try:
            paths = sorted(self._directory.iterdir())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise HoldError(f"{self._directory}: {error.strerror}") from None
        found = []
        for path in paths:
            if path.name.startswith("."):
                continue
            try:
                hold = msgspec.json.decode(path.read_bytes(), type=Hold)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                raise HoldError(f"{path}: is not a hold that can be read") from None
            if path.name != f"{hold.id}.json" or not _NAME.fullmatch(hold.id):
                raise HoldError(f"{path}: is not the hold that its name says")
            found.append(hold)
        return tuple(found)

    @contextlib.contextmanager
    def locked(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Keep other processes from deleting, and from confirming holds; raises OSError, and HoldError after so long.

        Whoever deletes reads `all` within it, before the record of the deletion, and deletes within it.
        """
        prepare(self._directory)
        descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            limit = time.monotonic() + seconds
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > limit:
                        raise HoldError(f"{self._directory}: another command has been deleting all the time") from None
                    time.sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def add(self, hold: Hold, seconds: float = LOCK_SECONDS) -> None:
        """Hold, durably; when this returns, no deletion is under way that has not seen it. Raises OSError.

        Written first and waited for then, so that a long row of deletions cannot keep it out. Raises HoldError for a
        deletion that does not end: the hold is there, and what that one deletes may yet go.
        """
        self._write(hold)
        try:
            with self.locked(seconds):
                pass
        except HoldError as error:
            raise HoldError(
                f"{hold.id} is made, but a deletion that began before it may be under way: {error}"
            ) from None

    def _write(self, hold: Hold) -> None:
        prepare(self._directory)
        path = self._directory / f"{hold.id}.json"
        unfinished = path.with_name(f".{path.name}.new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(hold) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        LocalDisk().sync_directory(self._directory)

    def release(self, name: str) -> None:
        """End a hold; raises HoldError when there is none of that id."""
        if not _NAME.fullmatch(name):
            raise HoldError(f"there is no hold {name!a}")
        try:
            (self._directory / f"{name}.json").unlink()
        except FileNotFoundError:
            raise HoldError(f"there is no hold {name}") from None
        LocalDisk().sync_directory(self._directory)


@dataclass(frozen=True, slots=True)
class Held:
    """Holds, and of the models among them which owners used them on which days; None for not known."""

    holds: tuple[Hold, ...]
    used: frozenset[tuple[str, str, str]] | None

    def by(self, owner: str, day: str) -> Hold | None:
        """The hold on an owner's texts of a day, None for none."""
        for hold in self.holds:
            if not hold.since <= day <= hold.until or hold.owner not in {"", owner}:
                continue
            if not hold.model or self.used is None or (hold.model, owner, day) in self.used:
                return hold
        return None


def held(audit: Path, holds: tuple[Hold, ...], passed: Callable[[int], None] = lambda _: None) -> Held:
    """Look up in the log who used the models that are held, telling ``passed`` how many records were read.

    A log with damage may hide a use, so then every owner's texts of the days of such a hold are held. Raises
    LedgerError.
    """
    if not any(hold.model for hold in holds):
        return Held(holds, frozenset())
    models = {hold.model for hold in holds}
    used = set()
    for count, item in enumerate(iter_records(audit), 1):
        passed(count)
        if isinstance(item, Damage):
            return Held(holds, None)
        record = item.record
        if isinstance(record, Intent) and record.model in models and record.body:
            try:
                used.add((record.model, record.owner, where(record.body).day))
            except ValueError:
                return Held(holds, None)
    return Held(holds, frozenset(used))


def of_request(audit: Path, request: str) -> tuple[str, str] | None:
    """The owner and day under which a request's texts are kept, None if it has none on record; raises LedgerError."""
    for item in search(audit, request):
        if isinstance(item, Entry) and isinstance(item.record, Intent):
            try:
                return item.record.owner, where(item.record.body).day
            except ValueError:
                return None
    return None
