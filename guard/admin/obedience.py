"""Who has applied an order: every worker here, and where there is a fleet every worker of every replica.

All that tells whether an order was obeyed asks here: the API, the control page, emergency stops and webhooks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from guard.admin.switchboard import Switchboard
from guard.state.acknowledgements import Ack
from guard.state.replicas import Spread

_POLL_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Confirmed:
    """How many workers apply an order, of how many, and who does not; ``acks`` are this host's, by worker.

    ``fleet`` is how far it has come in the fleet, None for a guard that is no part of one.
    """

    workers: int
    workers_of: int
    streams_cut: int
    missing: tuple[str, ...]
    acks: tuple[Ack, ...] = ()
    fleet: Spread | None = None

    @property
    def count(self) -> str:
        """How many of how many, as words."""
        workers = f"{self.workers} of {self.workers_of} workers"
        if self.fleet is None:
            return workers
        return f"{workers} on {self.fleet.replicas} of {self.fleet.replicas_of} replicas"

    def fields(self) -> dict[str, Any]:
        """What the admin API tells of it."""
        if self.fleet is not None:
            return self.fleet.fields()
        return {"workers": self.workers, "missing": list(self.missing), "streams_cut": self.streams_cut}


class Member(Protocol):
    """What is asked of a guard's place in its fleet."""

    def spread(self, order: str) -> Spread:
        """How far an order has come in the whole fleet."""

    def wait_for_others(self, *, waiting: bool) -> None:
        """Somebody waits for the other guards' words, or no more."""

    def status(self) -> dict[str, Any]:
        """How it stands."""


class Workers(Protocol):
    """Who must obey."""

    def workers(self) -> tuple[str, ...]:
        """Names of the workers that should be serving."""

    def fleet(self) -> Member | None:
        """This guard's place in its fleet; None where it is no part of one."""


class Here:
    """The workers of this host, without its fleet: a drill's order goes no further."""

    def __init__(self, fleet: Workers) -> None:
        """Take who must obey otherwise."""
        self.workers = fleet.workers

    def fleet(self) -> None:
        """No part of one."""
        return


def confirmed(switchboard: Switchboard, fleet: Workers, order: str) -> Confirmed:
    """Say who has applied an order; nobody, where that cannot be read: the order stands all the same."""
    expected, member = fleet.workers(), fleet.fleet()
    try:
        if member is None:
            here = switchboard.obeyed(order, expected)
            total = len(here.acks) + len(here.missing)
            return Confirmed(len(here.acks), total, here.streams_cut, here.missing, here.acks)
        far = member.spread(order)
        return Confirmed(far.workers, far.workers_of, far.streams_cut, far.missing, fleet=far)
    except OSError:
        if member is None:
            return Confirmed(0, len(expected), 0, expected)
        missing = ("the fleet (who has obeyed cannot be read)",)
        return Confirmed(0, len(expected), 0, missing, fleet=Spread(0, 1, 0, len(expected), 0, missing))


async def obedience(
    switchboard: Switchboard,
    fleet: Workers,
    orders: Sequence[str],
    seconds: float,
    leaving: Callable[[], bool] = lambda: False,
) -> list[Confirmed]:
    """Return for each order who has applied it, as soon as all have, after so many seconds, or when ``leaving``."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    member = fleet.fleet()
    if member is not None and orders:
        member.wait_for_others(waiting=True)
    try:
        while True:
            found = [confirmed(switchboard, fleet, order) for order in orders]
            if not any(each.missing for each in found) or loop.time() >= until or leaving():
                return found
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        if member is not None and orders:
            member.wait_for_others(waiting=False)
