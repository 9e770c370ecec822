"""The one interface of every safeguard: four moments, each with a default that has nothing against it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar

from safeguards.decision import Outcome
from safeguards.exchange import Channel, Exchange
from safeguards.verdict import PASS, Block, Cleared, Pass

Admission = Pass | Block
Watch = Cleared | Block


class Safeguard:
    """Decides about exchanges; knows neither its mode nor what others decided.

    A moment answers at once or returns an awaitable: the cheap path is synchronous, only an escalation awaits.
    What it raises, and what it answers beside the types below, is turned into a verdict by the pipeline alone.
    """

    kind: ClassVar[str]
    watches: ClassVar[bool] = False
    rests: ClassVar[bool] = False

    def resting(self) -> bool:
        """Whether it has nothing to judge by just now: then it is not asked and leaves no decision, if it `rests`."""
        return False

    def admit(self, exchange: Exchange) -> Admission | Awaitable[Admission]:
        """May this request go to the model?"""
        return PASS

    def watch(self, exchange: Exchange, channel: Channel) -> Watch | Awaitable[Watch]:
        """How far is this channel cleared for the caller? Called once for each batch that touched it."""
        return channel.whole

    def before_last(self, exchange: Exchange, outcome: Outcome) -> Awaitable[None] | None:
        """The caller is about to get the last of an answer, after which `outcome` holds; not called for other ends.

        What this returns is awaited first, and what it raises keeps the last of the answer back.
        """
        return None

    def close(self, exchange: Exchange, outcome: Outcome) -> Awaitable[None] | None:
        """The exchange has ended; called always and exactly once, shielded from the caller's leaving."""
        return None
