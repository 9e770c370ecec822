"""Running exchanges can be cut once, for one cause, wherever they wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from guard.live import Live, LiveExchanges
from safeguards.decision import Ending
from safeguards.verdict import Block, Code
from tests.guard.test_pipeline import EXCHANGE

STOP = Block(Code.STOPPED, "all")


@dataclass
class Upstream:
    """An answer under way."""

    last_read: float
    waiting: bool = True


async def waiting(live: LiveExchanges, *, deadline: float = 100.0, idle: float = 10.0, model: str = "demo") -> Live:
    """Enter an exchange whose task waits for ever."""
    task: asyncio.Task[object] = asyncio.ensure_future(asyncio.Event().wait())
    entered = Live(replace(EXCHANGE, model=model), task, deadline, idle)
    live.enter(entered)
    await asyncio.sleep(0)
    return entered


def test_the_first_cause_counts_and_cancels_once() -> None:
    async def main() -> None:
        live = LiveExchanges()
        one = await waiting(live)
        one.cut(Ending.STOPPED, STOP)
        one.cut(Ending.CALLER_GONE, Block(Code.CALLER_GONE, "left"))
        assert one.cause is not None
        assert one.cause.ending is Ending.STOPPED
        assert one.task.cancelling() == 1
        await asyncio.wait({one.task})

    asyncio.run(main())


def test_those_with_a_cause_are_cut_and_counted_and_not_again() -> None:
    async def main() -> None:
        live = LiveExchanges()
        first, second = await waiting(live), await waiting(live, model="other")
        for expected in (1, 0):
            cut = live.cut_where(lambda each: (Ending.STOPPED, STOP) if each.model == "demo" else None)
            assert cut == expected
        assert (first.cause is None, second.cause is None) == (False, True)
        second.task.cancel()
        await asyncio.wait({first.task, second.task})

    asyncio.run(main())


@pytest.mark.parametrize(
    ("now", "answer", "code"),
    [
        (9.9, None, None),
        (99.0, None, None),  # without an answer the pool's own deadline for the first byte counts
        (100.0, None, Code.DEADLINE),
        (14.9, Upstream(5.0), None),
        (15.0, Upstream(5.0), Code.UPSTREAM_TIMEOUT),
        (15.0, Upstream(5.0, waiting=False), Code.DEADLINE),  # the caller takes nothing: not the upstream's fault
        (100.0, Upstream(99.0), Code.DEADLINE),
    ],
)
def test_what_is_overdue_is_cut_for_the_right_reason(now: float, answer: Upstream | None, code: Code | None) -> None:
    async def main() -> None:
        live = LiveExchanges()
        one = await waiting(live)
        one.answer = answer
        live.overdue(now)
        assert (None if one.cause is None else one.cause.block.code) == code
        one.task.cancel()
        await asyncio.wait({one.task})

    asyncio.run(main())


def test_one_that_has_left_is_not_cut() -> None:
    async def main() -> None:
        live = LiveExchanges()
        one = await waiting(live)
        assert len(live) == 1
        live.leave(one)
        live.leave(one)
        assert (len(live), live.cut_where(lambda _: (Ending.STOPPED, STOP))) == (0, 0)
        one.task.cancel()
        await asyncio.wait({one.task})

    asyncio.run(main())


def test_a_keys_share_is_counted_while_it_is_read_and_while_it_runs() -> None:
    live = LiveExchanges()
    key = EXCHANGE.caller.key
    live.hold(key)

    async def main() -> None:
        entered = await waiting(live)
        assert live.of(key) == 2
        entered.task.cancel()
        live.leave(entered)

    asyncio.run(main())
    assert live.of(key) == 1
    live.let_go(key)
    assert (live.of(key), live._of) == (0, {})
