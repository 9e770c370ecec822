"""Stops that are judged for the self-test model alone: what would stop everybody is drilled beside the real orders.

A drill of ``all``, of a level, an operation or a capability would stop live traffic. Its order is real in form and
goes through the same directory, switches and state as any other, but lies in ``run/rehearsal`` of the state folder,
where nothing but the self-test model's switches looks. In the same way a lease beside the real one lapses when a drill
lets it: in a fleet the self-test model is served only while a drill holds that lease.
"""

from __future__ import annotations

from pathlib import Path

from guard.drills.places import LEASE_ASL, LEASE_SECONDS, REHEARSAL
from guard.state.directory import OrderDirectory
from guard.state.lease import ORDER, Lease, LeasedSwitches, LeaseWord
from guard.state.merge import Judge
from guard.state.switches import FileSwitches
from safeguards.exchange import Exchange
from safeguards.ports import Clock, Ladder, Stop


class Rehearsed:
    """Implements the port `Ladder` for the self-test model: the real switches, and the rehearsal's beside them."""

    def __init__(self, real: Ladder, run: Path, judge: Judge, clock: Clock, *, leased: bool) -> None:
        """Take the real switches and the folder ``run``; ``leased`` is whether a drill must hold a lease there.

        Raises OSError.
        """
        self._real = real
        self._orders = FileSwitches(OrderDirectory(run / REHEARSAL), clock, judge)
        if leased and not (run / ORDER).exists():
            LeaseWord(run)
        limits = {LEASE_ASL: LEASE_SECONDS} if leased else {}
        self._lease = Lease(run, limits, clock) if leased else None
        self._lapsed = False
        self._beside = self._orders if self._lease is None else LeasedSwitches(self._orders, self._lease)

    def covering(self, exchange: Exchange) -> Stop | None:
        """As either says; raises Unavailable as both do."""
        return self._real.covering(exchange) or self._beside.covering(exchange)

    def cutting(self, exchange: Exchange) -> Stop | None:
        """As either says; raises as `covering`."""
        return self._real.cutting(exchange) or self._beside.cutting(exchange)

    def detour(self, exchange: Exchange) -> Stop | None:
        """As the real ones say."""
        return self._real.detour(exchange)

    def diverts(self, exchange: Exchange) -> Stop | None:
        """As the real ones say."""
        return self._real.diverts(exchange)

    def tightens(self, exchange: Exchange) -> Stop | None:
        """As the real ones say."""
        return self._real.tightens(exchange)

    def withdrawn(self, asl: int, scopes: frozenset[str]) -> Stop | None:
        """As the real ones say."""
        return self._real.withdrawn(asl, scopes)

    def changed(self) -> bool:
        """Look whether the rehearsal changed, or its lease has lapsed: then what runs is to be asked about again."""
        lapsed = self._lease is not None and self._lease.lapsed(LEASE_ASL)
        fresh, self._lapsed = lapsed and not self._lapsed, lapsed
        return bool(self._orders.poll()) or fresh
