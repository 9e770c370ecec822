"""The one table of what callers are told covers every code and gives nothing away."""

from __future__ import annotations

import pytest

from guard.wire.anthropic_messages import AnthropicMessages
from guard.wire.dialect import TOLD, Dialect, Event, Naming
from guard.wire.openai_chat import OpenAIChat
from guard.wire.openai_completions import OpenAICompletions
from guard.wire.openai_responses import OpenAIResponses
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


@pytest.mark.parametrize("code", Code)
def test_within_an_answer_nobody_is_told_that_nothing_was_sent(code: Code) -> None:
    told = TOLD[code]
    assert told.words(begun=False) == told.sentence
    midway = told.words(begun=True)
    assert midway.endswith(".")
    assert not any(wrong in midway for wrong in ("was not sent", "was not served", "nothing was served"))


@pytest.mark.parametrize(
    "dialect", [OpenAIChat(), OpenAICompletions(), OpenAIResponses(), AnthropicMessages()], ids=lambda one: one.name
)
def test_the_error_within_a_stream_is_told_in_the_words_of_an_answer_that_has_begun(dialect: Dialect) -> None:
    data = dialect.end_failed(Naming("0123abcd", "demo", 1_700_000_000), None, Code.LOG_UNAVAILABLE).decode()
    assert TOLD[Code.LOG_UNAVAILABLE].midway in data
    assert "was not sent" not in data
    assert "was not sent" in dialect.error(Code.LOG_UNAVAILABLE, "id").decode()
