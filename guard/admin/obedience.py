"""Waiting until every worker has applied an order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from guard.admin.switchboard import Obeyed, Switchboard

_POLL_SECONDS: Final = 0.01


class Workers(Protocol):
    """Who must obey."""

    def workers(self) -> tuple[str, ...]:
        """Names of the workers that should be serving."""


async def obedience(switchboard: Switchboard, fleet: Workers, orders: Sequence[str], seconds: float) -> list[Obeyed]:
    """Return for each order who has applied it, as soon as all have or after so many seconds."""
    expected = fleet.workers()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        found = [switchboard.obeyed(order, expected) for order in orders]
        if not any(each.missing for each in found) or loop.time() >= until:
            return found
        await asyncio.sleep(_POLL_SECONDS)
