"""A key's rate is its tier's, and a tier without one has none to spend."""

from __future__ import annotations

from dataclasses import replace

from safeguards.limits import Limits, Rate
from safeguards.verdict import PASS, Block, Code
from tests.safeguards.exchanges import StillClock, exchange


class Meters:
    """Remembers what was asked and answers a fixed wait."""

    def __init__(self, wait: float) -> None:
        """Set the wait in seconds."""
        self.wait = wait
        self.asked: list[tuple[str, float, int, float]] = []

    def take(self, key: str, rate: float, burst: int, now: float) -> float:
        """Answer."""
        self.asked.append((key, rate, burst, now))
        return self.wait


RATES = {"gold": Rate(2.0, 5)}


def test_a_key_with_room_passes_and_its_own_bucket_is_asked_with_the_steady_clock() -> None:
    meters = Meters(0.0)
    limits = Limits(RATES, meters, StillClock(monotonic=42.0))
    assert limits.admit(exchange(key="key-9")) is PASS
    assert meters.asked == [("key-9", 2.0, 5, 42.0)]


def test_a_key_without_room_is_told_how_long_to_wait() -> None:
    verdict = Limits(RATES, Meters(1.5), StillClock()).admit(exchange())
    assert isinstance(verdict, Block)
    assert (verdict.code, verdict.rule, verdict.retry_after) == (Code.RATE_LIMITED, "rate", 1.5)


def test_what_another_model_has_counted_takes_nothing_and_still_needs_a_rate_here() -> None:
    meters = Meters(1.5)
    limits = Limits(RATES, meters, StillClock())
    assert limits.admit(replace(exchange(), charged=True)) is PASS
    verdict = limits.admit(replace(exchange(tier="silver"), charged=True))
    assert isinstance(verdict, Block)
    assert (verdict.rule, meters.asked) == ("no_rate", [])


def test_a_tier_without_a_rate_is_blocked_and_takes_nothing() -> None:
    meters = Meters(0.0)
    verdict = Limits(RATES, meters, StillClock()).admit(exchange(tier="silver"))
    assert isinstance(verdict, Block)
    assert (verdict.code, verdict.rule, verdict.retry_after) == (Code.RATE_LIMITED, "no_rate", None)
    assert meters.asked == []
