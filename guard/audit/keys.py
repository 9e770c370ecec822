"""The keys of kept texts: one random data key for each owner, retention class and day, wrapped, in a folder of its own.

A wrapped key is a small JSON file ``<day>/<class>.<digest of the owner>.<number>.key``; destroying it makes every text
under it unreadable wherever its ciphertext has been copied. It is wrapped by the key-encryption key (AES-256-GCM), and,
where there is one, to an investigator's public key (X25519, HKDF-SHA256, AES-256-GCM under a key used once). With an
investigator the first wrapping is taken away after the day, so that this host cannot read yesterday. What a disk or a
backup remembers of a file that was removed or replaced is beyond this: keep the folder off backups that outlive it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from guard.audit.directory import prepare
from guard.audit.disk import FILE_MODE, Disk, LocalDisk
from guard.audit.wrapping import KEY_BYTES, DataKey, Kek, KeyFile, KeyUnavailableError, data_key, wrap_to

_CLASS: Final = re.compile(r"[a-z]{1,16}-[0-9]{1,5}")
_FILE: Final = re.compile(r"([a-z]{1,16}-[0-9]{1,5})\.([0-9a-f]{32})\.([0-9]{1,3})\.key")
_MOST: Final = 100  # keys of one owner, class and day
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAX_FILE: Final = 65_536


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of the folder."""

    path: Path
    file: KeyFile


