"""Acts beside the loop: it goes on meanwhile, their outcome is the waiter's, and a disk that hangs takes no more."""

from __future__ import annotations

import asyncio
import threading

import pytest

from guard.admin.off_loop import MAX_WAITING, off_loop


def test_the_loop_goes_on_while_an_act_waits_and_too_many_are_refused() -> None:
    answers = threading.Event()

    async def waiting() -> None:
        acts = [asyncio.ensure_future(off_loop(answers.wait)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="does not answer"):
            await off_loop(answers.wait)
        answers.set()
        assert await asyncio.gather(*acts) == [True] * MAX_WAITING
        assert await off_loop(lambda: 7) == 7

    asyncio.run(waiting())


def test_what_an_act_raises_is_the_waiters_and_one_who_left_hears_nothing() -> None:
    answers = threading.Event()

    async def raising() -> None:
        with pytest.raises(ValueError, match="what"):
            await off_loop(lambda: int("what"))
        left = asyncio.ensure_future(off_loop(answers.wait))
        await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        answers.set()
        await off_loop(lambda: None)

    asyncio.run(raising())
