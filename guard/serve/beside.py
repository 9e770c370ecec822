"""Work in a thread beside an event loop that must not stall."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar

T = TypeVar("T")
NICE: Final = 10
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


async def aside(work: Callable[[], T]) -> T:
    """Do it in a thread of its own that yields the processor to whoever serves; raises what it raises."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # of the thread alone, on Linux
        try:
            with gently():
                found = work()
        except BaseException as problem:  # noqa: BLE001 - it is raised where it is waited for
            tell = partial(_raise, done, problem)
        else:
            tell = partial(_answer, done, found)
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await done


def _answer(done: asyncio.Future[T], found: T) -> None:
    if not done.done():
        done.set_result(found)


def _raise(done: asyncio.Future[T], problem: BaseException) -> None:
    if not done.done():
        done.set_exception(problem)
