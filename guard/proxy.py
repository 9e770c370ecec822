"""A REQUEST'S JOURNEY, in six steps from top to bottom: a raw ASGI callable.

1 read the request strictly and bounded; 2 who is calling, which model, which policy; 3 the intent is on record and
4 every safeguard admits; 5 the answer streams through the valve, watched, until done, blocked, stopped, or the caller
left; 6 `close` always, shielded, and the outcome is recorded. The status line leaves with the first released byte.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any, Protocol

from guard.arrival import Arrival, Arrivals
from guard.ending import map_failure, map_status
from guard.live import Live, LiveExchanges
from guard.pipeline import Judgement
from guard.refusal import Ended, Refused
from guard.reply import Reply, Send
from guard.serving import Answer, Serving
from guard.valve import Valve
from guard.wire.dialect import TOLD, AnswerReader, Naming
from safeguards.decision import Decision, Ending, Outcome, Released
from safeguards.ports import Clock
from safeguards.verdict import Block, Code

_log = logging.getLogger("guard.proxy")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Witness(Protocol):
    """Told about every exchange and every refusal; telemetry implements it and never raises."""

    def began(self, arrival: Arrival) -> None:
        """An exchange begins."""

    def ended(self, arrival: Arrival, outcome: Outcome) -> None:
        """An exchange has ended and is recorded."""

    def refused(self, refused: Refused, request: str) -> None:
        """A request was turned away before it became an exchange."""


class Proxy:
    """Takes requests of one surface to their models."""

    def __init__(self, arrivals: Arrivals, live: LiveExchanges, witness: Witness, clock: Clock) -> None:
        """Take what reads requests, where running exchanges are kept, who is told, and the time."""
        self._arrivals = arrivals
        self._live = live
        self._witness = witness
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Travel."""
        reply = self._arrivals.reply(scope, send)
        try:
            arrival = await self._arrivals.read(scope, receive, reply)  # steps 1 and 2
        except Refused as refused:
            await self._turn_away(scope, reply, refused)
            return
        await _Travel(arrival, reply, self._live, self._clock).run(self._witness)

    async def _turn_away(self, scope: Scope, reply: Reply, refused: Refused) -> None:
        self._witness.refused(refused, reply.request)
        dialect = self._arrivals.dialect_for_errors(scope)
        if refused.code is Code.CALLER_GONE:
            reply.connection.abort()
            return
        # The rest of an unread body would be read as the next request's beginning: the connection ends here.
        reply.connection.last()
        body = dialect.error(refused.code, reply.request, refused.detail)
        await reply.finish(reply.whole(TOLD[refused.code].status, body, *_retry_headers(refused.code, None)))


