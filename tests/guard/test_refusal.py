"""A safeguard's denial ends an exchange in the way that its code says."""

from __future__ import annotations

import pytest

from guard.refusal import Ended, Refused
from safeguards.decision import Decision, Ending, Target
from safeguards.verdict import Code


def decision(code: Code | None) -> Decision:
    return Decision("m", Target.INPUT, True, True, True, 0.0, code, "why", "other", "r1", None, 3.0)


@pytest.mark.parametrize("side", [Ending.BLOCKED_INPUT, Ending.BLOCKED_OUTPUT])
@pytest.mark.parametrize("code", list(Code))
def test_a_stop_is_a_stop_and_a_grant_a_denial_on_either_side(code: Code, side: Ending) -> None:
    expected = {
        Code.STOPPED: Ending.STOPPED,
        Code.DE_DEPLOYED: Ending.STOPPED,
        Code.ACCESS_DENIED: Ending.DENIED,
        Code.RATE_LIMITED: Ending.DENIED,
        Code.NO_NEW_PRINCIPALS: Ending.STOPPED,
        Code.EVIDENCE_EXPIRED: Ending.DENIED,
    }
    ended = Ended.by(decision(code), side)
    assert ended.ending is expected.get(code, side)
    assert (ended.block.code, ended.block.reason, ended.block.category) == (code, "why", "other")
    assert (ended.block.rule, ended.block.retry_after) == ("r1", 3.0)


def test_a_denial_without_a_code_is_internal() -> None:
    assert Ended.by(decision(None), Ending.BLOCKED_INPUT).block.code is Code.INTERNAL


def test_a_refusals_text_is_its_code_alone() -> None:
    assert str(Refused(Code.BAD_REQUEST, "messages: words of a caller")) == "bad_request"
