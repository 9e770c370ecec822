"""Where copies go: a store of named, immutable objects."""

from __future__ import annotations

import re
from datetime import date
from typing import Final, Protocol

MAX_OBJECT_BYTES: Final = 80 * 1024 * 1024  # one frame at its longest, and a piece before it
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


class StoreError(Exception):
    """The store did not take or give an object; the message says why and quotes neither content nor credentials."""


class ConflictError(StoreError):
    """There is an object of this name with another content, and it stays; ``existing`` is that content."""

    def __init__(self, name: str, existing: bytes) -> None:
        """Name the object."""
        super().__init__(f"{name}: there is another object of this name already, which is not replaced")
        self.existing = existing


class Store(Protocol):
    """Both methods block, within the store's own time limits; both may be called from several threads."""

    def put(self, name: str, data: bytes, keep: date | None = None) -> None:
        """Store an object and prove that it is there whole; one of this name with the same content is as good.

        ``keep`` is the first day (UTC) on which it may be deleted, where the store can hold to that. Never replaces
        anything: raises ConflictError, or StoreError for everything else.
        """

    def get(self, name: str) -> bytes | None:
        """The content of an object, None if there is none; raises StoreError, also for one beyond MAX_OBJECT_BYTES."""


def checked(name: str) -> str:
    """An object's name as it is; raises ValueError for one that is not made of plain segments."""
    if not _NAME.fullmatch(name) or {".", ".."} & set(name.split("/")):
        raise ValueError("an object's name is plain segments with slashes between")
    return name


def bounded(name: str, data: bytes) -> bytes:
    """An object's content as it is; raises StoreError beyond MAX_OBJECT_BYTES."""
    if len(data) > MAX_OBJECT_BYTES:
        raise StoreError(f"{name}: longer than {MAX_OBJECT_BYTES} bytes")
    return data