class _Travel:
    """One exchange from admission to its record."""

    def __init__(self, arrival: Arrival, reply: Reply, live: LiveExchanges, clock: Clock) -> None:
        self.arrival = arrival
        self.serving: Serving = arrival.serving
        self.reply = reply
        self.live = live
        self.clock = clock
        self.naming = Naming(arrival.exchange.id, arrival.exchange.model, int(arrival.exchange.received))
        self.reader: AnswerReader | None = None
        self.valve = Valve()
        self.answer: Answer | None = None
        self.events = 0
        self.first_byte: float | None = None
        self.upstream_seconds = 0.0

    async def run(self, witness: Witness) -> None:
        arrival, reply, exchange = self.arrival, self.reply, self.arrival.exchange
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - an ASGI server runs its application in a task
        now = asyncio.get_running_loop().time()
        live = Live(exchange, task, now + self.serving.total_seconds, self.serving.idle_seconds)
        self.live.enter(live)
        reply.connection.when_gone(lambda: live.cut(Ending.CALLER_GONE, Block(Code.CALLER_GONE, "the caller left")))
        witness.began(arrival)
        judgement = self.serving.pipeline.begin(exchange)
        end: Ended | None = None
        leaving: asyncio.CancelledError | None = None
        try:
            await self._there_and_back(judgement, live)
        except Ended as ended:
            end = ended
        except asyncio.CancelledError as cancelled:
            if live.cause is None:  # the process itself is ending
                leaving = cancelled
            else:
                task.uncancel()
            end = live.cause or Ended(Ending.ERROR, Block(Code.DRAINING, "the server is shutting down"))
        except Exception as problem:  # noqa: BLE001 - the last resort; nothing more is released
            end = map_failure(problem)
            if end.block.code is Code.INTERNAL:
                _log.exception("the journey failed")
        self.live.leave(live)
        reply.connection.when_gone(None)
        if self.answer is not None:
            self.answer.close()
        # 6 always: what the caller is told, what the safeguards are told, what is recorded.
        status = reply.status
        if end is not None:
            status = await self._tell(end) or status
        outcome = self._outcome(judgement, end, status or reply.status)
        closing = asyncio.ensure_future(self.serving.pipeline.close(exchange, outcome))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError as cancelled:
            leaving = cancelled
            await asyncio.wait({closing})
        witness.ended(arrival, outcome)
        if leaving is not None:
            raise leaving

    async def _there_and_back(self, judgement: Judgement, live: Live) -> None:
        # 3 and 4: the request log is the first safeguard, so the intent is on record before anything else happens.
        admitted = await self.serving.pipeline.admit(judgement, self.arrival.request)
        if isinstance(admitted, Decision):
            raise Ended.by(admitted, Ending.BLOCKED_INPUT)
        # 5: there, and back through the valve.
        sent = perf_counter()
        answer = self.answer = await self.serving.upstream.send(admitted)
        self.upstream_seconds = perf_counter() - sent
        live.answer = answer
        map_status(answer, streamed=self.arrival.request.streamed)
        reader = self.reader = self.arrival.dialect.reader(self.arrival.request, self.naming)
        while True:
            waited = perf_counter()
            batch = await answer.read()
            self.upstream_seconds += perf_counter() - waited
            self.valve.put(reader.finish() if batch is None else reader.feed(batch))
            if reader.touched:
                await self._watch(judgement, reader)
            await self._release(last=batch is None or (self.arrival.request.streamed and reader.done))
            if self.reply.ended:
                return

    async def _watch(self, judgement: Judgement, reader: AnswerReader) -> None:
        pipeline = self.serving.pipeline
        for channel in reader.touched:
            watermark = pipeline.watch(judgement, channel)
            if not isinstance(watermark, int | Decision):
                watermark = await watermark
            if isinstance(watermark, Decision):
                raise Ended.by(watermark, Ending.BLOCKED_OUTPUT)
            self.valve.clear(channel, watermark)
            channel.settle()
        reader.touched.clear()

    async def _release(self, *, last: bool) -> None:
        valve = self.valve
        events = valve.release()
        if valve.held and (last or valve.held > self.serving.held_bytes):
            # What is still held at the end was never cleared: that is a block, not a pass.
            raise Ended(Ending.BLOCKED_OUTPUT, Block(Code.HELD_TOO_MUCH, "text was left uncleared"))
        if not events:
            return
        if self.first_byte is None:
            self.first_byte = perf_counter() - self.arrival.started
        self.events += len(events)
        data = events[0].data if len(events) == 1 else b"".join([event.data for event in events])
        if not self.arrival.request.streamed:
            await self.reply.whole(200, data)
            return
        await self.reply.stream(data)
        if last:
            await self.reply.end()

    async def _tell(self, end: Ended) -> int:
        """Tell the caller how it ended; returns the status that stands in the record."""
        reply, dialect = self.reply, self.arrival.dialect
        code = end.block.code
        if reply.ended or code is Code.CALLER_GONE:
            return TOLD[code].status if code is Code.CALLER_GONE else 0
        if not reply.started:
            body = dialect.error(code, self.naming.request)
            headers = _retry_headers(code, end.block)
            await reply.finish(reply.whole(TOLD[code].status, body, *headers))
        elif code is Code.CONTENT_BLOCKED:
            choices = sorted({c.id.choice for c in self.reader.channels.values()}) if self.reader else []
            await reply.finish(reply.end(dialect.end_blocked(self.naming, choices or [0])))
        else:
            reply.connection.last()
            await reply.finish(reply.end(dialect.end_failed(self.naming, code)))
        return 0

    def _outcome(self, judgement: Judgement, end: Ended | None, status: int) -> Outcome:
        reader = self.reader
        released = []
        if reader is not None:
            for channel in reader.channels.values():
                upto = self.valve.released.get(channel, 0)
                released.append(Released(channel.id, channel.end, upto, channel.text[:upto]))
        return Outcome(
            ending=Ending.SERVED if end is None else end.ending,
            status=status,
            code=None if end is None else end.block.code,
            reason="" if end is None else end.block.reason,
            decisions=judgement.decisions(self.serving.pipeline.watchers),
            released=tuple(released),
            events=self.events,
            sent_bytes=self.reply.sent,
            ended=self.clock.now(),
            seconds=perf_counter() - self.arrival.started,
            upstream_seconds=self.upstream_seconds,
            first_byte_seconds=self.first_byte,
            prompt_tokens=None if reader is None else reader.prompt_tokens,
            completion_tokens=None if reader is None else reader.completion_tokens,
            dropped_fields=0 if reader is None else reader.dropped,
        )


def _retry_headers(code: Code, block: Block | None) -> list[tuple[bytes, bytes]]:
    headers = []
    if not TOLD[code].retry:
        headers.append((b"x-should-retry", b"false"))
    if block is not None and block.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(block.retry_after + 0.5))))
    return headers
