"""The policies that came into force, as the very bytes that were accepted: a folder each under ``<state>/policy``.

``policy/<digest>/`` is written aside, synced and renamed, so it is whole or not there; ``policy/current`` says which of
them is in force and is replaced in one step. Workers load exactly that folder, so a worker that is started later serves
the policy in force, whatever is in the configuration directory by then. ``guard diff STATE/policy/DIGEST DIR`` compares
one with the files of today. What is here is not secret, but whoever may write here may choose the policy: the folder's
permissions are its control, as with stop orders.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

KEPT: Final = 5
MAX_REMEMBERED: Final = 20_000
_MAX_BYTES: Final = 8_388_608
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_FOLDER: Final = "policy"


class SnapshotError(OSError):
    """What lies here is not what was put here; the words say what to do."""

    def __init__(self, words: str) -> None:
        """Take the words for people."""
        super().__init__(0, words)


@dataclass(frozen=True, slots=True)
class Current:
    """Which policy is in force, since when (seconds since the epoch), by whose act.

    ``remembered`` are subjects that were under two people's care in any policy that was ever in force here, ``levels``
    the last levels (deployment, security) of every name of a model, or of weights, that ever was.
    """

    digest: str
    since: float
    who: str
    remembered: frozenset[str]
    levels: Mapping[str, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))


class Snapshots:
    """The folder ``policy`` of a state directory; one process writes, others read."""

    def __init__(self, state: Path, *, sync: Callable[[int], None] = os.fsync) -> None:
        """Take the state directory; nothing is made before the first `put`."""
        self.folder = state / _FOLDER
        self._current = self.folder / "current"
        self._sync = sync

    def place(self, digest: str) -> Path:
        """Where the snapshot of this digest is; raises ValueError for what is no digest."""
        if _DIGEST.fullmatch(digest) is None:
            raise ValueError("a digest is 64 hexadecimal digits")
        return self.folder / digest

    def current(self) -> Current | None:
        """Return which policy is in force; None where none ever was. Raises SnapshotError for a damaged note."""
        try:
            with self._current.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            if any(self.folder.glob("[0-9a-f]*")):
                raise SnapshotError(
                    f"{self._current} is gone while policies are kept beside it, so it is not known which was in force"
                ) from None
            return None
        try:
            note = json.loads(raw) if len(raw) <= _MAX_BYTES else {}
            found = Current(
                str(note["digest"]),
                float(note["since"]),
                str(note["who"]),
                frozenset(map(str, note["remembered"])),
                {str(name): (int(one), int(two)) for name, (one, two) in note.get("levels", {}).items()},
            )
            self.place(found.digest)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise SnapshotError(
                f"{self._current} is damaged, so it is not known which policy is in force; put it back"
            ) from None
        return found

    def put(self, digest: str, files: Mapping[str, bytes], like: str = "", *, anew: bool = False) -> Path:
        """Keep these files under their digest, on disk when this returns; what is there and is the same stays.

        What is the same in the snapshot ``like`` is that file once more, since it is on disk already. With ``anew``
        nothing stays: whatever else was laid there goes too.
        """
        place = self.place(digest)
        if not anew and _holds(place, files):
            return place
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self.folder / f".{digest}.{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        try:
            folders = {aside, *((aside / label).parent for label in files)}
            for folder in folders:
                folder.mkdir(mode=0o700, exist_ok=True)
            for label, content in files.items():
                if not (like and _linked(self.place(like) / label, aside / label, content)):
                    self._write(aside / label, content)
            for folder in folders:
                self._sync_folder(folder)
            # What is there is damaged, and a folder cannot replace one that holds something: it steps aside first.
            if place.exists():
                old = self.folder / f".{digest}.{os.getpid()}.old"
                place.rename(old)
                aside.rename(place)
                shutil.rmtree(old, ignore_errors=True)
            else:
                aside.rename(place)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        self._sync_folder(self.folder)
        return place

    def choose(self, current: Current) -> None:
        """Make it the policy in force, on disk when this returns; raises OSError, then the one before stays.

        Beyond 20,000 remembered subjects or levels it is an error: nothing may be forgotten.
        """
        if max(len(current.remembered), len(current.levels)) > MAX_REMEMBERED:
            raise SnapshotError(f"more than {MAX_REMEMBERED} models and servers are to be remembered here")
        self.place(current.digest)
        note = {
            "version": 1,
            "digest": current.digest,
            "since": current.since,
            "who": current.who,
            "remembered": sorted(current.remembered),
            "levels": dict(sorted(current.levels.items())),
        }
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self.folder / f".current.{os.getpid()}"
        self._write(aside, json.dumps(note, indent=1).encode("ascii"))
        aside.replace(self._current)
        self._sync_folder(self.folder)

    def prune(self, keep: Collection[str], most: int = KEPT) -> None:
        """Remove what was left aside, and all but the newest snapshots; those in ``keep`` stay. Never raises."""
        with suppress(OSError):
            kept = 0
            entries = [(entry.stat().st_mtime_ns, entry) for entry in self.folder.iterdir()]
            for _, entry in sorted(entries, reverse=True):
                if entry.name.startswith(".") and entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)  # of a process that was killed
                elif _DIGEST.fullmatch(entry.name) and entry.name not in keep:
                    kept += 1
                    if kept > most - len(keep):
                        shutil.rmtree(entry, ignore_errors=True)

    def _write(self, path: Path, content: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            self._sync(file.fileno())

    def _sync_folder(self, folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._sync(fd)
        finally:
            os.close(fd)


def _holds(place: Path, files: Mapping[str, bytes]) -> bool:
    """Whether these very files are there."""
    try:
        return all(
            (place / label).stat().st_size == len(content) and (place / label).read_bytes() == content
            for label, content in files.items()
        )
    except OSError:
        return False


def _linked(source: Path, target: Path, content: bytes) -> bool:
    """Make a second name of a file of this content; False where there is none, or none can be made."""
    try:
        if source.read_bytes() != content:
            return False
        target.hardlink_to(source)
    except OSError:
        return False
    return True
