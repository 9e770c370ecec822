"""The exchanges that are running in this process, so that a stop, a deadline or a leaving caller can end them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from guard.refusal import Ended
from safeguards.decision import Ending
from safeguards.exchange import Exchange
from safeguards.verdict import Block, Code


class Source(Protocol):
    """What can tell when the upstream last said something (the loop's time), and whether it is waited for now."""

    last_read: float

    @property
    def waiting(self) -> bool:
        """Whether the journey waits for the upstream."""


class Live:
    """One running exchange; ``cut`` ends it wherever it waits: for the upstream, a safeguard, or a slow caller.

    ``tighten`` has it judged by its model's stricter pipeline from now on.
    """

    __slots__ = ("answer", "cause", "deadline", "exchange", "idle", "task", "tighten")

    def __init__(self, exchange: Exchange, task: asyncio.Task[object], deadline: float, idle: float) -> None:
        """Take the task that travels, the loop time by which it must end, and the longest silence in seconds."""
        self.exchange = exchange
        self.task = task
        self.deadline = deadline
        self.idle = idle
        self.answer: Source | None = None
        self.cause: Ended | None = None
        self.tighten: Callable[[], None] = _as_it_is

    def cut(self, ending: Ending, block: Block) -> None:
        """End it for this cause; the first cause counts."""
        if self.cause is None:
            self.cause = Ended(ending, block)
            self.task.cancel()


def _as_it_is() -> None:
    """Change nothing: whoever runs it has said no better."""


class LiveExchanges:
    """All of them."""

    def __init__(self) -> None:
        """Begin with none; ``arriving`` counts requests that are still being read."""
        self._live: set[Live] = set()
        self.arriving = 0
        self._of: dict[str, int] = {}
        self._noticed: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Live]:
        return iter(tuple(self._live))

    def enter(self, live: Live) -> None:
        """Begin to watch over one."""
        self._live.add(live)
        self.hold(live.exchange.caller.key)

    def leave(self, live: Live, end: Ended | None = None) -> None:
        """It has ended; an answer that noticed its stop by itself, before anyone cut it, is counted for `noticed`."""
        self._live.discard(live)
        live.tighten = _as_it_is  # it holds the journey, which holds this: a hundred objects for the garbage collector
        self.let_go(live.exchange.caller.key)
        if end is not None and end.ending is Ending.STOPPED and live.cause is None and live.answer is not None:
            self._noticed[end.block.rule] = self._noticed.get(end.block.rule, 0) + 1

    def of(self, key: str) -> int:
        """Tell how many exchanges and half-read requests of this key there are."""
        return self._of.get(key, 0)

    def hold(self, key: str) -> None:
        """Count one more for this key."""
        self._of[key] = self._of.get(key, 0) + 1

    def let_go(self, key: str) -> None:
        """Count one less; a key without any is forgotten."""
        left = self._of.get(key, 0) - 1
        if left > 0:
            self._of[key] = left
        else:
            self._of.pop(key, None)

    def noticed(self) -> dict[str, int]:
        """Return how many answers ended by which stop order on their own since the last call."""
        noticed, self._noticed = self._noticed, {}
        return noticed

    def cut_where(self, cause: Callable[[Exchange], tuple[Ending, Block] | None]) -> int:
        """Cut every exchange for which there is a cause; returns how many."""
        count = 0
        for live in self:
            found = cause(live.exchange)
            if found is not None and live.cause is None:
                live.cut(*found)
                count += 1
        return count

    def overdue(self, now: float) -> None:
        """Cut what has run too long or whose upstream has been silent too long; called a few times a second."""
        for live in self:
            if now >= live.deadline:
                live.cut(Ending.ERROR, Block(Code.DEADLINE, "the whole answer took too long"))
            elif live.answer is not None and now - live.answer.last_read >= live.idle:
                if live.answer.waiting:
                    live.cut(Ending.ERROR, Block(Code.UPSTREAM_TIMEOUT, "the upstream fell silent"))
                else:  # the upstream's socket is not read while the caller takes nothing
                    live.cut(Ending.ERROR, Block(Code.DEADLINE, "the caller took nothing for too long"))
