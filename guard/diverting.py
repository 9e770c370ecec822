"""A fallback of some categories (row E8): which prompts it keeps from a model, and who answers them instead.

What decides is the model's own safeguards, when all of them have seen the prompt and nothing of it has been forwarded.
What they find, or could not judge, is blocked for this model; the other one then judges it anew by its whole policy,
in an exchange and a record of its own. Where it cannot be asked, or there is another reason, the block is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar

from guard.pipeline import Judgement, Pipeline, falls_back
from guard.refusal import Ended
from safeguards.decision import Decision, Ending, Unavailable
from safeguards.exchange import Exchange
from safeguards.ports import Ladder, Stop

DIVERTED: Final = "x"
"""Ends the id of the record under which the other model answers."""


class Asked(Protocol):
    """A request as the other model would answer it."""

    @property
    def exchange(self) -> Exchange:
        """Under which id, among others."""


_A = TypeVar("_A", bound=Asked)
_A_co = TypeVar("_A_co", bound=Asked, covariant=True)


class Instead(Protocol[_A_co]):
    """Asks the other model."""

    def __call__(self, *, charged: bool) -> _A_co | None:
        """Return the request as it would answer it, None where it does not; ``charged``: the key's rate was taken."""


@dataclass(frozen=True, slots=True)
class Diverting(Generic[_A]):
    """One exchange's ``categories`` of a fallback, the mounts that are their ``judges``, and how to ask the other."""

    ladder: Ladder
    exchange: Exchange
    categories: frozenset[str]
    judges: frozenset[str]
    instead: Instead[_A]

    def order(self) -> Stop | None:
        """Return the order by which they fall back now, None without one; raises Unavailable."""
        return self.ladder.diverts(self.exchange)

    def goes_on(self, blocked: Decision) -> bool:
        """Return whether the other mounts are still asked: this block alone leaves the prompt to the other model."""
        try:
            return falls_back(blocked, self.categories, self.judges) and self.order() is not None
        except Unavailable:
            return False

    def kept(self, pipeline: Pipeline, judgement: Judgement) -> tuple[Ended, _A | None] | None:
        """Return how this prompt ends for its model, and who answers it, if anybody; None where it goes on.

        A stop beside the fallback stops: then nobody answers it.
        """
        try:
            if self.order() is None:
                return None
            free = self.ladder.covering(self.exchange) is None
        except Unavailable:
            free = False
        kept = pipeline.divert(judgement, self.categories, self.judges)
        if kept is None:
            return None
        decision, alone = kept
        end = Ended.by(decision, Ending.BLOCKED_INPUT)
        instead = self.instead(charged=pipeline.charged(judgement)) if free and alone else None
        if instead is not None:
            other = instead.exchange
            end.block = replace(end.block, reason=f"{end.block.reason}; {other.model} answers, as {other.id}")
        return end, instead
