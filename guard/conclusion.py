"""Step 6 of the journey: what the caller is told, what the safeguards are told, and what is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from time import perf_counter
from typing import Final, Protocol

from guard.arrival import Arrival
from guard.live import LiveExchanges
from guard.pipeline import Admitted, Judgement, Watching
from guard.refusal import Ended, Refused
from guard.reply import STOP_SECONDS, Reply
from guard.serving import Answer, Serving
from guard.valve import Valve
from guard.wire.dialect import TOLD, AnswerReader, Naming
from safeguards.access import Access
from safeguards.decision import Ending, Outcome, Released
from safeguards.ports import Clock
from safeguards.verdict import PASS, Block, Code

# From here on an event that the dialect does not have ends the answer (law 2).
STRICT_ASL: Final = 3
LONG_WAIT_SECONDS: Final = 60.0
_ORDERED: Final = frozenset({Code.STOPPED, Code.DE_DEPLOYED, Code.NO_NEW_PRINCIPALS})


class Witness(Protocol):
    """Told about every exchange and every refusal; telemetry implements it and never raises."""

    def began(self, arrival: Arrival) -> None:
        """An exchange begins."""

    def took(self, arrival: Arrival, forwarding: float | None, first_byte: float | None) -> None:
        """Seconds that the guard itself added until it forwarded, and until the first byte left; None for neither."""

    def ended(self, arrival: Arrival, outcome: Outcome) -> None:
        """An exchange has ended and is recorded."""

    def abandoned(self, arrival: Arrival, result: str) -> None:
        """The model's server was asked to stop generating; ``result`` is what became of that."""

    def refused(self, refused: Refused, request: str) -> None:
        """A request was turned away before it became an exchange."""