class KeyFolder:
    """The wrapped keys of all writers of one guard; files are made and replaced whole, and durably."""

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        """Take the folder; it is made with the first key."""
        self.directory = directory
        self._disk = disk or LocalDisk()

    def path(self, owner: str, retention: str, day: str, number: int) -> Path:
        """Where a key of this owner, class and day is."""
        digest = hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self.directory / day / f"{retention}.{digest}.{number}.key"

    def add(self, file: KeyFile, number: int) -> KeyFile:
        """Keep it, unless another process was first: then return what that one kept. Raises OSError."""
        path = self.path(file.owner, file.retention, file.day, number)
        prepare(path.parent)
        unfinished = self._unfinished(path, file)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            kept = read(path)
            if kept is None:
                raise KeyUnavailableError("it was destroyed while it was made") from None
            return kept
        finally:
            unfinished.unlink()
        self._disk.sync_directory(path.parent)
        return file

    def replace(self, stored: Stored, file: KeyFile) -> None:
        """Put another content into its place; raises OSError."""
        self._unfinished(stored.path, file).replace(stored.path)
        self._disk.sync_directory(stored.path.parent)

    def destroy(self, stored: Stored) -> None:
        """Remove a key for good, and what a crash left of it: its texts cannot be read again. Raises OSError."""
        directory = stored.path.parent
        for path in (stored.path, *directory.glob(f".{stored.path.name}.*.new")):
            with contextlib.suppress(FileNotFoundError):
                # Overwritten first: on most disks that proves nothing, and on some it helps.
                with path.open("r+b") as file:
                    file.write(bytes(path.stat().st_size))
                    file.flush()
                    os.fsync(file.fileno())
                path.unlink()
        self._disk.sync_directory(directory)

    def days(self) -> list[str]:
        """The days of which there are keys, oldest first; raises OSError."""
        try:
            return sorted(path.name for path in self.directory.iterdir() if _DAY.fullmatch(path.name))
        except FileNotFoundError:
            return []

    def paths(self, day: str) -> list[Path]:
        """The files of a day; raises OSError."""
        try:
            return sorted(path for path in (self.directory / day).iterdir() if _FILE.fullmatch(path.name))
        except FileNotFoundError:
            return []

    def of(self, day: str) -> Iterator[Stored]:
        """The keys of a day; raises OSError, and KeyUnavailableError for a damaged file."""
        for path in self.paths(day):
            file = read(path)
            if file is not None:
                yield Stored(path, file)

    def _unfinished(self, path: Path, file: KeyFile) -> Path:
        unfinished = path.with_name(f".{path.name}.{file.id}.{os.getpid()}.new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(msgspec.json.encode(file) + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        return unfinished


def read(path: Path) -> KeyFile | None:
    """A key file, None if there is none; raises OSError, and KeyUnavailableError if it is not what its name says."""
    try:
        with path.open("rb") as handle:
            content = handle.read(_MAX_FILE + 1)
    except FileNotFoundError:
        return None
    try:
        file = msgspec.json.decode(content, type=KeyFile)
        number = int(path.name.split(".")[-2])
        named = KeyFolder(path.parents[1]).path(file.owner, file.retention, file.day, number)
        valid = (
            file.version == 1
            and len(bytes.fromhex(file.id)) == 8  # noqa: PLR2004 - the bytes of an id
            and _CLASS.fullmatch(file.retention) is not None
            and str(date.fromisoformat(file.day)) == file.day
            and named == path
        )
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        valid = False
    if not valid:
        raise KeyUnavailableError(f"{path.parent.name}/{path.name} is damaged or not the key that its name says")
    return file


class DataKeys:
    """The data keys that a writer uses: found, or made; held open only for their own day."""

    def __init__(
        self,
        folder: KeyFolder,
        kek: Kek,
        investigator: X25519PublicKey | None = None,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Take where they are, what wraps them, and for whom else."""
        self._folder = folder
        self._kek = kek
        self._investigator = investigator
        self._randomness = randomness
        self._open: dict[tuple[str, str], DataKey] = {}
        self._day = self._withdrawn = ""

    def get(self, owner: str, retention: str, day: str) -> DataKey:
        """The key of this owner and class for texts of this day; raises OSError and KeyUnavailableError.

        The first of a day waits for the disk, since nothing may be sealed by a key that a crash could take.
        """
        if day != self._day:
            self._day = day
            self._open.clear()
        key = self._open.get((owner, retention))
        if key is None:
            key = self._open[owner, retention] = self._found(owner, retention, day)
        return key

    def _found(self, owner: str, retention: str, day: str) -> DataKey:
        for number in range(_MOST):
            file = read(self._folder.path(owner, retention, day, number))
            if file is None:
                file = self._folder.add(self._made(owner, retention, day), number)
            if file.kek is not None:  # else a clock that ran ahead has ended its day
                return data_key(file, self._kek.open(file))
        raise KeyUnavailableError(f"there are {_MOST} keys of one owner, class and day already")

    def turn(self, day: str) -> None:
        """Let go of the keys of other days; with an investigator, for good: until that is done it is tried again.

        Requests that still run keep theirs until they end. Raises OSError and KeyUnavailableError.
        """
        if day != self._day:
            self._day = day
            self._open.clear()
        if self._investigator is not None and self._withdrawn != day:
            withdraw(self._folder, day)
            self._withdrawn = day

    def _made(self, owner: str, retention: str, day: str) -> KeyFile:
        secret = self._randomness(KEY_BYTES)
        file = KeyFile(1, self._randomness(8).hex(), owner, retention, day)
        kek = self._kek.wrap(secret, file.labels, self._randomness)
        other = self._investigator
        wrapping = None if other is None else wrap_to(other, secret, file.labels, self._randomness)
        return msgspec.structs.replace(file, kek=kek, investigator=wrapping)


def withdraw(folder: KeyFolder, today: str) -> int:
    """Take from the keys of days before ``today`` what this host could open them with; returns of how many.

    It goes back to the first day where that was done already. A key that no investigator can open keeps it. One file
    that cannot be read does not save the others: raises OSError or KeyUnavailableError at the end.
    """
    count = 0
    problem: OSError | KeyUnavailableError | None = None
    for day in reversed([day for day in folder.days() if day < today]):
        before = count
        failed = False
        for path in folder.paths(day):
            try:
                file = read(path)
                if file is not None and file.kek is not None and file.investigator is not None:
                    folder.replace(Stored(path, file), msgspec.structs.replace(file, kek=None))
                    count += 1
            except (OSError, KeyUnavailableError) as error:
                problem, failed = error, True
        if count == before and not failed:
            break
    if problem is not None:
        raise problem
    return count
