"""Acts that may wait for a disk, beside the loop: each in its own thread, so that a stop never queues behind one."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

MAX_WAITING: Final = 64
"""Acts at once; a disk that hangs must not use up the host's threads."""
_ROOM: Final = threading.BoundedSemaphore(MAX_WAITING)
T = TypeVar("T")


async def off_loop(act: Callable[[], T]) -> T:
    """Return what ``act`` returns or raises; raises OSError when too many wait already.

    The act goes on to its end even when nobody waits for it any more.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, problem: BaseException | None) -> None:
        if told.done():
            return
        if problem is None:
            told.set_result(result)  # type: ignore[arg-type]  # without a problem there is a result
        else:
            told.set_exception(problem)

    def run() -> None:
        result, problem = None, None
        try:
            result = act()
        except BaseException as raised:  # noqa: BLE001 - it is the waiter's
            problem = raised
        finally:
            _ROOM.release()
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result, problem)

    if not _ROOM.acquire(blocking=False):
        raise OSError(errno.EBUSY, "the disk of the orders does not answer")
    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError:
        run()
    return await told
