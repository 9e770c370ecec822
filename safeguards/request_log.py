"""The request log: what is asked is on record before the model sees it, and how it ended always (rows C15, H1)."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from safeguards.base import Admission, Safeguard, Watch
from safeguards.decision import Failure, Outcome, Unavailable
from safeguards.exchange import Channel, Exchange
from safeguards.ports import Copies, Keep, Log
from safeguards.verdict import PASS, Block, Cleared, Code


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How much is written and when.

    ``durable``: on disk before the request is forwarded; ``parts``: each text is written before its release, and with
    ``parts_durable`` on disk before it;
    ``keep``: for how long the texts themselves are kept, sealed; None keeps only their lengths; ``patience``: seconds
    for which an outage of the log is served through, records waiting in memory, and none where they must be durable;
    ``max_lag``: seconds for which records may be without a copy before requests are turned away, None for ever.
    """

    durable: bool
    parts: bool
    keep: Keep | None
    patience: float = 0.0
    max_lag: float | None = None
    parts_durable: bool = False


class RequestLog(Safeguard):
    """Writes the intent at admission, the parts as they come, the outcome at the end."""

    kind = "request_log"
    watches = True

    def __init__(self, log: Log, settings: LogSettings, copies: Copies | None = None) -> None:
        """Take the store, this model's settings, and what knows of copies, asked only if there is a ``max_lag``."""
        self._log = log
        self._copies = copies
        self._settings = settings
        self._told: dict[str, Outcome] = {}  # what was recorded of exchanges that are about to end

    def admit(self, exchange: Exchange) -> Admission | Awaitable[Admission]:
        """Record the intent, also where lagging copies turn it away; wait for the disk only where that is demanded."""
        given = self._settings
        patience = 0.0 if given.durable else given.patience
        written = self._log.intent(exchange, durable=given.durable, keep=given.keep, patience=patience)
        return self._copied() if written is None else self._once(written)

    async def _once(self, written: Awaitable[None]) -> Admission:
        await written
        return self._copied()

    def _copied(self) -> Admission:
        most = self._settings.max_lag
        if most is None:
            return PASS
        if self._copies is None:
            raise Unavailable(Failure.UNREACHABLE, "nothing here knows of copies")
        lag = self._copies.lag()
        if lag <= most:
            return PASS
        return Block(Code.LOG_UNAVAILABLE, f"records have been without a copy for {lag:.0f} s; {most:g} s are allowed")

    def watch(self, exchange: Exchange, channel: Channel) -> Watch | Awaitable[Watch]:
        """Record the fresh text, which is a superset of what will be released."""
        given = self._settings
        if given.parts and channel.fresh:
            if given.parts_durable:
                return _cleared_by(self._log.part(exchange, channel, durable=True), channel.whole)
            self._log.part(exchange, channel)
        return channel.whole

    def before_last(self, exchange: Exchange, outcome: Outcome) -> Awaitable[None] | None:
        """Where the settings demand it, the outcome is on disk before the caller gets the last of his answer."""
        if not self._settings.durable:
            return None
        written = self._log.outcome(exchange, outcome, durable=True)
        self._told[exchange.id] = outcome
        return written

    def close(self, exchange: Exchange, outcome: Outcome) -> Awaitable[None] | None:
        """Record how it ended, unless that is on record already; what came otherwise at the last moment is added.

        The caller has his answer, so nobody waits for the disk: the log's own pace puts it there within a second.
        """
        told = self._told.pop(exchange.id, None)
        if told is not None and _same(told, outcome):
            return None
        return self._log.outcome(exchange, outcome, durable=False)


async def _cleared_by(written: Awaitable[None] | None, cleared: Cleared) -> Watch:
    if written is not None:
        await written
    return cleared


def _same(told: Outcome, ended: Outcome) -> bool:
    """Tell whether it ended as it was recorded; the times of a moment before count as the same."""
    return (told.ending, told.status, told.code, told.events, told.sent_bytes, told.released) == (
        ended.ending,
        ended.status,
        ended.code,
        ended.events,
        ended.sent_bytes,
        ended.released,
    )
