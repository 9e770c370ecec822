"""The one table of what callers are told covers every code and gives nothing away."""

from __future__ import annotations

import pytest

from guard.wire.dialect import TOLD, Event
from safeguards.verdict import Code


@pytest.mark.parametrize("code", Code)
def test_every_code_is_told_as_a_sentence_with_a_status_of_failure(code: Code) -> None:
    told = TOLD[code]
    assert 400 <= told.status <= 599
    assert told.sentence.endswith(".")
    assert told.sentence[0].isupper()


def test_only_what_passes_by_itself_is_worth_sending_again() -> None:
    assert {code for code, told in TOLD.items() if told.retry} == {Code.RATE_LIMITED, Code.OVERLOADED, Code.DRAINING}


def test_no_sentence_is_used_twice() -> None:
    assert len({told.sentence for told in TOLD.values()}) == len(TOLD)


def test_an_event_without_text_needs_no_clearance() -> None:
    event = Event(b"data: [DONE]\n\n")
    assert (event.channel, event.end, event.more) == (None, 0, ())
