"""Asks the mounted safeguards; the one place where a failure becomes a verdict, and its default is Block (law 3).

A safeguard decides; the pipeline owns order, deadlines, modes and failure postures, records each decision, and alone
makes `Admitted`, which is all that the upstream takes (law 1). It is one file so that every
moment of a safeguard is seen to end in the same verdicts.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Final

from guard.wire.dialect import Request
from safeguards.base import Safeguard
from safeguards.decision import Decision, Failure, Outcome, Target, Unavailable
from safeguards.exchange import Channel, Exchange
from safeguards.verdict import FAILURES, Block, Cleared, Code, Pass

_log = logging.getLogger("guard.pipeline")
_MINT: Final = object()
CLOSE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Mount:
    """How one model uses a safeguard; ``deadline`` is seconds and binds what awaits."""

    name: str
    safeguard: Safeguard
    enforce: bool
    block_on_failure: bool
    deadline: float


class Admitted:
    """Proof that every mounted safeguard let a request pass; only the pipeline can make one."""

    __slots__ = ("exchange", "request")

    def __init__(self, exchange: Exchange, request: Request, mint: object) -> None:
        """Refuse to be made by anyone else."""
        if mint is not _MINT:
            raise TypeError("only a pipeline admits")
        self.exchange = exchange
        self.request = request


@dataclass(slots=True)
class Tally:
    """What one mount did to the answer so far: its time, its first denial or failure; ``asked``: for what may rest.

    ``holds`` is what a mount in shadow would hold back of a channel: from where, and of how much text it said so.
    """

    seconds: float = 0.0
    denied: Decision | None = None
    asked: bool = False
    holds: dict[Channel, tuple[int, int, bool]] | None = None

    def hold(self, channel: Channel, upto: int) -> None:
        """Note how far a mount in shadow has cleared a channel, should it be enforced before it is asked again."""
        if upto < channel.end:
            self.holds = self.holds or {}
            self.holds[channel] = upto, channel.end, channel.complete


@dataclass(slots=True)
class Judgement:
    """The decisions of one exchange as they come; one per mount and side."""

    exchange: Exchange
    admissions: list[Decision] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    watched: bool = False

    def decisions(self, watchers: Sequence[Mount]) -> tuple[Decision, ...]:
        """All decisions: the admissions, then what each watcher said of the answer."""
        if not self.watched:
            return tuple(self.admissions)
        outputs = [
            tally.denied or Decision(mount.name, Target.OUTPUT, mount.enforce, False, False, tally.seconds)
            for mount, tally in zip(watchers, self.tallies, strict=True)
            if tally.asked or not mount.safeguard.rests
        ]
        return (*self.admissions, *outputs)


class Watching:
    """The rest of a watch, for a safeguard that awaits: awaited once for the watermark or the denial, or dropped."""

    __slots__ = ("_pending", "_rest")

    def __init__(
        self, pending: Awaitable[object], rest: Callable[[Awaitable[object]], Coroutine[Any, Any, int | Decision]]
    ) -> None:
        """Take what the safeguard returned, and what is done with it."""
        self._pending = pending
        self._rest = rest

    def __await__(self) -> Generator[Any, None, int | Decision]:
        """Wait."""
        return self._rest(self._pending).__await__()

    def drop(self) -> None:
        """Let it go without waiting: the exchange has ended before its task had its turn."""
        if isinstance(self._pending, asyncio.Future):
            self._pending.cancel()
        elif inspect.iscoroutine(self._pending):
            self._pending.close()


class Pipeline:
    """The mounted safeguards of one model, in order."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        """Refuse to be empty, which would pass everything, and to have anything behind what may rest."""
        if not mounts:
            raise ValueError("a pipeline must have at least one safeguard")
        if any(mount.safeguard.rests for mount in mounts[:-1]):
            raise ValueError("a safeguard that rests is mounted last: admissions are found by their place")
        self.mounts = tuple(mounts)
        self.watchers = tuple(mount for mount in mounts if mount.safeguard.watches)
        # For every piece of every answer: what is asked, and what says that there is nothing to ask by just now.
        self._asked = tuple(
            (mount, mount.safeguard.watch, mount.safeguard.resting if mount.safeguard.rests else None)
            for mount in self.watchers
        )
        self.concluders = tuple(
            mount for mount in mounts if type(mount.safeguard).before_last is not Safeguard.before_last
        )
        self.closers = tuple(mount for mount in mounts if type(mount.safeguard).close is not Safeguard.close)

    def begin(self, exchange: Exchange) -> Judgement:
        """Start the record of one exchange's decisions."""
        return Judgement(exchange, tallies=[Tally() for _ in self.watchers])

    async def admit(
        self, judgement: Judgement, request: Request, goes_on: Callable[[Decision], bool] | None = None
    ) -> Admitted | Decision:
        """Ask every safeguard about the prompt, in order; the first enforced denial is the answer.

        It ends the asking too, except where it ``goes_on`` to hear whether another has a reason of its own.
        """
        exchange = judgement.exchange
        blocked: Decision | None = None
        for mount in self.mounts:
            if mount.safeguard.rests and mount.safeguard.resting():
                continue
            started = perf_counter()
            verdict: object
            failure: Failure | None = None
            try:
                verdict = mount.safeguard.admit(exchange)
                if type(verdict) is not Pass and type(verdict) is not Block and inspect.isawaitable(verdict):
                    verdict = await _within(mount.deadline, verdict)
                if type(verdict) is not Pass and type(verdict) is not Block:
                    verdict, failure = _failed(mount, Failure.BAD_ANSWER, "not a verdict"), Failure.BAD_ANSWER
            except Exception as problem:  # noqa: BLE001 - every failure becomes a verdict here, and only here
                verdict, failure = _verdict_of(mount, problem)
            seconds = perf_counter() - started
            if seconds > mount.deadline and type(verdict) is Pass and failure is None:
                verdict, failure = _late(mount), Failure.TIMEOUT
            decision = _decision(mount, Target.INPUT, verdict, failure, seconds)
            judgement.admissions.append(decision)
            if decision.blocked:
                blocked = blocked or decision
                if goes_on is None or not goes_on(decision):
                    break
        return blocked or Admitted(exchange, request, _MINT)

    def watch(self, judgement: Judgement, channel: Channel) -> int | Decision | Watching:
        """Ask every watching safeguard about a channel's fresh text.

        Returns the channel's watermark, or the first enforced denial; something to await only if a safeguard awaits.
        """
        judgement.watched = True
        exchange, tallies, whole = judgement.exchange, judgement.tallies, channel.whole
        watermark = channel.end
        index = -1
        ended = perf_counter()
        for mount, watch, resting in self._asked:
            index += 1
            if resting is not None:
                if resting():
                    continue
                tallies[index].asked = True
            started = ended
            verdict: object
            failure: Failure | None = None
            try:
                verdict = watch(exchange, channel)
            except Exception as problem:  # noqa: BLE001 - every failure becomes a verdict here, and only here
                verdict, failure = _verdict_of(mount, problem)
            ended = perf_counter()
            seconds = ended - started
            if verdict is whole and seconds <= mount.deadline:
                tallies[index].seconds += seconds
                continue
            if seconds > mount.deadline and type(verdict) is Cleared:
                verdict, failure = _late(mount), Failure.TIMEOUT
            if type(verdict) is Cleared and type(verdict.upto) is int and 0 <= verdict.upto <= channel.end:
                tallies[index].seconds += seconds
                if not mount.enforce:
                    tallies[index].hold(channel, verdict.upto)
                elif verdict.upto < watermark:
                    watermark = verdict.upto
                continue
            if inspect.isawaitable(verdict):
                return Watching(verdict, partial(self._watch_rest, judgement, channel, index, watermark))
            decision = self._settle(judgement, index, verdict, failure, seconds)
            if decision is not None:
                return decision
        return watermark

    async def _watch_rest(
        self, judgement: Judgement, channel: Channel, index: int, watermark: int, pending: Awaitable[object]
    ) -> int | Decision:
        """Go on after a safeguard that awaits; the same questions in the same order."""
        for place in range(index, len(self.watchers)):
            mount = self.watchers[place]
            if mount.safeguard.rests and place != index:
                if mount.safeguard.resting():
                    continue
                judgement.tallies[place].asked = True
            started = perf_counter()
            verdict: object
            failure: Failure | None = None
            try:
                verdict = pending if place == index else mount.safeguard.watch(judgement.exchange, channel)
                if inspect.isawaitable(verdict):
                    verdict = await _within(mount.deadline, verdict)
            except Exception as problem:  # noqa: BLE001 - every failure becomes a verdict here, and only here
                verdict, failure = _verdict_of(mount, problem)
            seconds = perf_counter() - started
            if seconds > mount.deadline and type(verdict) is Cleared:
                verdict, failure = _late(mount), Failure.TIMEOUT
            if type(verdict) is Cleared and type(verdict.upto) is int and 0 <= verdict.upto <= channel.end:
                judgement.tallies[place].seconds += seconds
                if not mount.enforce:
                    judgement.tallies[place].hold(channel, verdict.upto)
                elif verdict.upto < watermark:
                    watermark = verdict.upto
                continue
            decision = self._settle(judgement, place, verdict, failure, seconds)
            if decision is not None:
                return decision
        return watermark

    def _settle(
        self, judgement: Judgement, index: int, verdict: object, failure: Failure | None, seconds: float
    ) -> Decision | None:
        """Record a denial or a failure of a watcher; returns it if it blocks."""
        mount = self.watchers[index]
        if type(verdict) is not Block and failure is None:  # a Pass clears nothing: only a failure may have become one
            verdict, failure = _failed(mount, Failure.BAD_ANSWER, "not a watermark"), Failure.BAD_ANSWER
        tally = judgement.tallies[index]
        tally.seconds += seconds
        decision = _decision(mount, Target.OUTPUT, verdict, failure, tally.seconds)
        self._tallied(judgement, index, decision)
        return decision if decision.blocked else None

    def _tallied(self, judgement: Judgement, index: int, decision: Decision) -> None:
        """Keep the first denial; a failure before it, passed or blocked, hides no hit and stands beside it."""
        tally = judgement.tallies[index]
        before = tally.denied
        if before is None:
            if decision.denied or decision.failure is not None:
                tally.denied = decision
        elif _weight(decision) > _weight(before):
            tally.denied = decision._replace(failure=decision.failure or before.failure)

    def held(self, judgement: Judgement) -> dict[Channel, int]:
        """Return from where on what these mounts enforce would hold channels back that they watched in shadow."""
        found: dict[Channel, int] = {}
        for mount, tally in zip(self.watchers, judgement.tallies, strict=True):
            if mount.enforce and tally.holds:
                for channel, (upto, end, complete) in tally.holds.items():
                    if (end, complete) == (channel.end, channel.complete):  # else it has been asked since
                        found[channel] = min(upto, found.get(channel, upto))
        return found

    def tightened(self, judgement: Judgement, channel: Channel, found: int | Decision) -> int | Decision:
        """Return what a watch that was begun before these mounts were enforced comes to now that they are."""
        late = self.carry_out(judgement)
        if late is not None or isinstance(found, Decision):
            return late or found
        return min(found, self.held(judgement).get(channel, found))

    def carry_out(self, judgement: Judgement) -> Decision | None:
        """Block for what the same mounts, before they were enforced as they are here, recorded and let pass.

        Returns the first such denial, which is on record as blocked from then on.
        """
        for at, (mount, decision) in enumerate(zip(self.mounts, judgement.admissions, strict=False)):
            if mount.enforce and decision.denied and not decision.blocked:
                judgement.admissions[at] = decision._replace(enforced=True, blocked=True)
                return judgement.admissions[at]
        for mount, tally in zip(self.watchers, judgement.tallies, strict=True):
            if mount.enforce and tally.denied is not None and tally.denied.denied and not tally.denied.blocked:
                tally.denied = tally.denied._replace(enforced=True, blocked=True)
                return tally.denied
        return None

    def divert(
        self, judgement: Judgement, categories: AbstractSet[str], judges: AbstractSet[str]
    ) -> tuple[Decision, bool] | None:
        """Keep a prompt from this model that was found to be of these categories, and say if another may answer it.

        Returns the first decision that keeps it, on record as blocked: one that blocks for such a category, or else of
        one of the ``judges`` (the names of mounts that can find them) that failed or only recorded it. None where there
        is none, or a mount blocks for anything else: then that is the answer, after `carry_out` where it is called for.

        No other may answer what was found to be of a further category too, what a judge or an enforced classifier could
        not judge, which may be of any, nor what not every mount was asked about.
        """
        blocking, found, free = None, None, self._all_asked(judgement)
        for at, (mount, decision) in enumerate(zip(self.mounts, judgement.admissions, strict=False)):
            failed = decision.failure is not None
            of = {decision.category, *decision.also}
            if decision.denied and (mount.enforce or decision.blocked):
                if not falls_back(decision, categories, judges):
                    return None
                blocking = at if blocking is None else blocking
            elif decision.safeguard in judges and (failed or (decision.denied and not categories.isdisjoint(of))):
                found = at if found is None else found
                free = free and not failed and of <= categories
            elif failed and mount.enforce and mount.safeguard.kind == "classifier":
                free = False
        place = found if blocking is None else blocking
        if place is None:
            return None
        kept = judgement.admissions[place]._replace(enforced=True, denied=True, blocked=True)
        if kept.failure is not None:
            kept = kept._replace(code=kept.code or Code.SAFEGUARD_FAILED, reason=kept.reason or kept.failure.value)
        judgement.admissions[place] = kept
        return kept, free and kept.code is Code.CONTENT_BLOCKED

    def _all_asked(self, judgement: Judgement) -> bool:
        unasked = (mount.safeguard for mount in self.mounts[len(judgement.admissions) :])
        return all(safeguard.rests and safeguard.resting() for safeguard in unasked)

    def charged(self, judgement: Judgement) -> bool:
        """Return whether this prompt has been counted against the rate of its key."""
        return any(
            mount.safeguard.kind == "limits" and not decision.denied and decision.failure is None
            for mount, decision in zip(self.mounts, judgement.admissions, strict=False)
        )

    async def before_last(self, judgement: Judgement, outcome: Outcome) -> Decision | None:
        """Let safeguards finish before the caller gets the last of his answer; returns the first that blocks it."""
        for mount in self.concluders:
            started = perf_counter()
            try:
                pending = mount.safeguard.before_last(judgement.exchange, outcome)
                if pending is not None:
                    await _within(mount.deadline, pending)
            except Exception as problem:  # noqa: BLE001 - every failure becomes a verdict here, and only here
                verdict, failure = _verdict_of(mount, problem)
                decision = _decision(mount, Target.OUTPUT, verdict, failure, perf_counter() - started)
                if mount in self.watchers:
                    self._tallied(judgement, self.watchers.index(mount), decision)
                if decision.blocked:
                    return decision
        return None

    def close(self, exchange: Exchange, outcome: Outcome) -> Awaitable[None] | None:
        """Tell every safeguard how it ended; one that fails does not keep the others from being told.

        Returns None when all have done with it, else what has to be awaited: nearly every end needs no waiting.
        """
        waiting: list[tuple[Mount, Awaitable[None]]] = []
        for mount in self.closers:
            try:
                closing = mount.safeguard.close(exchange, outcome)
                if closing is not None:
                    waiting.append((mount, closing))
            except Exception as problem:  # noqa: BLE001 - logged, and the others still have to be told
                _not_closed(mount, exchange, problem)
        return _close_all(waiting, exchange) if waiting else None


