"""A REQUEST'S JOURNEY, in six steps from top to bottom: a raw ASGI callable.

1 read the request strictly and bounded; 2 who is calling, which model, which policy; 3 the intent is on record and
4 every safeguard admits; 5 the answer streams through the valve, watched, until done, blocked, stopped, or the caller
left; 6 `close` always, shielded, and the outcome is recorded. The status line leaves with the first released byte.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from time import perf_counter
from typing import Any

from guard.arrival import Arrivals
from guard.conclusion import Traveller, Witness, retry_headers
from guard.ending import map_failure, map_status
from guard.live import Live, LiveExchanges
from guard.local import Local
from guard.pipeline import Judgement, Watching
from guard.refusal import Ended, Refused
from guard.reply import Reply, Send
from guard.wire.dialect import TOLD, AnswerReader, Event
from safeguards.decision import Decision, Ending, Target
from safeguards.exchange import Channel
from safeguards.ports import Clock
from safeguards.verdict import Block, Code

_log = logging.getLogger("guard.proxy")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Proxy:
    """Takes requests of one surface to their models."""

    def __init__(
        self, arrivals: Arrivals, live: LiveExchanges, witness: Witness, clock: Clock, local: Local | None = None
    ) -> None:
        """Take what reads requests, where running exchanges are kept, who is told, the time, and what answers here."""
        self._arrivals = arrivals
        self._local = local
        self._live = live
        self._witness = witness
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Travel."""
        reply = self._arrivals.reply(scope, send)
        try:
            if self._local is not None and await self._local.answer(scope, receive, reply):
                return
            arrival = await self._arrivals.read(scope, receive, reply)  # steps 1 and 2
        except Refused as refused:
            await self._turn_away(scope, reply, refused)
            return
        except Exception:  # noqa: BLE001 - the last resort of reading; nothing was forwarded
            _log.exception("the request could not be read")
            await self._turn_away(scope, reply, Refused(Code.INTERNAL))
            return
        await _Journey(arrival, reply, self._live, self._clock).run(self._witness)

    async def _turn_away(self, scope: Scope, reply: Reply, refused: Refused) -> None:
        self._witness.refused(refused, reply.request)
        dialect = self._arrivals.dialect_for_errors(scope)
        if refused.code is Code.CALLER_GONE:
            reply.connection.abort()
            return
        # The rest of an unread body would be read as the next request's beginning: the connection ends here.
        reply.connection.last()
        body = dialect.error(refused.code, reply.request, refused.detail)
        await reply.finish(reply.whole(TOLD[refused.code].status, body, *retry_headers(refused.code, None)))


