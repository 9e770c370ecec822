"""When the interpreter looks for garbage in cycles: each pass holds the interpreter, and streams wait for it.

A pass takes about a millisecond for 5,000 objects. What serves makes few cycles (each connection leaves one), so passes
are rare; what is there before the first request is frozen, that is, left out of them for good.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Final

_YOUNG: Final = 10_000
_SELDOM: Final = 50
_STEP: Final = 2_000
_NOT_NOW: Final = 1_000_000


def settle() -> None:
    """Leave everything that there is by now out of later passes, and make those rare; once, before serving."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _SELDOM, _SELDOM)


@contextlib.contextmanager
def in_small_passes() -> Iterator[None]:
    """Take what is made in such a block (a policy of 200 models: 20,000 objects) to the oldest generation in steps.

    Else it would be looked through several times, 10,000 and more at once. It is not frozen: what callers left in
    cycles meanwhile would then stay for ever.
    """
    before = gc.get_threshold()
    gc.set_threshold(_STEP, 0, _NOT_NOW)
    try:
        yield
    finally:
        gc.set_threshold(*before)