class Traveller:
    """One exchange under way: what has come, what has left, and step 6 of its journey."""

    def __init__(self, arrival: Arrival, reply: Reply, live: LiveExchanges, clock: Clock) -> None:
        """Begin with nothing there and nothing back."""
        self.arrival = arrival
        self.serving: Serving = arrival.serving
        self.pipeline = arrival.pipeline
        self.reply = reply
        self.live = live
        self.clock = clock
        exchange, expected = arrival.exchange, arrival.serving.expect_model
        self.naming = Naming(exchange.id, exchange.model, int(exchange.received), expected, exchange.asl < STRICT_ASL)
        self.reader: AnswerReader | None = None
        self.valve = Valve()
        self.answer: Answer | None = None
        self.sent: Admitted | None = None
        self.events = 0
        self.seen: object = None
        self.characters = 0
        self.forwarding: float | None = None
        self.first_byte: float | None = None
        self.first_byte_added: float | None = None
        self.upstream_seconds = 0.0
        self.turned = 0.0  # when the journey last had nothing to do but wait for the upstream
        self.watching: Watching | None = None  # what a safeguard has to be awaited for
        self.instead: Arrival | None = None  # whose the answer is, where this model may not give it

    def conclude(self, judgement: Judgement, end: Ended | None, witness: Witness) -> Coroutine[None, None, None] | None:
        """Say what the caller is told, then what the safeguards are told, which is what is recorded.

        Done at once when the caller has his answer, or gets it of another model, and no safeguard waits; else returns
        what is left to do.
        """
        if end is not None and self.instead is None:
            return self._tell_and_close(judgement, end, witness)
        outcome = self.outcome(judgement, end, self.reply.status)
        waiting = self.pipeline.close(self.arrival.exchange, outcome)
        if waiting is not None:
            return self._await_close(waiting, outcome, witness)
        self._witnessed(outcome, witness)
        return None

    async def _tell_and_close(self, judgement: Judgement, end: Ended, witness: Witness) -> None:
        status = await self._tell(end)
        outcome = self.outcome(judgement, end, status or self.reply.status)
        waiting = self.pipeline.close(self.arrival.exchange, outcome)
        if waiting is not None:
            await waiting
        self._witnessed(outcome, witness)

    async def _await_close(self, waiting: Awaitable[None], outcome: Outcome, witness: Witness) -> None:
        await waiting
        self._witnessed(outcome, witness)

    def _witnessed(self, outcome: Outcome, witness: Witness) -> None:
        witness.took(self.arrival, self.forwarding, self.first_byte_added)
        witness.ended(self.arrival, outcome)

    async def _tell(self, end: Ended) -> int:
        """Tell the caller how it ended; returns the status that stands in the record."""
        reply, dialect = self.reply, self.arrival.dialect
        code = end.block.code
        if reply.ended or code is Code.CALLER_GONE:
            return TOLD[code].status if code is Code.CALLER_GONE else 0
        if not reply.started:
            body = dialect.error(code, self.naming.request, _order_of(end.block, self.arrival))
            headers = retry_headers(code, end.block)
            await reply.finish(reply.whole(TOLD[code].status, body, *headers))
        elif not self.arrival.request.streamed:
            reply.connection.abort()  # half of a plain answer has no end of its own
        elif code is Code.CONTENT_BLOCKED:
            await reply.finish(reply.end(dialect.end_blocked(self.naming, self.seen)))
        elif end.ending is Ending.STOPPED:
            reply.connection.last(STOP_SECONDS)
            await reply.finish(reply.end(dialect.end_failed(self.naming, self.seen, code)), STOP_SECONDS)
        else:
            reply.connection.last()
            await reply.finish(reply.end(dialect.end_failed(self.naming, self.seen, code)))
        return 0

    def outcome(
        self, judgement: Judgement, end: Ended | None, status: int, *, events: int = 0, size: int = 0
    ) -> Outcome:
        """How it ended, or will have ended once so many more events of so many bytes are sent."""
        reader = self.reader
        released = []
        if reader is not None:
            for channel in reader.channels.values():
                upto = self.valve.released.get(channel, 0)
                text = channel.text
                released.append(Released(channel.id, channel.end, upto, text[:upto], text[upto:]))
        return Outcome(
            ending=Ending.SERVED if end is None else end.ending,
            status=status,
            code=None if end is None else end.block.code,
            reason="" if end is None else end.block.reason,
            decisions=judgement.decisions(self.pipeline.watchers),
            released=tuple(released),
            events=self.events + events,
            sent_bytes=self.reply.sent + size,
            ended=self.clock.now(),
            seconds=perf_counter() - self.arrival.started,
            upstream_seconds=self.upstream_seconds,
            first_byte_seconds=self.first_byte,
            prompt_tokens=None if reader is None else reader.prompt_tokens,
            completion_tokens=None if reader is None else reader.completion_tokens,
            dropped_fields=0 if reader is None else reader.dropped,
            answered_as="" if self.instead is None else self.instead.exchange.id,
        )


def _order_of(block: Block, arrival: Arrival) -> str:
    """Name the order, so that a caller can ask about it; the name of a file is the operator's own.

    What replaces a model is named where it would answer this caller: not while it is stopped, nor without a grant.
    """
    if block.code not in _ORDERED or block.rule.startswith("file:"):
        return ""
    found = arrival.replaced() if block.code is Code.DE_DEPLOYED and arrival.replaced is not None else None
    instead = f"Use {found.exchange.model} instead. " if found is not None and _granted(found) else ""
    return f"{instead}Order {block.rule}."


def _granted(arrival: Arrival) -> bool:
    """Whether the model's own access lets the caller in."""
    mounts = (mount for mount in arrival.pipeline.mounts if mount.enforce and mount.safeguard.kind == Access.kind)
    return all(mount.safeguard.admit(arrival.exchange) == PASS for mount in mounts)


def retry_headers(code: Code, block: Block | None) -> list[tuple[bytes, bytes]]:
    """Say to SDKs whether to send the same request again, and when."""
    headers = []
    wait = 0.0 if block is None else block.retry_after or 0.0
    # SDKs sleep through any wait that they are told of: a long one is the caller's to plan, not theirs.
    if not TOLD[code].retry or wait > LONG_WAIT_SECONDS:
        headers.append((b"x-should-retry", b"false"))
    if block is not None and block.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(block.retry_after + 0.5))))
    return headers
