"""Which running exchanges a new policy no longer allows: they end, since their own snapshot would let them go on.

An exchange keeps the policy that it began with unless the new one is stricter for it: its model is no longer served or
routable, its key is gone, expired or was replaced, its tier no longer grants it, or anything of its model became
stronger that it was not judged by. Ending it is the one answer that needs no judgement of text that has left already.
"""

from __future__ import annotations

from collections.abc import Collection

from guard.app import Policy
from guard.policy.compile import first_moment
from guard.policy.config import Config
from guard.policy.tiers import Key
from safeguards.decision import Ending
from safeguards.exchange import Exchange
from safeguards.scope import SELF_TEST
from safeguards.verdict import Block, Code


class Outgrown:
    """Asked about each running exchange once, after the new policy has come into force."""

    def __init__(self, before: Config, after: Policy, stricter: Collection[str], now: float) -> None:
        """Take both policies, the models for which the new one is stricter, and the time (epoch seconds)."""
        self._before = {key.id: key for key in before.tiers.keys}
        self._keys = {key.id: key for key in after.config.tiers.keys}
        self._after = after
        self._stricter = frozenset(stricter)
        self._now = now
        self._known: dict[tuple[str, str, str, str], str] = {}

    def cause(self, exchange: Exchange) -> tuple[Ending, Block] | None:
        """Return how and why it ends; None if it may go on."""
        if exchange.model == SELF_TEST:  # a drill goes on: every policy has the self-test model
            return None
        seen = (exchange.model, exchange.caller.key, exchange.surface, exchange.operation)
        reason = self._known.get(seen)
        if reason is None:
            reason = self._known[seen] = self._reason(exchange)
        return (Ending.DENIED, Block(Code.POLICY_CHANGED, reason)) if reason else None

    def _reason(self, exchange: Exchange) -> str:
        model = exchange.model
        if model in self._stricter:
            return "the policy of its model became stricter"
        serving = self._after.models.find(model)
        if serving is None or exchange.surface not in serving.surfaces:
            return "its model is no longer served there"
        if exchange.operation not in serving.dialects:
            return "its model no longer lists the operation"
        if serving.unmet:
            return "its model is no longer routable"
        key = self._keys.get(exchange.caller.key)
        if key is None or self._replaced(key) or first_moment(key.expires) <= self._now:
            return "its key no longer holds"
        tier = self._after.config.tiers.tiers[key.tier]
        if exchange.operation not in {operation.value for operation in tier.models.get(model, ())}:
            return "its tier no longer grants it"
        return ""

    def _replaced(self, key: Key) -> bool:
        before = self._before.get(key.id)
        return before is None or before.digest != key.digest
