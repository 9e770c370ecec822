"""Where bodies lie: how a leaf names one, and what the frames of their segments say in clear."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum
from pathlib import Path
from typing import Final

import msgspec

from guard.audit.segments import name

FOLDER: Final = "bodies"
_CLASS: Final = re.compile(r"[a-z]{1,16}-[0-9]{1,5}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PLACE: Final = re.compile(r"([a-z]{1,16}-[0-9]{1,5})/([0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9]{1,20}):([0-9]{1,20})")


class Kind(IntEnum):
    """The frame kinds of these segments; numbers are never used again for something else."""

    SALT = 16
    BODY = 17
    BLOB = 18
    TEXT = 19


class Opened(msgspec.Struct, frozen=True):
    """The first frame of a segment: whose it is, and what makes its keys new."""

    writer: str
    retention: str
    day: str
    salt: bytes

    def context(self, segment: str) -> bytes:
        """What the segment's keys are bound to."""
        return f"{self.writer}\0{self.retention}\0{self.day}\0{segment}".encode()


@dataclass(frozen=True, slots=True)
class Where:
    """Where a body lies within its writer's folder; ``offset`` in bytes."""

    retention: str
    day: str
    segment: int
    offset: int

    def __str__(self) -> str:
        """As leaves have it."""
        return f"{self.retention}/{self.day}/{self.segment}:{self.offset}"

    @property
    def file(self) -> str:
        """The path of its segment below the writer's folder ``bodies``."""
        return f"{self.retention}/{self.day}/{name(self.segment)}"


def where(text: str) -> Where:
    """What a leaf says; raises ValueError."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError("not the place of a body")
    return Where(found[1], found[2], int(found[3]), int(found[4]))


def day_of(seconds: float) -> str:
    """The UTC day of a moment in seconds since the epoch; of one beyond the calendar its last day, or its first."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return str(date.min if seconds < 0 else date.max)


def folders(writer: Path) -> Iterator[tuple[Path, bool]]:
    """What lies where a writer's folders of class and day do, by name, and whether it is one; raises OSError."""
    outer = writer / FOLDER
    for retention in sorted(outer.iterdir()) if outer.is_dir() else ():
        if not (_CLASS.fullmatch(retention.name) and retention.is_dir()):
            yield retention, False
            continue
        for day in sorted(retention.iterdir()):
            yield day, _is_day(day.name) and day.is_dir()


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and str(date.fromisoformat(text)) == text
    except ValueError:
        return False


def bound(kind: Kind, one: str | bytes) -> bytes:
    """What a sealed frame is bound to beside its place: its kind, and the record's id or the blob's keyed hash."""
    return bytes((kind,)) + (one if isinstance(one, bytes) else one.encode("utf-8", "surrogatepass"))
