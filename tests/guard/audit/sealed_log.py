"""A log as a guard leaves it: writers with requests, sealed again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from guard.audit.ledger import Ledger, Limits
from guard.audit.sealer import Round, Sealer
from guard.audit.signing_keys import KeyRing, open_keys
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit.fakes import Clock, exchange, outcome

SMALL = Limits(segment=2_000)


def write(audit: Path, writer: str, first: int, count: int, *, limits: Limits = SMALL) -> int:
    """Requests with intent, part and outcome, ids ``<writer>-<number>``; returns the last sequence."""

    async def _write() -> int:
        ledger = Ledger.open(audit / writer, Clock(), limits=limits)
        try:
            for number in range(first, first + count):
                asked = exchange(f"{writer}-{number}", text=f"FORBIDDEN-MARKER {number}")
                written = ledger.intent(asked, durable=True, keep=None)
                assert written is not None
                await written
                channel = Channel(ChannelId(0, ChannelKind.CONTENT))
                channel.append(f"part {number}")
                ledger.part(asked, channel)
                written = ledger.outcome(asked, outcome(), durable=True)
                assert written is not None
                await written
            return ledger.durable()
        finally:
            ledger.close()

    return asyncio.run(_write())


class Guard:
    """The folders of one host, and a sealer that is begun anew for every seal unless it is kept."""

    def __init__(self, base: Path, clock: Clock | None = None) -> None:
        """Use ``base/audit`` and ``base/state``."""
        self.audit = base / "audit"
        self.state = base / "state"
        self.clock = clock or Clock()
        self.audit.mkdir(parents=True, exist_ok=True)

    def ring(self) -> KeyRing:
        """The host's keys."""
        return open_keys(self.state, self.audit, origin="asl-guard/test", configured=None)

    def sealer(self) -> Sealer:
        """A sealer as a start of the guard makes it."""
        return Sealer(self.audit, self.ring(), self.clock, 3600.0)

    def seal(self, durable: Mapping[str, int | None] | None = None) -> Round:
        """One round of a sealer that is closed after it."""
        sealer = self.sealer()
        try:
            return sealer.round(durable or {})
        finally:
            sealer.close()


def grown(base: Path, rounds: int = 3, requests: int = 8) -> Guard:
    """Two workers and a supervisor, sealed after each of so many rounds, an epoch between them."""
    guard = Guard(base)
    for number in range(rounds):
        for writer in ("worker-0", "worker-1"):
            write(guard.audit, writer, number * requests, requests)
        guard.clock.pass_(1800.0)
        found = guard.seal()
        assert not [one for one in found.writers if one.problem], found
    return guard
