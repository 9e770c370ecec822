"""Evidence: a model whose required attestation is missing or has expired is not served (rows A5, E1, E4)."""

from __future__ import annotations

from collections.abc import Mapping

from safeguards.base import Admission, Safeguard
from safeguards.exchange import Exchange
from safeguards.ports import Clock
from safeguards.verdict import PASS, Block, Code


class Evidence(Safeguard):
    """Passes while every required attestation is unexpired; the clock is asked at each request, not at load."""

    kind = "evidence"

    def __init__(self, expiries: Mapping[str, float | None], clock: Clock) -> None:
        """Take claim -> seconds since the epoch at which it expires; None for one that is missing."""
        self._missing = sorted(claim for claim, expires in expiries.items() if expires is None)
        known = {claim: expires for claim, expires in expiries.items() if expires is not None}
        self._expiries = known
        self._first = min(known.values(), default=float("inf"))
        self._clock = clock

    def admit(self, exchange: Exchange) -> Admission:
        """Name what is missing or has expired."""
        if self._missing:
            return Block(Code.EVIDENCE_EXPIRED, f"missing: {', '.join(self._missing)}", rule=self._missing[0])
        now = self._clock.now()
        if now < self._first:
            return PASS
        expired = sorted(claim for claim, expires in self._expiries.items() if expires <= now)
        return Block(Code.EVIDENCE_EXPIRED, f"expired: {', '.join(expired)}", rule=expired[0])
