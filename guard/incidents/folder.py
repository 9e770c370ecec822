"""The files: one folder for each incident under ``<state>/incidents``, one file for each event, never changed.

Whoever may write into the state folder may add events; the guard puts each on record when it sees it. A file that is no
event is reported as damage and keeps its incident from closing; it never hides the others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.incidents.events import ID, MAX_EVENT_BYTES, Event, EventError, decode, encode
from guard.incidents.incident import Incident, fold

MAX_INCIDENTS: Final = 10_000
MAX_EVENTS: Final = 1_000
RESERVE: Final = 250  # of those, for what an incident has not got yet: the guard's steps may be two for each alias
_SUFFIX: Final = ".json"
_RECORDED: Final = ".recorded"


class TooManyError(OSError):
    """More events than are ever read."""


@dataclass(frozen=True, slots=True)
class Read:
    """One incident's folder: its events, and the names in it that are none."""

    id: str
    events: tuple[Event, ...]
    damaged: tuple[str, ...]

    @property
    def incident(self) -> Incident | None:
        """What they mean; None without a first event."""
        return fold(self.events, self.damaged)


class IncidentFolder:
    """The incidents of one host."""

    def __init__(self, state: Path) -> None:
        """Take the state folder; nothing is made before the first event."""
        self.path = state / "incidents"

    def add(self, event: Event) -> None:
        """Write one event: whole and on the disk when this returns; raises OSError or EventError.

        FileExistsError when there is an event of that id already, TooManyError when it has too many: the last of the
        room is for what the incident has not got yet, and may need to be closed (`Incident.needs`).
        """
        raw = encode(event)
        folder = self.path / event.incident
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = sum(1 for _ in _names(folder))
        if there >= MAX_EVENTS or (there >= MAX_EVENTS - RESERVE and not self._needs(event)):
            raise TooManyError(f"the incident has {there} events, and room for none of a kind that it has already")
        aside = folder / f".{event.id}.{os.getpid()}"
        try:
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "wb") as file:
                self._adopt(fd, folder)
                file.write(raw)
                file.flush()
                os.fsync(fd)
            os.link(aside, folder / f"{event.id}{_SUFFIX}")
        finally:
            with suppress(OSError):
                aside.unlink()
            with suppress(OSError):  # an incident that could not be begun leaves no empty folder, which looks damaged
                folder.rmdir()
        for directory in (folder, self.path):
            _sync(directory)

    def ids(self) -> tuple[str, ...]:
        """The incidents, oldest first, however many; raises OSError."""
        try:
            names = os.listdir(self.path)  # noqa: PTH208 - as above
        except FileNotFoundError:
            return ()
        return tuple(sorted(name for name in names if ID.fullmatch(name)))

    def newest(self) -> tuple[tuple[str, ...], int]:
        """The incidents that are read, oldest first, and how many older ones are left out; raises OSError."""
        ids = self.ids()
        return ids[-MAX_INCIDENTS:], max(0, len(ids) - MAX_INCIDENTS)

    def has(self, one: str) -> bool:
        """Whether there is an incident of this id; raises OSError."""
        try:
            return ID.fullmatch(one) is not None and stat.S_ISDIR(os.lstat(self.path / one).st_mode)
        except FileNotFoundError:
            return False

    def read(self, one: str, known: Callable[[str], Event | None] = lambda _: None) -> Read:
        """Read an incident; events that ``known`` has are taken from there, since none ever changes. Raises OSError."""
        events: list[Event] = []
        damaged: list[str] = []
        names = sorted(_names(self.path / one))
        for name in names[: MAX_EVENTS + 1]:
            number = name.removesuffix(_SUFFIX)
            try:
                event = known(number) or _load(self.path / one / name)
            except FileNotFoundError:
                continue
            except (OSError, EventError):
                event = None
            if event is not None and (f"{event.id}{_SUFFIX}", event.incident) == (name, one):
                events.append(event)
            else:
                damaged.append(ascii(name)[1:-1][:100])
        return Read(one, tuple(events), tuple(damaged))

    def all(self) -> Iterator[Read]:
        """Read the incidents, oldest first; raises OSError."""
        for one in self.newest()[0]:
            yield self.read(one)

    def recorded(self) -> frozenset[str]:
        """The ids of events that are in the request log already, by the guard's own note; raises OSError."""
        try:
            content = (self.path / _RECORDED).read_text("ascii", "replace")
        except FileNotFoundError:
            return frozenset()
        return frozenset(line for line in content.split("\n") if ID.fullmatch(line))

    def note_recorded(self, event: str) -> None:
        """Note that an event is in the request log; raises OSError. Lost by a crash, it is recorded once more."""
        fd = os.open(
            self.path / _RECORDED, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            os.write(fd, f"{event}\n".encode("ascii"))
        finally:
            os.close(fd)

    def _needs(self, event: Event) -> bool:
        incident = self.read(event.incident).incident
        return incident is not None and incident.needs(event)

    def _adopt(self, fd: int, folder: Path) -> None:
        """Give root's files to the state folder's owner, so that the guard can read them."""
        owner = self.path.parent.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.fchown(fd, owner.st_uid, owner.st_gid)
            for directory in (self.path, folder):
                os.chown(directory, owner.st_uid, owner.st_gid)


def _names(folder: Path) -> Iterator[str]:
    """Yield the names of what may be an event: what is being written begins with a dot."""
    return (name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208 - names, not paths


def _load(path: Path) -> Event:
    # Not blocking and not following: a FIFO or a link put there must not hold up or mislead the reader.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise EventError("not a regular file")
        return decode(os.read(fd, MAX_EVENT_BYTES + 1))
    finally:
        os.close(fd)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
