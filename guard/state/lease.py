"""How long a replica may serve without proof that it knows every order: one mapped word, judged by each worker itself.

The word is the moment of the last proof in nanoseconds of CLOCK_BOOTTIME, which runs on while a machine sleeps. The
supervisor writes it, workers only read: a frozen or dead one renews nothing, so its workers stop what their levels
demand by themselves. A time that lies in the future was left by another boot and is no proof.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from guard.state.switches import FileSwitches
from safeguards.exchange import Exchange
from safeguards.ports import Clock, Stop

ORDER: Final = "lease"
LONGEST: Final[Mapping[int, float]] = MappingProxyType({3: 30.0, 4: 3.0})
"""Seconds by level: nothing can lengthen these. Levels below are served on with an alarm, unless they are tightened."""
_WORD: Final = struct.Struct("@q")
_NANO: Final = 1_000_000_000
_NEVER: Final = -(1 << 62)
_SKEW: Final = 1.0


class LeaseWord:
    """The file ``lease`` of a state directory: the supervisor's, to write."""

    def __init__(self, state: Path) -> None:
        """Make the file or take it over, without proof; raises OSError."""
        fd = os.open(state / ORDER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(fd).st_size != _WORD.size:
                os.ftruncate(fd, 0)
                os.posix_fallocate(fd, 0, _WORD.size)
            self._word = memoryview(mmap.mmap(fd, _WORD.size)).cast("@q")
        finally:
            os.close(fd)
        self.withdraw()

    def renew(self, proof: float) -> None:
        """There was proof at this moment (CLOCK_BOOTTIME seconds, from before it was asked for); never set back."""
        self._word[0] = max(self._word[0], int(proof * _NANO))

    def withdraw(self) -> None:
        """There is no proof."""
        self._word[0] = _NEVER


class Lease:
    """A process's view of it; ``limits`` are seconds by level, levels that are not in it have none."""

    def __init__(self, state: Path, limits: Mapping[int, float], clock: Clock) -> None:
        """Map the word, which the supervisor has made; raises OSError."""
        fd = os.open(state / ORDER, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if os.fstat(fd).st_size != _WORD.size:
                raise OSError(0, f"{state / ORDER} has another size; restart the guard")
            self.word = memoryview(mmap.mmap(fd, _WORD.size, prot=mmap.PROT_READ)).cast("@q")
        finally:
            os.close(fd)
        self.steady = clock.steady
        self.limits = dict(limits)

    def age(self) -> float | None:
        """Seconds since the last proof; None if there is none."""
        age = self.steady() - self.word[0] / _NANO
        return max(0.0, age) if -_SKEW <= age < -_NEVER / _NANO else None

    def lapsed(self, asl: int) -> bool:
        """Whether a model of this level may not be served now."""
        limit = self.limits.get(asl)
        return limit is not None and not -_SKEW <= self.steady() - self.word[0] / _NANO <= limit

    def any_lapsed(self) -> frozenset[int]:
        """Every level that may not be served now."""
        return frozenset(asl for asl in self.limits if self.lapsed(asl))


class LeasedSwitches:
    """Implements the port `Ladder`: the orders, and beside them the lease of a fleet's replica.

    Asked before every send. What the lease means is worked out once for each proof, and an exchange that no stop names
    goes on by the words that `FileSwitches` compares: there is one look at either word and one at the clock.
    """

    def __init__(self, switches: FileSwitches, lease: Lease) -> None:
        """Take both views."""
        self._switches = switches
        self._lease = lease
        self._steady = lease.steady
        self._word = lease.word
        self._proof: int | None = None
        self._take_proof(self._word[0])

    def covering(self, exchange: Exchange) -> Stop | None:
        """The stop that covers this exchange; a lapsed lease is one. Raises Unavailable as the orders do."""
        # The lease before the orders: it is renewed only after the orders it vouches for can be seen.
        if (word := self._word[0]) != self._proof:
            self._take_proof(word)
        lapsed = self._steady() > self._until[exchange.asl]
        orders = self._switches
        if not lapsed and orders.word[0] == orders.seen and orders.named.isdisjoint(exchange.scopes):
            return None
        stop = orders.covering(exchange)
        if stop is None and lapsed:
            return lapse(self._lease, exchange.asl)
        return stop

    def detour(self, exchange: Exchange) -> Stop | None:
        """As the orders say: whether the model that answers may be served now is asked of `covering`."""
        return self._switches.detour(exchange)

    def diverts(self, exchange: Exchange) -> Stop | None:
        """As the orders say."""
        return self._switches.diverts(exchange)

    def tightens(self, exchange: Exchange) -> Stop | None:
        """As the orders say."""
        return self._switches.tightens(exchange)

    def withdrawn(self, asl: int, scopes: frozenset[str]) -> Stop | None:
        """As the orders say."""
        return self._switches.withdrawn(asl, scopes)

    def cutting(self, exchange: Exchange) -> Stop | None:
        """The stop that ends this exchange while it runs; a lapsed lease is one. Raises as `covering`."""
        if (word := self._word[0]) != self._proof:
            self._take_proof(word)
        lapsed = self._steady() > self._until[exchange.asl]
        orders = self._switches
        if not lapsed and orders.word[0] == orders.seen and orders.named.isdisjoint(exchange.scopes):
            return None
        stop = orders.cutting(exchange)
        if stop is None and lapsed:
            return lapse(self._lease, exchange.asl)
        return stop

    def _take_proof(self, word: int) -> None:
        """Work out until when this proof counts, for each level; levels without a limit need none."""
        proof = word / _NANO
        ahead = self._steady() < proof - _SKEW  # no proof as yet, so it is looked at again each time
        self._proof = None if ahead else word
        limits = self._lease.limits.items()
        self._until = defaultdict(_forever, {asl: -math.inf if ahead else proof + limit for asl, limit in limits})


def _forever() -> float:
    return math.inf


def lapse(lease: Lease, asl: int) -> Stop:
    """What a lapsed lease stops, in the words of a stop."""
    limit = lease.limits[asl]
    return Stop(ORDER, f"ASL-{asl}", f"no proof within {limit:g} s that every stop order is known here")


def limits_of(tightened: Mapping[int, float | None]) -> dict[int, float]:
    """Return each level's limit: the shorter of its own and what the configuration says."""
    wanted = {asl: seconds for asl, seconds in tightened.items() if seconds is not None}
    return {asl: min(each.get(asl, float("inf")) for each in (LONGEST, wanted)) for asl in {*LONGEST, *wanted}}
