"""Wrong attempts are counted by address, for a minute, within bounds."""

from __future__ import annotations

from guard.admin.attempts import MAX_ADDRESSES, MOST_WRONG, WINDOW_SECONDS, Attempts
from tests.guard.admin.fakes import SetClock


def test_an_address_waits_after_so_many_and_until_the_window_is_over() -> None:
    clock = SetClock()
    attempts = Attempts(clock)
    for _ in range(MOST_WRONG):
        assert attempts.wait("a") == 0.0
        attempts.failed("a")
    assert attempts.wait("a") == WINDOW_SECONDS
    assert attempts.wait("b") == 0.0
    clock.go(WINDOW_SECONDS)
    assert attempts.wait("a") == 0.0
    attempts.failed("a")
    assert attempts.wait("a") == 0.0


def test_a_success_forgets_what_was_wrong_before() -> None:
    attempts = Attempts(SetClock())
    for _ in range(MOST_WRONG - 1):
        attempts.failed("a")
    attempts.succeeded("a")
    attempts.failed("a")
    assert attempts.wait("a") == 0.0


def test_no_number_of_addresses_fills_the_memory() -> None:
    attempts = Attempts(SetClock())
    for number in range(3 * MAX_ADDRESSES):
        attempts.failed(str(number))
    assert len(attempts._wrong) == MAX_ADDRESSES
