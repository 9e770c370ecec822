"""The port that a fleet's engine of orders stands behind: an append-only history, its head, and who has obeyed.

An engine carries the bytes of orders and knows nothing of what they mean. Its positions count from 1 without a gap, in
the order of commits, and each has a digest over all that came before (`chain`), so a history that was rolled back or
rewritten differs from what a replica has seen. One conformance suite runs on every implementation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Protocol

MAX_PAGE: Final = 500
MAX_REPORT_BYTES: Final = 65_536
TAKEN_SECONDS: Final = 5.0
GENESIS: Final = bytes(32)


class EngineError(Exception):
    """The engine did not answer as it must; the message says why and holds no secret."""


class TakenError(EngineError):
    """Another guard that lives has this replica's name."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("another guard has this replica's name and was heard a moment ago")


class ConflictError(EngineError):
    """Another order has this id: what is there stays."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far the history reaches: ``engine`` is the random name it got when it was made, ``digest`` 32 bytes."""

    engine: str
    position: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One order in the history: its id and its very bytes."""

    position: int
    order: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """What a replica last said, and how many seconds ago by the engine's own clock."""

    replica: str
    ago: float
    report: bytes


class StateEngine(Protocol):
    """Every call ends within the engine's own time limits and raises EngineError, never anything else."""

    async def put(self, order: str, raw: bytes) -> int:
        """Add an order, durable when this returns its position; the same bytes again give the same position.

        Raises ConflictError when another order has the id.
        """

    async def head(self) -> Head:
        """Answer the newest head that was ever answered to anybody, or a newer one."""

    async def beat(self, replica: str, incarnation: str, report: bytes) -> Head:
        """Write down what this replica says, durably, and answer the head as of after that: the proof of freshness.

        It is a write because an engine that was cut off from its fellows can still read. ``incarnation`` is random for
        each start: while another one was heard within `TAKEN_SECONDS`, the name is its, and this raises EngineError.
        """

    async def since(self, position: int) -> tuple[Entry, ...]:
        """Return what came after a position, oldest first, at most `MAX_PAGE`."""

    async def heard(self) -> tuple[Heard, ...]:
        """Return what every replica last said, by name."""

    async def forget(self, replica: str) -> None:
        """Expect nothing more of a replica: it has ended, or somebody says that it never comes back."""

    async def hint(self, seconds: float) -> bool:
        """Return whether the history may have grown, at the latest after so long; it may lie, and raises nothing."""

    async def aclose(self) -> None:
        """Let connections go; the next call makes new ones."""


def chain(before: bytes, entry: Entry) -> bytes:
    """Return the digest at an entry: SHA-256 of the one before, the position (8 bytes, big-endian) and two hashes.

    The hashes are SHA-256 of the id (ASCII) and of the order's bytes.
    """
    parts = (hashlib.sha256(entry.order.encode("ascii")), hashlib.sha256(entry.raw))
    return hashlib.sha256(
        before + entry.position.to_bytes(8, "big") + b"".join(part.digest() for part in parts)
    ).digest()
