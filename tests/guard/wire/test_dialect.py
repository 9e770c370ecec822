"""The one table of what callers are told covers every code and gives nothing away."""

from __future__ import annotations

import pytest

from guard.wire.dialect import TOLD, Event
from safeguards.exchange import Channel, ChannelId, ChannelKind
from safeguards.verdict import Code


@pytest.mark.parametrize("code", Code)
def test_every_code_is_told_as_a_sentence_with_a_status_of_failure(code: Code) -> None:
    told = TOLD[code]
    assert 400 <= told.status <= 599
    assert told.sentence.endswith(".")
    assert told.sentence[0].isupper()


def test_only_what_passes_by_itself_is_worth_sending_again() -> None:
    assert {code for code, told in TOLD.items() if told.retry} == {
        Code.RATE_LIMITED,
        Code.OVERLOADED,
        Code.DRAINING,
        Code.POLICY_CHANGED,
    }


def test_no_sentence_is_used_twice() -> None:
    assert len({told.sentence for told in TOLD.values()}) == len(TOLD)


def test_an_event_without_text_needs_no_clearance() -> None:
    event = Event(b"data: [DONE]\n\n")
    assert (event.channel, event.end, event.more) == (None, 0, ())


def test_an_event_waits_for_every_mark_it_carries_in_their_order() -> None:
    first, second = Channel(ChannelId(0, ChannelKind.CONTENT)), Channel(ChannelId(0, ChannelKind.REFUSAL))
    event = Event.marked(b"data", [(first, 3), (second, 5)], seen="it")
    assert (event.channel, event.end, event.more, event.seen) == (first, 3, ((second, 5),), "it")


def test_an_event_without_marks_needs_no_clearance() -> None:
    assert Event.marked(b"data", []) == Event(b"data")
