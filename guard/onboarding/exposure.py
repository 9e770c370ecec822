"""Which of the table's routes are open to a stranger, found without calling any of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import httpx

from guard.onboarding.asking import REFUSALS, Asking, NoAnswerError, Probe
from guard.onboarding.routes import Danger

NO_SUCH_ROUTE: Final = "/guard-init-no-such-route"
BUDGET_SECONDS: Final = 15.0
# A route that refuses the method or misses the body has let a stranger in, given that unknown paths are told apart.
_PRESENT: Final = (200, 201, 202, 204, 400, 405, 411, 415, 422)


class Standing(StrEnum):
    """What is known of a route."""

    OPEN = "open"
    REFUSED = "refused"
    ABSENT = "absent"
    UNKNOWN = "could not tell"


@dataclass(frozen=True, slots=True)
class Exposed:
    """A danger and how each of its paths stands."""

    danger: Danger
    standings: tuple[tuple[str, Standing], ...]

    def paths(self, standing: Standing) -> tuple[str, ...]:
        """Return the paths that stand so."""
        return tuple(path for path, found in self.standings if found is standing)


async def expose(
    asking: Asking,
    dangers: Iterable[Danger],
    *,
    seconds: float = BUDGET_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[Exposed, ...]:
    """Try every route once, without a key; what is left when the time is over could not be told."""
    looking = _Looking(asking, monotonic() + seconds, monotonic)
    return tuple(
        [
            Exposed(danger, tuple([(path, await looking.standing(danger.probe, path)) for path in danger.paths]))
            for danger in dangers
        ]
    )


class _Looking:
    """One look at a server; remembers how it answers for a path that cannot exist."""

    def __init__(self, asking: Asking, until: float, monotonic: Callable[[], float]) -> None:
        self._asking = asking
        self._until = until
        self._monotonic = monotonic
        self._strange: dict[Probe, int] = {}

    async def standing(self, probe: Probe | None, path: str) -> Standing:
        if probe is None:
            return Standing.UNKNOWN
        if probe not in self._strange:
            self._strange[probe] = await self._status(probe, NO_SUCH_ROUTE)
        unknown_path = self._strange[probe]
        if unknown_path != httpx.codes.NOT_FOUND and unknown_path not in REFUSALS:
            return Standing.UNKNOWN  # a server that answers for everything tells nothing
        return judge(await self._status(probe, path))

    async def _status(self, probe: Probe, path: str) -> int:
        """Return 0 when there is no answer, or no time left for one."""
        if self._monotonic() >= self._until:
            return 0
        try:
            return (await self._asking.ask(path, probe, read=False)).status
        except NoAnswerError:
            return 0


def judge(status: int) -> Standing:
    """Judge a route by the status of a probe, where an unknown path gives 404 or is refused."""
    if status in _PRESENT:
        return Standing.OPEN
    if status in REFUSALS:
        return Standing.REFUSED
    if status in {404, 501}:  # 501: llama.cpp's word for a feature that is switched off
        return Standing.ABSENT
    return Standing.UNKNOWN
