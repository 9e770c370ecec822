"""Work in a thread beside an event loop that must not stall."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Final

SWITCH_SECONDS: Final = 0.0002
_lock: Final = threading.Lock()
_before: list[float] = []  # of each block that is entered, the interval that the first of them found


@contextlib.contextmanager
def gently() -> Iterator[None]:
    """While any thread is in such a block, the loop gets the interpreter back within a fraction of a millisecond."""
    with _lock:
        _before.append(_before[0] if _before else sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        with _lock:
            interval = _before.pop()
            if not _before:
                sys.setswitchinterval(interval)
