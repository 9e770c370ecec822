"""From exchanges to records: what the clear leaves say of them, with what stands for their texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guard.audit import records
from safeguards import decision
from safeguards.exchange import Channel, Exchange


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the leaf says of texts that were sealed or at least hashed: in their order, empty where it says nothing."""

    body: str = ""
    commitments: Sequence[str] = ()
    matches: Sequence[str] = ()

    def of(self, index: int) -> tuple[str, str]:
        """Commitment and match of one text."""
        return (
            self.commitments[index] if index < len(self.commitments) else "",
            self.matches[index] if index < len(self.matches) else "",
        )


NOTHING = Sealed()


def intent(exchange: Exchange, time: float, monotonic: float, sealed: Sealed = NOTHING) -> records.Intent:
    """The intent of an exchange."""
    caller = exchange.caller
    passages = tuple(
        records.Passage(passage.place, passage.role, len(passage.text), *sealed.of(index))
        for index, passage in enumerate(exchange.passages)
    )
    return records.Intent(
        time,
        _micro(monotonic),
        exchange.id,
        exchange.received,
        caller.key,
        caller.owner,
        caller.tier,
        exchange.model,
        exchange.asl,
        exchange.surface,
        exchange.dialect,
        exchange.operation,
        exchange.streamed,
        exchange.policy,
        passages,
        exchange.framework,
        sealed.body,
        caller.audience,
        exchange.release,
        exchange.capabilities,
        exchange.asked,
    )


def part(
    exchange: Exchange, channel: Channel, time: float, monotonic: float, commitment: str = "", body: str = ""
) -> records.Part:
    """The fresh text of a channel."""
    return records.Part(
        time, _micro(monotonic), exchange.id, str(channel.id), channel.start, len(channel.fresh), commitment, body
    )


def outcome(
    exchange: Exchange,
    ended: decision.Outcome,
    time: float,
    monotonic: float,
    sealed: Sealed = NOTHING,
    flagged: str = "",
) -> records.Outcome:
    """The outcome of an exchange."""
    decisions = tuple(
        records.Decision(
            one.safeguard,
            one.target,
            one.enforced,
            one.denied,
            one.blocked,
            _micro(one.seconds),
            one.code,
            one.reason,
            one.category,
            one.rule,
            one.failure,
            one.retry_after,
            one.score,
            one.threshold,
            one.also,
        )
        for one in ended.decisions
    )
    released = tuple(
        records.Released(str(one.channel), one.received, one.released, *sealed.of(index))
        for index, one in enumerate(ended.released)
    )
    return records.Outcome(
        time,
        _micro(monotonic),
        exchange.id,
        ended.ending,
        ended.status,
        ended.code,
        ended.reason,
        decisions,
        released,
        ended.events,
        ended.sent_bytes,
        ended.ended,
        _micro(ended.seconds),
        _micro(ended.upstream_seconds),
        None if ended.first_byte_seconds is None else _micro(ended.first_byte_seconds),
        ended.prompt_tokens,
        ended.completion_tokens,
        ended.dropped_fields,
        sealed.body,
        flagged,
        exchange.framework,
        ended.answered_as,
    )


def _micro(seconds: float) -> float:
    """A duration to the microsecond: what is shorter is noise, and takes as many bytes again.

    No duration is negative; `round` would take five times as long.
    """
    return int(seconds * 1e6 + 0.5) / 1e6
