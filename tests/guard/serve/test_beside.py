"""Work beside a loop: its answer, its failure, and the interpreter's interval given back."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from guard.serve.beside import NICE, SWITCH_SECONDS, aside, gently


def test_the_interval_is_short_while_anybody_works_and_then_what_it_was() -> None:
    before = sys.getswitchinterval()
    with gently():
        with gently():
            assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == pytest.approx(before)


def test_threads_that_end_in_any_order_leave_the_interval_as_it_was() -> None:
    before = sys.getswitchinterval()
    entered, leave = threading.Barrier(3), [threading.Event(), threading.Event()]

    def work(index: int) -> None:
        with gently():
            entered.wait(30)
            leave[index].wait(30)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    entered.wait(30)
    for index in (0, 1):
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
        leave[index].set()
        threads[index].join(30)
    assert sys.getswitchinterval() == pytest.approx(before)


def test_what_is_done_aside_yields_the_processor_and_changes_nobody_elses_priority() -> None:
    def work() -> tuple[int, int]:
        return threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread, nice = asyncio.run(aside(work))
    assert thread != threading.get_native_id()
    assert nice >= NICE
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine


def test_a_failure_aside_is_raised_where_it_is_waited_for() -> None:
    def work() -> None:
        raise ValueError("a reason")

    with pytest.raises(ValueError, match="a reason"):
        asyncio.run(aside(work))


def test_who_no_longer_waits_is_not_told() -> None:
    go = threading.Event()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(aside(lambda: go.wait(30)), 0.01)
        go.set()

    asyncio.run(main())
