"""The self-test model in one worker: the journey of every request, behind a door of its own.

Requests come through the same protocol, proxy, pipeline, valve and upstream client, ask the same switches, and run
among the same exchanges as everybody's. Apart are the door (a Unix socket that the state folder's owner alone reaches),
the key, and the catalogue: this alias is in no other, and no other alias is in this one. So a drill does not show that
the customers' own listeners, their TLS or their classifiers work, and its level is below ASL-3
(`guard.policy.selftest`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from guard.arrival import Arrivals, Limits
from guard.callers import holder_of
from guard.credentials import Callers, digest
from guard.live import LiveExchanges
from guard.policy.compile import Models, Ports
from guard.policy.config import Config
from guard.policy.selftest import self_test
from guard.proxy import Proxy
from guard.wire.dialect import Dialect
from guard.witness import Witness
from safeguards.scope import SELF_TEST

ANSWER_SECONDS: Final = 120.0
CONCURRENT: Final = 64
BODY_BYTES: Final = 65_536
_PEPPER: Final = b"the self-test model's key is no secret"


class SelfTest:
    """What one worker serves its drills with; ``proxy`` is the application behind the door."""

    def __init__(
        self,
        config: Config,
        ports: Ports,
        live: LiveExchanges,
        witness: Witness,
        routes: Mapping[bytes, Dialect],
        new_id: Callable[[], str],
        *,
        upstream: str,
        credential: bytes,
    ) -> None:
        """Take what the worker serves everybody with, the path of the synthetic model, and the key for it."""
        self._ports = ports
        self._upstream = upstream
        self._digest = digest(_PEPPER, credential)
        self._models, callers = self._made(config, None)
        limits = self._limits(config)
        self.arrivals = Arrivals(SELF_TEST, routes, callers, self._models, limits, live, ports.clock, new_id)
        self.proxy = Proxy(self.arrivals, live, witness, ports.clock)

    def take(self, config: Config) -> None:
        """Go on under another configuration: records name the policy that is in force."""
        models, callers = self._made(config, self._models)
        self.arrivals.take(callers, models, self._limits(config))
        before, self._models = self._models, models
        before.retire(models)

    async def aclose(self) -> None:
        """Close the connections to the synthetic model."""
        await self._models.aclose()

    def _made(self, config: Config, before: Models | None) -> tuple[Models, Callers]:
        own = self_test(config, self._upstream, self._digest, self._ports.clock.now(), ANSWER_SECONDS)
        holders = {key.digest: holder_of(key, own.tiers) for key in own.tiers.keys}
        return Models(own, self._ports, before), Callers(_PEPPER, holders, self._ports.clock)

    def _limits(self, config: Config) -> Limits:
        # Room beside everybody's: a guard that is full must still be able to show that it can be stopped.
        return Limits(BODY_BYTES, 5.0, config.guard.limits.concurrent + CONCURRENT, CONCURRENT)
