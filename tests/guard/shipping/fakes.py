"""A store in memory that does what a test tells it to, and looks like any other from outside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from guard.audit.note import Key
from guard.audit.signing_keys import public_key
from guard.shipping.cursor import Cursor
from guard.shipping.shipper import Shipper, log_folder
from guard.shipping.store import ConflictError, Store, StoreError, checked
from tests.guard.audit.sealed_log import Guard


class MemoryStore:
    """Keeps objects; ``before`` and ``after`` are called around each, and what they raise is raised."""

    def __init__(self) -> None:
        """Begin empty."""
        self.objects: dict[str, bytes] = {}
        self.keeps: dict[str, date | None] = {}
        self.puts: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None

    def put(self, name: str, data: bytes, keep: date | None = None) -> None:
        """As `Store.put`."""
        self.before(name)
        existing = self.objects.setdefault(checked(name), data)
        self.puts.append(name)
        if existing != data:
            raise ConflictError(name, existing)
        self.keeps[name] = keep
        self.after(name)

    def get(self, name: str) -> bytes | None:
        """As `Store.get`."""
        return self.objects.get(name)

    def to(self, folder: Path) -> Path:
        """Write everything below a folder, as a download of a bucket does; returns the folder of the one log."""
        for name, data in self.objects.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (log,) = folder.iterdir()
        return log


def fails(_: str) -> None:
    """A store that takes nothing."""
    raise StoreError("the store is away")


def key(guard: Guard) -> Key:
    """The log's public key."""
    return public_key(guard.state, origin="asl-guard/test", configured=None)


def shipper(guard: Guard, store: Store, *, keep_days: int | None = None) -> Shipper:
    """As a process begins, from what is on the disk."""
    return Shipper(guard.audit, key(guard), store, Cursor(guard.state, "memory"), guard.clock, keep_days=keep_days)


def folder(guard: Guard) -> str:
    """The name of the log's folder in the store."""
    return log_folder(key(guard))
