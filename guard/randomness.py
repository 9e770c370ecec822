"""The system's random bytes, fetched for many uses at a time: a call for each would cost more than the use."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

_FETCHED: Final = 4096


class Randomness:
    """Gives each byte of its source once; not for a process that forks afterwards, nor for two threads."""

    __slots__ = ("_at", "_fetched", "_source")

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        """Begin with none fetched."""
        self._source = source
        self._fetched = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many bytes, at most 4,096."""
        at = self._at
        if at + count > len(self._fetched):
            self._fetched, at = self._source(_FETCHED), 0
        self._at = at + count
        return self._fetched[at : self._at]
