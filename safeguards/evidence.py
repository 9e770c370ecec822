"""Evidence: a model whose required attestation is missing or has expired is not served (rows A5, E1, E4).

Some evidence stops only newcomers when it lapses: keys made since then are refused, those of before are served (E7).
"""

from __future__ import annotations

from collections.abc import Mapping

from safeguards.base import Admission, Safeguard
from safeguards.exchange import Exchange
from safeguards.ports import Clock
from safeguards.verdict import PASS, Block, Code


class Evidence(Safeguard):
    """Passes while every required attestation is unexpired; the clock is asked at each request, not at load."""

    kind = "evidence"

    def __init__(self, expiries: Mapping[str, float | None], closing: Mapping[str, float | None], clock: Clock) -> None:
        """Take claim -> seconds since the epoch at which it expires; None for one that is missing.

        ``expiries`` are those whose lapse stops everybody, ``closing`` those whose lapse stops newcomers alone.
        """
        self._missing = sorted(claim for each in (expiries, closing) for claim, end in each.items() if end is None)
        known = {claim: expires for claim, expires in expiries.items() if expires is not None}
        self._expiries = known
        self._closing = {claim: expires for claim, expires in closing.items() if expires is not None}
        self._first = min((*known.values(), *self._closing.values()), default=float("inf"))
        self._clock = clock

    def admit(self, exchange: Exchange) -> Admission:
        """Name what is missing or has expired."""
        if self._missing:
            return Block(Code.EVIDENCE_EXPIRED, f"missing: {', '.join(self._missing)}", rule=self._missing[0])
        now = self._clock.now()
        if now < self._first:
            return PASS
        expired = sorted(claim for claim, expires in self._expiries.items() if expires <= now)
        if expired:
            return Block(Code.EVIDENCE_EXPIRED, f"expired: {', '.join(expired)}", rule=expired[0])
        issued = exchange.caller.issued
        closed = sorted(claim for claim, expires in self._closing.items() if expires <= now and issued >= expires)
        if closed:
            reason = f"no new principals since these expired: {', '.join(closed)}"
            return Block(Code.EVIDENCE_EXPIRED, reason, rule=closed[0])
        return PASS
