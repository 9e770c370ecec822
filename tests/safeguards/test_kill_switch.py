"""A stop refuses what it covers and cuts what is running; a switch that cannot be read is not an open one."""

from __future__ import annotations

import pytest

from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Exchange
from safeguards.kill_switch import KillSwitch, stopped
from safeguards.mode import Mode
from safeguards.ports import Stop
from safeguards.verdict import PASS, Block, Cleared, Code
from tests.safeguards.exchanges import content, exchange

STOP = Stop("order-7", "model:demo", "drill")
DRAIN = Stop("order-8", "model:demo", "going")


class Switches:
    """Answers what it is set to."""

    def __init__(self, answer: Stop | Unavailable | None) -> None:
        """Set it."""
        self.answer = answer

    def covering(self, exchange: Exchange) -> Stop | None:
        """Answer."""
        if isinstance(self.answer, Unavailable):
            raise self.answer
        return self.answer

    def cutting(self, exchange: Exchange) -> Stop | None:
        """Answer; a drain ends nothing."""
        return None if self.answer == DRAIN else self.covering(exchange)


def test_without_a_stop_everything_passes() -> None:
    switch = KillSwitch(Switches(None))
    assert switch.admit(exchange()) is PASS
    assert switch.watch(exchange(), content("abc")) == Cleared(3)


def test_a_stop_refuses_and_cuts() -> None:
    switches = Switches(None)
    switch = KillSwitch(switches)
    switches.answer = STOP
    expected = Block(Code.STOPPED, "model:demo: drill", rule="order-7")
    assert switch.admit(exchange()) == expected
    assert switch.watch(exchange(), content("abc")) == expected


def test_what_keeps_a_request_from_beginning_need_not_end_one_that_runs() -> None:
    switch = KillSwitch(Switches(DRAIN))
    assert switch.admit(exchange()) == Block(Code.STOPPED, "model:demo: going", rule="order-8")
    assert switch.watch(exchange(), content("abc")) == Cleared(3)


def test_a_stop_without_a_reason_says_so() -> None:
    assert stopped(Stop("o", "all", "")).reason == "all: no reason given"


def test_a_switch_that_cannot_be_read_is_not_taken_for_open() -> None:
    switch = KillSwitch(Switches(Unavailable(Failure.UNREACHABLE, "gone")))
    with pytest.raises(Unavailable):
        switch.admit(exchange())
    with pytest.raises(Unavailable):
        switch.watch(exchange(), content("abc"))


def test_the_switch_watches() -> None:
    assert KillSwitch.watches


@pytest.mark.parametrize("mode", Mode)
def test_a_caller_learns_whether_it_is_stopped_withdrawn_or_closed_to_new_keys(mode: Mode) -> None:
    told = {Mode.DE_DEPLOYED: Code.DE_DEPLOYED, Mode.NO_NEW_PRINCIPALS: Code.NO_NEW_PRINCIPALS}
    assert stopped(Stop("o", "all", "x", mode)).code is told.get(mode, Code.STOPPED)
