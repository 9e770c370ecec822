"""Evidence holds until the second of its expiry, and what is missing never holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from safeguards.evidence import Evidence
from safeguards.verdict import PASS, Block, Code
from tests.safeguards.exchanges import StillClock, exchange


@pytest.mark.parametrize(("now", "passes"), [(99.0, True), (99.999, True), (100.0, False), (1e12, False)])
def test_the_clock_is_asked_at_each_request(now: float, passes: bool) -> None:
    clock = StillClock(epoch=0.0)
    evidence = Evidence({"red-team": 100.0, "other": 2e12}, {}, clock)
    assert evidence.admit(exchange()) is PASS
    clock.epoch = now
    verdict = evidence.admit(exchange())
    if passes:
        assert verdict is PASS
    else:
        assert verdict == Block(Code.EVIDENCE_EXPIRED, "expired: red-team", rule="red-team")


def test_all_that_has_expired_is_named() -> None:
    verdict = Evidence({"b": 1.0, "a": 2.0, "c": 9e12}, {}, StillClock()).admit(exchange())
    assert verdict == Block(Code.EVIDENCE_EXPIRED, "expired: a, b", rule="a")


def test_what_is_missing_blocks_at_any_time() -> None:
    verdict = Evidence({"b": None, "a": None, "c": 9e12}, {}, StillClock(epoch=0.0)).admit(exchange())
    assert verdict == Block(Code.EVIDENCE_EXPIRED, "missing: a, b", rule="a")


def test_a_model_that_needs_none_passes() -> None:
    assert Evidence({}, {}, StillClock()).admit(exchange()) is PASS


@pytest.mark.parametrize(("issued", "passes"), [(99.0, True), (100.0, False), (150.0, False), (float("inf"), False)])
def test_a_lapse_that_stops_new_principals_turns_away_keys_made_since(issued: float, passes: bool) -> None:
    clock = StillClock(epoch=0.0)
    evidence = Evidence({"other": 2e12}, {"report": 100.0, "later": 3e12}, clock)
    asked = exchange()
    asked = replace(asked, caller=replace(asked.caller, issued=issued))
    assert evidence.admit(asked) is PASS
    clock.epoch = 200.0
    refused = Block(Code.EVIDENCE_EXPIRED, "no new principals since these expired: report", rule="report")
    assert evidence.admit(asked) == (PASS if passes else refused)


def test_what_stops_everybody_is_told_before_what_stops_newcomers() -> None:
    verdict = Evidence({"all": 1.0}, {"new": 1.0}, StillClock()).admit(exchange())
    assert verdict == Block(Code.EVIDENCE_EXPIRED, "expired: all", rule="all")


def test_what_was_never_there_stops_everybody_whatever_its_lapse_would_do() -> None:
    verdict = Evidence({"b": None}, {"a": None}, StillClock()).admit(exchange())
    assert verdict == Block(Code.EVIDENCE_EXPIRED, "missing: a, b", rule="a")
