"""Rate limits per key: the number of requests that one credential may make (row D6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from safeguards.base import Admission, Safeguard
from safeguards.exchange import Exchange
from safeguards.ports import Clock, Meters
from safeguards.verdict import PASS, Block, Code


@dataclass(frozen=True, slots=True)
class Rate:
    """``per_second`` requests on average and at most ``burst`` at once."""

    per_second: float
    burst: int


class Limits(Safeguard):
    """Passes a request while its key's bucket (GCRA) has room; a tier without a rate is blocked, not unlimited."""

    kind = "limits"

    def __init__(self, rates: Mapping[str, Rate], meters: Meters, clock: Clock) -> None:
        """Take the rate of each tier; the bucket is one per key."""
        self._rates = dict(rates)
        self._meters = meters
        self._clock = clock

    def admit(self, exchange: Exchange) -> Admission:
        """Take one from the key's bucket, which the models share: not for a request that another has counted."""
        rate = self._rates.get(exchange.caller.tier)
        if rate is None:
            return Block(Code.RATE_LIMITED, f"tier {exchange.caller.tier} has no rate", rule="no_rate")
        if exchange.charged:
            return PASS
        wait = self._meters.take(exchange.caller.key, rate.per_second, rate.burst, self._clock.steady())
        if wait > 0.0:
            return Block(Code.RATE_LIMITED, "the key's rate is used up", rule="rate", retry_after=wait)
        return PASS
