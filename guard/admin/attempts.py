"""How often one address may be wrong: the bound on guessing at the sign-in form.

A token has 256 random bits, so no guess succeeds; the bound keeps the guessing cheap for us and visible. Only wrong
tokens wait: a right one is let in whatever came from its address before, because many people may share one (a proxy, a
bastion), and none of them may keep another from the stop. It holds for the form alone, never for the API.
"""

from __future__ import annotations

from typing import Final

from safeguards.ports import Clock

MOST_WRONG: Final = 10
WINDOW_SECONDS: Final = 60.0
MAX_ADDRESSES: Final = 1_000


class Attempts:
    """Wrong attempts by address, for a minute; above the bound of addresses the oldest is forgotten."""

    def __init__(self, clock: Clock) -> None:
        """Begin without any."""
        self._clock = clock
        self._wrong: dict[str, tuple[float, int]] = {}

    def wait(self, address: str) -> float:
        """Return the seconds for which wrong tokens from this address are not told why; 0.0 while they are."""
        began, count = self._wrong.get(address, (0.0, 0))
        left = began + WINDOW_SECONDS - self._clock.steady()
        return left if count >= MOST_WRONG and left > 0.0 else 0.0

    def failed(self, address: str) -> None:
        """Count one."""
        now = self._clock.steady()
        began, count = self._wrong.pop(address, (now, 0))
        if now - began >= WINDOW_SECONDS:
            began, count = now, 0
        while len(self._wrong) >= MAX_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        self._wrong[address] = (began, count + 1)

    def succeeded(self, address: str) -> None:
        """Forget what was wrong before."""
        self._wrong.pop(address, None)
