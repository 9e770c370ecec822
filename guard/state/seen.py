"""What a replica has seen of its engine's history, on disk, so that one that goes back is noticed.

``fleet/seen`` is the last position and its digest. ``fleet/distrusted`` says that the engine showed another history:
from then on nothing it says is proof of freshness or lifts a stop, until a person has looked and says
``guard state accept``, which puts ``fleet/accepted`` in its place.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from guard.state.engine import Head

_MAX_BYTES: Final = 16_384
_SHA256_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Distrust:
    """Why the engine is not believed, since when (seconds since the epoch), and the engine it was."""

    engine: str
    why: str
    since: float


class SeenError(OSError):
    """What lies here is damaged; the words say what to do."""

    def __init__(self, words: str) -> None:
        """Take the words for people."""
        super().__init__(0, words)


class Seen:
    """The folder ``fleet`` of a state directory."""

    def __init__(self, state: Path) -> None:
        """Take the state directory."""
        self._folder = state / "fleet"

    def head(self) -> Head | None:
        """Return what was seen last; None at the first start. Raises SeenError for a damaged note."""
        note = self._read("seen")
        if note is None:
            return None
        try:
            found = Head(str(note["engine"]), int(note["position"]), bytes.fromhex(note["digest"]))
        except (ValueError, KeyError, TypeError):
            raise self._damaged("seen") from None
        if found.position < 0 or len(found.digest) != _SHA256_BYTES:
            raise self._damaged("seen")
        return found

    def saw(self, head: Head) -> None:
        """Remember it, on disk when this returns; raises OSError."""
        self._write("seen", {"engine": head.engine, "position": head.position, "digest": head.digest.hex()})

    def distrust(self) -> Distrust | None:
        """Return why the engine is not believed; None while it is. Raises SeenError for a damaged note."""
        note = self._read("distrusted")
        if note is None:
            return None
        try:
            return Distrust(str(note["engine"]), str(note["why"]), float(note["since"]))
        except (ValueError, KeyError, TypeError):
            raise self._damaged("distrusted") from None

    def doubt(self, distrust: Distrust) -> None:
        """Believe nothing from now on."""
        fields = {"engine": distrust.engine, "why": distrust.why, "since": distrust.since}
        self._write("distrusted", fields)
        with suppress(FileNotFoundError):
            (self._folder / "accepted").unlink()

    def accept(self) -> Distrust | None:
        """Let the running guard begin anew with the history that is there; returns what was wrong, None if nothing."""
        wrong = self.distrust()
        if wrong is not None:
            (self._folder / "distrusted").rename(self._folder / "accepted")
        return wrong

    def take_acceptance(self) -> bool:
        """Return whether a person has accepted the history, and forget what was seen of the one before."""
        if not (self._folder / "accepted").exists():
            return False
        for name in ("seen", "accepted"):  # in this order: killed in between, it is done again
            with suppress(FileNotFoundError):
                (self._folder / name).unlink()
        return True

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            with (self._folder / name).open("rb") as file:
                raw = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return None
        try:
            note = json.loads(raw)
        except (ValueError, RecursionError):
            raise self._damaged(name) from None
        if not isinstance(note, dict):
            raise self._damaged(name)
        return note

    def _write(self, name: str, note: dict[str, object]) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        aside = self._folder / f".{name}.{os.getpid()}"
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(note).encode("ascii"))
            file.flush()
            os.fsync(fd)
        aside.replace(self._folder / name)
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _damaged(self, name: str) -> SeenError:
        return SeenError(f"{self._folder / name} is damaged: look at the engine's history, then remove the file")