class _Journey(Traveller):
    """Steps 3 to 6 of one exchange."""

    async def run(self, witness: Witness) -> None:
        arrival, reply, exchange = self.arrival, self.reply, self.arrival.exchange
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - an ASGI server runs its application in a task
        now = asyncio.get_running_loop().time()
        live = Live(exchange, task, now + self.serving.total_seconds, self.serving.idle_seconds)
        self.live.enter(live)
        reply.connection.when_gone(lambda: live.cut(Ending.CALLER_GONE, Block(Code.CALLER_GONE, "the caller left")))
        if exchange.asked:
            reply.answered_by(exchange.model, exchange.id)
        witness.began(arrival)
        judgement = self.pipeline.begin(exchange)
        live.tighten = partial(self._tighten, judgement, live)
        end: Ended | None = None
        leaving: asyncio.CancelledError | None = None
        try:
            await self._there_and_back(judgement, live)
        except Ended as ended:
            end = ended
        except asyncio.CancelledError as cancelled:
            if live.cause is None:  # the process itself is ending
                leaving = cancelled
            end = live.cause or Ended(Ending.ERROR, Block(Code.DRAINING, "the server is shutting down"))
        except Exception as problem:  # noqa: BLE001 - the last resort; nothing more is released
            end = map_failure(problem)
            if end.block.code is Code.INTERNAL:
                _log.exception("the journey failed")
        if self.watching is not None:
            self.watching.drop()
        self.live.leave(live, end)
        reply.connection.when_gone(None)
        if self.answer is not None:
            if end is None:
                self.serving.upstream.settle(self.answer)
            else:
                self.answer.close()
        # 6 always, in a task of its own: neither a cut that is still on its way nor the process's end interrupts it.
        rest = self.conclude(judgement, end, witness)
        concluding = None if rest is None else asyncio.ensure_future(rest)
        if end is not None and end.ending is Ending.STOPPED and self.sent is not None:
            self.serving.upstream.abandon(self.sent, lambda result: witness.abandoned(arrival, result))
        if self.instead is not None:
            # Within this turn of the loop, so that no order, reload or leaving caller finds neither of the two.
            try:
                await _Journey(self.instead, reply, self.live, self.clock).run(witness)
            except asyncio.CancelledError as cancelled:
                leaving = cancelled
        while concluding is not None and not concluding.done():
            try:
                await asyncio.wait({concluding})
            except asyncio.CancelledError as cancelled:
                if live.cause is None or task.cancelling() > 1:
                    leaving = cancelled
        if leaving is not None:
            raise leaving
        if live.cause is not None:
            task.uncancel()
        if concluding is not None:
            concluding.result()

    async def _there_and_back(self, judgement: Judgement, live: Live) -> None:
        # 3 and 4: the request log is the first safeguard, so the intent is on record before anything else happens.
        pipeline = self.pipeline
        diverting = self.arrival.diverting
        goes_on = None if diverting is None else diverting.goes_on
        admitted = await pipeline.admit(judgement, self.arrival.request, goes_on)
        if pipeline is not self.pipeline:  # tightened while a safeguard waited
            admitted = self.pipeline.carry_out(judgement) or admitted
        if diverting is not None and live.cause is None and (kept := diverting.kept(self.pipeline, judgement)):
            end, self.instead = kept
            raise end
        if isinstance(admitted, Decision):
            raise Ended.by(admitted, Ending.BLOCKED_INPUT)
        if live.cause is not None:  # cut while no safeguard waited, or one that waited swallowed it
            raise live.cause
        # 5: there, and back through the valve.
        sent = perf_counter()
        self.forwarding = sent - self.arrival.started
        self.sent = admitted
        answer = self.answer = await self.serving.upstream.send(admitted)
        self.upstream_seconds = perf_counter() - sent
        live.answer = answer
        map_status(answer, streamed=self.arrival.request.streamed)
        self.reader = self.arrival.dialect.reader(self.arrival.request, self.naming)
        self.turned = perf_counter()
        take = partial(self._take, judgement, live, self.reader)
        while not self.reply.ended:
            more = await answer.follow(take)
            if not more:
                self.upstream_seconds += perf_counter() - self.turned
                self.valve.put(self.reader.finish())
                self._watch(judgement, self.reader)
            await self._rest(judgement, live, self.reader, ended=not more)
            self.turned = perf_counter()

    def _take(self, judgement: Judgement, live: Live, reader: AnswerReader, batch: bytes) -> bool:
        """Take a batch from the upstream to the caller where it arrives; False if the rest is for the task.

        That is so when a safeguard or the caller has to be waited for, and with the first and the last of an answer.
        """
        self.upstream_seconds += perf_counter() - self.turned
        self.valve.put(reader.feed(batch))
        if not self._watch(judgement, reader):
            return False
        if live.cause is not None:
            raise live.cause
        if reader.done or not self.reply.flowing:
            return False
        events = self._due(last=False)
        if events:
            self.reply.flow(_joined(events))
            self.valve.left(events)
            self._sent(events)
        self.turned = perf_counter()
        return True

    async def _rest(self, judgement: Judgement, live: Live, reader: AnswerReader, *, ended: bool) -> None:
        while self.watching is not None:
            watching, self.watching = self.watching, None
            watermark = await watching
            channel = reader.touched.pop(0)
            if self.pipeline is self.serving.stricter:  # perhaps only since the question was put
                watermark = self.pipeline.tightened(judgement, channel, watermark)
            self._cleared(channel, watermark)
            self._watch(judgement, reader)
        if live.cause is not None:
            raise live.cause
        await self._release(judgement, last=ended or (self.arrival.request.streamed and reader.done))

    def _watch(self, judgement: Judgement, reader: AnswerReader) -> bool:
        """Ask about every channel with something fresh; False if a safeguard awaits: that channel is then the first."""
        touched = reader.touched
        for place, channel in enumerate(touched):
            self.characters += len(channel.fresh)
            if self.characters > self.serving.answer_characters:
                raise Ended(Ending.ERROR, Block(Code.UPSTREAM_FAILED, "the answer is longer than the limit"))
            watermark = self.pipeline.watch(judgement, channel)
            if type(watermark) is int:  # nearly always, and then as `_cleared` does it
                self.valve.clear(channel, watermark)
                channel.settle()
                continue
            if isinstance(watermark, Watching):
                self.watching = watermark
                del touched[:place]
                return False
            self._cleared(channel, watermark)
        touched.clear()
        return True

    def _cleared(self, channel: Channel, watermark: int | Decision) -> None:
        if isinstance(watermark, Decision):
            raise Ended.by(watermark, Ending.BLOCKED_OUTPUT)
        self.valve.clear(channel, watermark)
        channel.settle()

    def _due(self, *, last: bool) -> list[Event]:
        """Let out of the valve what may leave."""
        valve = self.valve
        events = valve.release()
        if valve.held and (last or valve.held > self.serving.held_bytes):
            # What is still held at the end was never cleared: that is a block, not a pass.
            raise Ended(Ending.BLOCKED_OUTPUT, Block(Code.HELD_TOO_MUCH, "text was left uncleared"))
        return events

    def _sent(self, events: list[Event]) -> None:
        self.events += len(events)
        self.seen = events[-1].seen

    async def _release(self, judgement: Judgement, *, last: bool) -> None:
        events = self._due(last=last)
        if not events:
            return
        first = self.first_byte is None
        if first:
            self._mark_first_byte()
        data = _joined(events)
        before = self.valve.released.copy()
        self.valve.left(events)
        try:
            if last and self.pipeline.concluders:
                await self._before_last(judgement, len(events), len(data))
                if first:
                    self._mark_first_byte()
            if not self.arrival.request.streamed:
                await self.reply.whole(200, data)
            elif last:
                await self.reply.end(data)
            else:
                await self.reply.stream(data)
        except BaseException:  # cut while a slow caller was waited for: the server has not taken this
            self.valve.released = before
            raise
        self._sent(events)

    def _tighten(self, judgement: Judgement, live: Live) -> None:
        """Go on under the stricter pipeline: what is still here is cut or held by it; what is being sent has left."""
        stricter = self.serving.stricter
        if stricter is None or self.pipeline is stricter:
            return
        self.pipeline = stricter
        self.valve.lower(stricter.held(judgement))
        late = stricter.carry_out(judgement)
        if late is not None:
            ending = Ending.BLOCKED_INPUT if late.target is Target.INPUT else Ending.BLOCKED_OUTPUT
            end = Ended.by(late, ending)
            live.cut(end.ending, end.block)

    def _mark_first_byte(self) -> None:
        self.first_byte = perf_counter() - self.arrival.started
        self.first_byte_added = self.first_byte - self.upstream_seconds

    async def _before_last(self, judgement: Judgement, events: int, size: int) -> None:
        """Hold the last of an answer until it is on record as it will have been sent, where the policy demands it."""
        outcome = self.outcome(judgement, None, 200, events=events, size=size)
        decision = await self.pipeline.before_last(judgement, outcome)
        if decision is not None:
            raise Ended.by(decision, Ending.BLOCKED_OUTPUT)


def _joined(events: list[Event]) -> bytes:
    return events[0].data if len(events) == 1 else b"".join([event.data for event in events])
