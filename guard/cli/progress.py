"""How far a long command is, on standard error and only where a person looks at it."""

from __future__ import annotations

import sys
import time
from typing import Final

EVERY_SECONDS: Final = 0.5
EVERY: Final = 1024


class Progress:
    """Counts what was done; nothing is written in the first half second."""

    def __init__(self, what: str) -> None:
        """Take the word for what is counted."""
        self._what = what
        self._shows = sys.stderr.isatty()
        self._next = time.monotonic() + EVERY_SECONDS
        self._shown = False
        self._bytes = 0

    def read(self, size: int) -> None:
        """So many bytes more were read; counted in mebibytes."""
        self._bytes += size
        self._show(self._bytes >> 20)

    def __call__(self, count: int) -> None:
        """So many are done."""
        if count % EVERY == 0:
            self._show(count)

    def _show(self, count: int) -> None:
        if not self._shows or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_SECONDS
        self._shown = True
        sys.stderr.write(f"\r{count:,} {self._what}")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave a clean line."""
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
