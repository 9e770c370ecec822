"""Access tiers: which callers may use this model, and for which operations (rows C10, C17)."""

from __future__ import annotations

from collections.abc import Mapping

from safeguards.base import Admission, Safeguard
from safeguards.exchange import Exchange
from safeguards.verdict import PASS, Block, Code


class Access(Safeguard):
    """Passes a caller whose tier grants the operation on this model; ``grants`` is tier -> operations."""

    kind = "access"

    def __init__(self, grants: Mapping[str, frozenset[str]]) -> None:
        """Take the grants of one model, already resolved from the tiers."""
        self._grants = dict(grants)

    def admit(self, exchange: Exchange) -> Admission:
        """Deny what no grant names."""
        operations = self._grants.get(exchange.caller.tier)
        if operations is None:
            return Block(Code.ACCESS_DENIED, f"tier {exchange.caller.tier} has no grant for this model", rule="tier")
        if exchange.operation not in operations:
            return Block(Code.ACCESS_DENIED, f"operation {exchange.operation} is not granted", rule="operation")
        return PASS