def falls_back(decision: Decision, categories: AbstractSet[str], judges: AbstractSet[str]) -> bool:
    """Return whether one of the ``judges`` denied, and for nothing but these categories."""
    denied = decision.code is Code.CONTENT_BLOCKED and decision.safeguard in judges
    return denied and categories >= {decision.category, *decision.also}


def _weight(decision: Decision) -> int:
    """Order what a watcher said: a hit tells more than a failure that denies, and that more than one that passed."""
    return 0 if not decision.denied else 1 if decision.code in FAILURES else 2


async def _close_all(waiting: Sequence[tuple[Mount, Awaitable[None]]], exchange: Exchange) -> None:
    for mount, closing in waiting:
        try:
            await _within(CLOSE_SECONDS, closing)
        except Exception as problem:  # noqa: BLE001 - as in `close`
            _not_closed(mount, exchange, problem)


def _not_closed(mount: Mount, exchange: Exchange, problem: Exception) -> None:
    _log.error("close of %s failed for %s: %s", mount.name, exchange.id, type(problem).__name__)


async def _within(seconds: float, pending: Awaitable[object]) -> object:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a safeguard is awaited in a task")
    # As `asyncio.timeout` does it, at less than half its cost: every durable request comes through here.
    before = task.cancelling()
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, expire)
    try:
        return await pending
    except asyncio.CancelledError:
        if expired:
            expired = False
            if task.uncancel() <= before:
                raise TimeoutError from None
            raise
        if task.cancelling():
            raise
        # Nobody cancelled the journey: something within the safeguard was, and that is a failure like any other.
        raise Unavailable(Failure.CRASH, "cancelled within") from None
    finally:
        timer.cancel()
        if expired:
            task.uncancel()


