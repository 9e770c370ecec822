"""The lease of the self-test model, held by whoever drills: in a fleet it is served only as long as that is renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from guard.drills.places import LEASE_SECONDS
from guard.state.lease import LeaseWord

RENEW_SECONDS: Final = LEASE_SECONDS / 8


class HeldLease:
    """Renewed within an ``async with`` block, unless it is let go; it lapses by itself when its holder dies."""

    def __init__(self, run: Path, steady: Callable[[], float]) -> None:
        """Take the folder ``run`` and the time; raises OSError."""
        self._word = LeaseWord(run)
        self._steady = steady
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Hold it."""
        self.hold()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let it go."""
        self.let_go()

    def hold(self) -> None:
        """Renew it from now on."""
        self._word.renew(self._steady())
        self._renewing = asyncio.ensure_future(self._renew())

    def let_go(self) -> None:
        """Renew it no more."""
        if self._renewing is not None:
            self._renewing.cancel()

    async def _renew(self) -> None:
        while True:
            self._word.renew(self._steady())
            await asyncio.sleep(RENEW_SECONDS)
