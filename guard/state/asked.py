"""Resumes that wait for people's approval, as a restart finds them: a file each under ``<state>/asked``.

Each is a statement and the approvals that came in for it. Nothing of it is believed: an approval is judged whenever it
is looked at, and by every worker once it is part of a resume. What is lost here costs people to approve once more.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec

from guard.state.orders import MAX_APPROVAL, MAX_SIGNATURES, Approver

NAME_DIGITS: Final = 32
MOST_FILES: Final = 200
MAX_BYTES: Final = 262_144
_FOLDER: Final = "asked"
_Words = Annotated[str, msgspec.Meta(max_length=512)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One statement that waits; ``expires`` is seconds since the epoch, ``who`` asked for it, ``target`` is what for.

    ``approvers`` are of distinct persons; each counted when it came in.
    """

    statement: Annotated[str, msgspec.Meta(max_length=MAX_APPROVAL)]
    target: _Words
    who: _Words
    expires: float
    approvers: Annotated[tuple[Approver, ...], msgspec.Meta(max_length=MAX_SIGNATURES)] = ()

    @property
    def name(self) -> str:
        """The beginning of the statement's SHA-256 in hexadecimal, which may stand in an address."""
        return hashlib.sha256(self.statement.encode("ascii", "replace")).hexdigest()[:NAME_DIGITS]


class AskedFolder:
    """The folder; one process writes, others read."""

    def __init__(self, state: Path) -> None:
        """Take the state directory; nothing is made before something waits."""
        self._folder = state / _FOLDER

    def read(self) -> tuple[Asked, ...]:
        """Return what lies there, the oldest first, of at most 200 files; what cannot be read is left out."""
        found: list[tuple[int, str, Asked]] = []
        with suppress(OSError):
            for path in sorted(self._folder.glob("*.json"))[:MOST_FILES]:
                with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError), path.open("rb") as file:
                    asked = _decode(file.read(MAX_BYTES))
                    if path.stem == asked.name:
                        found.append((os.fstat(file.fileno()).st_mtime_ns, asked.name, asked))
        return tuple(asked for _, _, asked in sorted(found, key=lambda each: each[:2]))

    def write(self, asked: Asked) -> None:
        """Put it there in place of what it was; raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self._folder / f".{asked.name}.{os.getpid()}"
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(_encode(asked))
        aside.replace(self._folder / f"{asked.name}.json")

    def remove(self, name: str) -> None:
        """It waits no longer; raises OSError."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Asked).decode
