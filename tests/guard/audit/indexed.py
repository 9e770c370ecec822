"""What the tests of indexes share: requests written, and where their records begin, by an index and by reading."""

from __future__ import annotations

from pathlib import Path

from guard.audit import frames, records
from guard.audit.index import Index, key_of
from guard.audit.ledger import Ledger, Limits
from tests.guard.audit.fakes import exchange, outcome

LONG = Limits(interval=30.0)


def asked(log: Ledger, *ids: str) -> None:
    for one in ids:
        log.intent(exchange(one), durable=False, keep=None)
        log.outcome(exchange(one), outcome(), durable=False)


def offsets(segment: Path, request: str) -> list[int]:
    with Index(segment) as index:
        return list(index.offsets(key_of(request)))


def truth(segment: Path, request: str) -> list[int]:
    """Where its records begin, by reading all of it."""
    found = frames.scan(segment.read_bytes()).frames
    return [one.offset for one in found if getattr(records.decode(one.kind, one.payload), "id", "") == request]
