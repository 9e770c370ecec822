"""Rapid response: a pushed rule judges prompts and answers, and what ran before it came from the beginning."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.classifiers.patterns import PatternClassifier, PatternRule
from safeguards.base import Admission, Watch
from safeguards.classifier import SLICE
from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Channel, ChannelId, ChannelKind, Exchange, Passage
from safeguards.ports import Screen
from safeguards.rapid_response import RapidResponse
from safeguards.verdict import PASS, Block, Cleared, Code
from tests.safeguards.exchanges import content, exchange, said

V = TypeVar("V", Admission, Watch)
MARK = "forbidden-marker"


class Pushed:
    """The rules that a test pushes: for every exchange the same."""

    def __init__(self, *screens: Screen) -> None:
        """Begin with these."""
        self.screens = screens

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self.screens)

    def covering(self, exchange: Exchange) -> tuple[Screen, ...]:
        """All of them."""
        return self.screens


def screen(word: str = MARK, order: str = "01A", *, inputs: bool = True, outputs: bool = True) -> Screen:
    rules = [PatternRule("a-rule", "jailbreak", phrase=word)]
    return Screen(order, inputs, outputs, PatternClassifier("order", rules))


def blocked(order: str = "01A") -> Block:
    return Block(Code.CONTENT_BLOCKED, "pushed rule a-rule", category="jailbreak", rule=order)


def settled(found: V | Awaitable[V]) -> V:
    async def wait() -> V:
        return await found if isinstance(found, Awaitable) else found

    return asyncio.run(wait())


def stream(safeguard: RapidResponse, asked: Exchange, channel: Channel, *pieces: str, last: bool = False) -> Watch:
    """Let the model say this, a batch for each piece; the first block, or the last watermark."""
    verdict: Watch = Cleared(channel.end)
    for number, piece in enumerate(pieces, 1):
        channel.append(piece)
        channel.complete = last and number == len(pieces)
        verdict = settled(safeguard.watch(asked, channel))
        channel.settle()
        if isinstance(verdict, Block):
            break
    return verdict


def test_without_a_rule_it_rests_and_has_nothing_against_anything() -> None:
    safeguard = RapidResponse(Pushed())
    assert safeguard.resting()
    assert safeguard.admit(exchange(*said(MARK))) is PASS
    assert stream(safeguard, exchange(), content(), MARK) == Cleared(len(MARK))
    assert not RapidResponse(Pushed(screen())).resting()


@pytest.mark.parametrize(
    "passages", [said(f"a {MARK} b"), said("forbidden-", "marker"), said("fine", "FORBIDDEN-MARKER")]
)
def test_a_prompt_that_a_rule_hits_is_blocked_by_the_name_of_its_order(passages: tuple[Passage, ...]) -> None:
    assert RapidResponse(Pushed(screen())).admit(exchange(*passages)) == blocked()
    assert RapidResponse(Pushed(screen(inputs=False))).admit(exchange(*passages)) is PASS
    assert RapidResponse(Pushed(screen())).admit(exchange(*said("a prompt"))) is PASS


def test_an_answer_is_held_back_where_the_phrase_may_begin_and_blocked_where_it_ends() -> None:
    safeguard, channel = RapidResponse(Pushed(screen())), content()
    assert stream(safeguard, exchange(), channel, "some forbidden-") == Cleared(5)
    assert stream(safeguard, exchange(), channel, "mark") == Cleared(5)
    assert stream(safeguard, exchange(), channel, "er") == blocked()
    harmless = content()
    assert stream(safeguard, exchange(), harmless, "some forbidden-", "letter") == Cleared(len("some forbidden-letter"))
    assert stream(RapidResponse(Pushed(screen(outputs=False))), exchange(), content(), MARK) == Cleared(len(MARK))


def test_tool_arguments_are_judged_with_their_escapes_undone() -> None:
    channel = Channel(ChannelId(0, ChannelKind.TOOL_ARGUMENTS))
    assert stream(RapidResponse(Pushed(screen())), exchange(), channel, '{"x": "forbidden\\u002dmarker"}') == blocked()


@given(st.integers(0, len(MARK)), st.lists(st.integers(1, len(MARK) - 1), max_size=4), st.booleans())
def test_a_rule_that_comes_at_any_place_of_a_stream_finds_the_phrase_in_any_pieces(
    at: int, cuts: list[int], last: bool
) -> None:
    pushed = Pushed()
    safeguard, channel = RapidResponse(pushed), content()
    begun = stream(safeguard, exchange(), channel, f"a {MARK[:at]}")
    assert begun == Cleared(2 + at)
    pushed.screens = (screen(),)
    rest = MARK[at:]
    places = sorted({0, len(rest), *(cut for cut in cuts if cut < len(rest))})
    pieces = [rest[first:then] for first, then in pairwise(places)] or [""]
    assert stream(safeguard, exchange(), channel, *pieces, last=last) == blocked()


def test_the_prompt_of_what_runs_is_judged_when_a_rule_comes_and_once() -> None:
    class Counting(PatternClassifier):
        """Counts how often it judges whole texts."""

        judged = 0

        def judge(self, texts: list[str]):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as the class above
            """Count."""
            type(self).judged += 1
            return super().judge(texts)

    pushed = Pushed()
    safeguard = RapidResponse(pushed)
    harmful, harmless = exchange(*said(MARK)), replace(exchange(*said("a prompt")), id="other")
    channel = content()
    assert safeguard.admit(harmful) is PASS
    stream(safeguard, harmful, channel, "begun")
    counting = Counting("order", [PatternRule("a-rule", "jailbreak", phrase=MARK)])
    pushed.screens = (Screen("01A", True, True, counting),)
    assert stream(safeguard, harmful, channel, " goes on") == blocked()
    for each in (content(), content()):
        assert stream(safeguard, harmless, each, "one", "two", "three") == Cleared(len("onetwothree"))
    assert Counting.judged == 2
    fresh = replace(harmless, id="fresh")
    assert safeguard.admit(fresh) is PASS
    stream(safeguard, fresh, content(), "text")
    assert Counting.judged == 3


def test_rules_that_know_a_channel_go_on_beside_a_new_one_and_a_lifted_one_is_forgotten() -> None:
    first, second = screen("first-marker", "01A"), screen("second-marker", "01B")
    pushed = Pushed(first)
    safeguard, channel = RapidResponse(pushed), content()
    stream(safeguard, exchange(), channel, "second-mar and ")
    pushed.screens = (first, second)
    assert stream(safeguard, exchange(), channel, "first-mar") == Cleared(len("second-mar and "))
    pushed.screens = (second,)
    assert stream(safeguard, exchange(), channel, "ker and a second-m") == Cleared(channel.end - 8)
    pushed.screens = ()
    assert stream(safeguard, exchange(), channel, "ark") == Cleared(channel.end)
    pushed.screens = (first, second)
    assert stream(safeguard, exchange(), channel, "er") == blocked("01A")


@pytest.mark.parametrize("mark", ["", MARK])
def test_long_prompts_and_long_answers_are_judged_in_turns(mark: str) -> None:
    long = f"{'word ' * (SLICE // 4)}{mark[:9]}"
    safeguard = RapidResponse(Pushed(screen()))
    asked = exchange(*said(f"{long}{mark[9:]}"))
    found = safeguard.admit(asked)
    assert isinstance(found, Awaitable)
    assert settled(found) == (blocked() if mark else PASS)
    pushed = Pushed()
    safeguard, channel = RapidResponse(pushed), content()
    asked = exchange(*said("a prompt"))
    stream(safeguard, asked, channel, long * 2)
    pushed.screens = (screen(),)
    assert stream(safeguard, asked, channel, mark[9:] or " ", last=True) == (
        blocked() if mark else Cleared(channel.end)
    )


def test_a_long_prompt_is_judged_again_before_the_answer_goes_on() -> None:
    pushed = Pushed()
    safeguard, channel = RapidResponse(pushed), content()
    asked = exchange(*said("word " * (SLICE // 4) + MARK))
    stream(safeguard, asked, channel, "begun")
    pushed.screens = (screen(),)
    assert stream(safeguard, asked, channel, " goes on") == blocked()


@pytest.mark.parametrize(("inputs", "outputs"), [(True, False), (False, True)])
def test_a_rule_that_cannot_be_used_refuses_all_that_it_covers(inputs: bool, outputs: bool) -> None:
    safeguard = RapidResponse(Pushed(Screen("01A", inputs, outputs, None, "rule typo: the pattern is none")))
    with pytest.raises(Unavailable, match="rule order 01A: rule typo: the pattern is none") as raised:
        safeguard.admit(exchange(*said("x")))
    assert raised.value.failure is Failure.CRASH
    with pytest.raises(Unavailable):
        safeguard.watch(exchange(), content("x"))


def test_nothing_is_kept_of_an_exchange_that_has_ended() -> None:
    safeguard = RapidResponse(Pushed(screen()))
    safeguard.admit(exchange(*said("x")))
    assert safeguard._asked
    safeguard.close(exchange(), None)  # type: ignore[arg-type]
    assert not safeguard._asked