def _verdict_of(mount: Mount, problem: Exception) -> tuple[Pass | Block, Failure]:
    if isinstance(problem, Unavailable):
        return _failed(mount, problem.failure, problem.reason), problem.failure
    if isinstance(problem, TimeoutError):
        return _late(mount), Failure.TIMEOUT
    return _failed(mount, Failure.CRASH, type(problem).__name__), Failure.CRASH


def _late(mount: Mount) -> Pass | Block:
    """Judge an answer that came after its deadline, also one that nothing could interrupt while it was made."""
    return _failed(mount, Failure.TIMEOUT, f"no answer within {mount.deadline} s")


def _failed(mount: Mount, failure: Failure, reason: str) -> Pass | Block:
    if not mount.block_on_failure:
        return Pass()
    code = Code.LOG_UNAVAILABLE if mount.safeguard.kind == "request_log" else Code.SAFEGUARD_FAILED
    return Block(code, f"{mount.name}: {failure.value}: {reason}")


def _decision(mount: Mount, target: Target, verdict: object, failure: Failure | None, seconds: float) -> Decision:
    if type(verdict) is Block:
        return Decision(
            mount.name,
            target,
            mount.enforce,
            denied=True,
            blocked=mount.enforce,
            seconds=seconds,
            code=verdict.code,
            reason=verdict.reason,
            category=verdict.category,
            rule=verdict.rule,
            failure=failure,
            retry_after=verdict.retry_after,
            score=verdict.score,
            threshold=verdict.threshold,
            also=verdict.also,
        )
    return Decision(mount.name, target, mount.enforce, False, False, seconds, failure=failure)
