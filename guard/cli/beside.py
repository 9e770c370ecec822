"""Something done beside a command, in a thread that ends with the process: what hangs holds up nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Beside(Generic[T]):
    """``found`` is what the act returned, None while it has not or when it failed."""

    def __init__(self, act: Callable[[], T]) -> None:
        """Begin at once; an OSError or ValueError of the act is a failure of that path."""
        self.found: T | None = None
        self._thread = threading.Thread(target=self._run, args=(act,), daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether the act has returned or failed."""
        return not self._thread.is_alive()

    def within(self, seconds: float) -> T | None:
        """Wait at most so long, and return what was found."""
        self._thread.join(seconds)
        return self.found

    def _run(self, act: Callable[[], T]) -> None:
        with suppress(OSError, ValueError):
            self.found = act()
