"""The engine of a fleet on one host: a folder in which position N is the file N, taken by making its name.

Several guards on one machine share it. A name can be made once, so two writers never get one position, and nothing is
locked: a writer that freezes holds up nobody. It needs a local file system.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from guard.state.engine import (
    GENESIS,
    MAX_PAGE,
    MAX_REPORT_BYTES,
    TAKEN_SECONDS,
    ConflictError,
    EngineError,
    Entry,
    Head,
    Heard,
    TakenError,
    chain,
)
from guard.state.orders import MAX_ORDER_BYTES, is_order_id

_LOOK_SECONDS: Final = 0.02
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_REPLICAS: Final = 1_000
_DIGITS: Final = 12
_PATIENCE_SECONDS: Final = 2.0
_MAX_FILE: Final = MAX_ORDER_BYTES + 128
_MAX_LINE: Final = 128
T = TypeVar("T")


class SharedDirectory:
    """Implements `StateEngine`; every process opens its own. What it has read it reads again only after a change."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        """Take the folder, which is made at the first call, and the time in seconds since the epoch."""
        self._path = path
        self._now = now
        self._history = path / "history"
        self._replicas = path / "replicas"
        self._digests: list[bytes] = [GENESIS]
        self._positions: dict[str, int] = {}

    async def put(self, order: str, raw: bytes) -> int:
        """Add an order."""
        if not is_order_id(order) or not 1 <= len(raw) <= MAX_ORDER_BYTES:
            raise EngineError("not an order")
        return await self._guarded(lambda: self._put(order, raw))

    async def head(self) -> Head:
        """Answer the head."""
        return await self._guarded(self._head)

    async def beat(self, replica: str, incarnation: str, report: bytes) -> Head:
        """Write down what a replica says."""
        return await self._guarded(lambda: self._beat(replica, incarnation.encode("ascii"), report))

    async def since(self, position: int) -> tuple[Entry, ...]:
        """Return a page."""
        return await self._guarded(lambda: self._since(position))

    async def heard(self) -> tuple[Heard, ...]:
        """Return what the replicas said."""
        return await self._guarded(self._heard)

    async def forget(self, replica: str) -> None:
        """Remove what a replica said."""
        await self._guarded(lambda: self._replica(replica).unlink(missing_ok=True))

    async def hint(self, seconds: float) -> bool:
        """Look for the next file many times a second."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        place = self._file(len(self._digests))
        while not (grown := place.exists()) and loop.time() < until:  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(min(_LOOK_SECONDS, seconds))
        return grown

    async def aclose(self) -> None:
        """Let go: nothing is held open."""

    async def _guarded(self, act: Callable[[], T]) -> T:
        """Do it in a thread, so that a disk that hangs holds up only this call."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await asyncio.to_thread(act)
        except TimeoutError:
            raise EngineError("the shared folder does not answer in time") from None
        except OSError as problem:
            raise EngineError(f"the shared folder: {problem.strerror or type(problem).__name__}") from None

    def _put(self, order: str, raw: bytes) -> int:
        while True:
            self._read()
            position = self._positions.get(order)
            if position is not None:
                if self._entry(position)[0].raw != raw:
                    raise ConflictError("another order has this id")
                return position
            entry = Entry(len(self._digests), order, raw)
            line = f"{chain(self._digests[-1], entry).hex()} {order}\n".encode("ascii")
            if self._make(entry.position, line + raw):
                return entry.position

    def _head(self) -> Head:
        self._read()
        return Head(self._engine(), len(self._digests) - 1, self._digests[-1])

    def _beat(self, replica: str, incarnation: bytes, report: bytes) -> Head:
        if len(report) > MAX_REPORT_BYTES:
            raise EngineError(f"a report of {len(report)} bytes, at most {MAX_REPORT_BYTES}")
        target = self._replica(replica)
        self._replicas.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError), target.open("rb") as file:
            ago = self._now() - os.fstat(file.fileno()).st_mtime
            if file.readline(_MAX_LINE).rstrip(b"\n") != incarnation and ago < TAKEN_SECONDS:
                raise TakenError
        self._aside(incarnation + b"\n" + report).replace(target)
        return self._head()

    def _since(self, position: int) -> tuple[Entry, ...]:
        self._read()
        last = min(len(self._digests) - 1, position + MAX_PAGE)
        return tuple(self._entry(each)[0] for each in range(position + 1, last + 1))

    def _heard(self) -> tuple[Heard, ...]:
        found = []
        with suppress(FileNotFoundError):
            for path in sorted(self._replicas.iterdir())[:_MAX_REPLICAS]:
                if _NAME.fullmatch(path.name) is None:
                    continue
                with suppress(FileNotFoundError), path.open("rb") as file:
                    ago = max(0.0, self._now() - os.fstat(file.fileno()).st_mtime)
                    file.readline(_MAX_LINE)
                    found.append(Heard(path.name, ago, file.read(MAX_REPORT_BYTES)))
        return tuple(found)

    def _read(self) -> None:
        """Go on from what was read; if the last of that is not there any more, read everything anew."""
        last = len(self._digests) - 1
        if last and self._stored(last) != self._digests[last]:
            del self._digests[1:]
            self._positions.clear()
        while True:
            try:
                entry, digest = self._entry(len(self._digests))
            except FileNotFoundError:
                return
            if digest != chain(self._digests[-1], entry):
                raise EngineError(f"the shared folder is damaged at position {entry.position}")
            self._digests.append(digest)
            self._positions[entry.order] = entry.position

    def _stored(self, position: int) -> bytes:
        try:
            return self._entry(position)[1]
        except FileNotFoundError:
            return b""

    def _entry(self, position: int) -> tuple[Entry, bytes]:
        with self._file(position).open("rb") as file:
            content = file.read(_MAX_FILE)
        line, newline, raw = content.partition(b"\n")
        digest, _, order = line.partition(b" ")
        try:
            found = Entry(position, order.decode("ascii"), raw), bytes.fromhex(digest.decode("ascii"))
        except ValueError:
            found = Entry(position, "", b""), b""
        if not newline or not is_order_id(found[0].order):
            raise EngineError(f"the shared folder is damaged at position {position}")
        return found

    def _engine(self) -> str:
        """Return the folder's random name, made once by whoever is first."""
        place = self._path / "engine"
        with suppress(FileNotFoundError):
            return place.read_bytes()[:64].decode("ascii", "replace").strip()
        self._make_name(place, secrets.token_hex(16).encode("ascii"))
        return place.read_bytes()[:64].decode("ascii", "replace").strip()

    def _make(self, position: int, content: bytes) -> bool:
        return self._make_name(self._file(position), content)

    def _make_name(self, place: Path, content: bytes) -> bool:
        """Make a file of this content, whole and on disk; False where there is one of that name."""
        self._history.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self._aside(content)
        try:
            os.link(aside, place)
        except FileExistsError:
            return False
        finally:
            aside.unlink()
        fd = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        return True

    def _aside(self, content: bytes) -> Path:
        aside = self._path / f".{os.getpid()}.{secrets.token_hex(8)}"
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        return aside

    def _file(self, position: int) -> Path:
        return self._history / f"{position:0{_DIGITS}d}"

    def _replica(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None or name.startswith("."):
            raise EngineError("a replica's name: 1 to 64 of A-Z a-z 0-9 . _ -")
        return self._replicas / name
