"""The valve, alone and as the last of the way: nothing leaves that a later hit could reach back to.

It is one file because the way of a whole answer is the test that the valve is for.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.classifiers.fold import fold_all
from guard.classifiers.patterns import PatternClassifier, PatternRule
from guard.pipeline import Judgement, Mount, Pipeline
from guard.valve import Valve
from guard.wire.dialect import AnswerReader, Event, Naming
from guard.wire.openai_answer import StreamReader, WholeReader
from safeguards.classifier import Classification
from safeguards.decision import Decision
from safeguards.exchange import Caller, Channel, ChannelId, ChannelKind, Exchange
from safeguards.verdict import Code
from tests.guard.classifiers.rule_sets import compiled, matching_starts, raw_offset, rule_sets, texts_for

NAMING: Final = Naming("0123abcd", "demo", 1_700_000_000)
EXCHANGE: Final = Exchange(
    id="0123abcd",
    caller=Caller("key", "owner", "tier"),
    model="demo",
    asl=3,
    surface="public",
    dialect="openai.chat",
    operation="chat",
    streamed=True,
    passages=(),
    policy="digest",
    received=0.0,
)


def channel(choice: int = 0) -> Channel:
    return Channel(ChannelId(choice, ChannelKind.CONTENT))


def texts(events: list[Event]) -> list[bytes]:
    return [event.data for event in events]


def test_an_event_waits_until_all_its_text_is_cleared() -> None:
    valve, content = Valve(), channel()
    valve.put([Event(b"a", content, 1), Event(b"b", content, 2)])
    assert valve.release() == []
    valve.clear(content, 1)
    assert texts(valve.release()) == [b"a"]
    assert valve.held == 1
    valve.clear(content, 2)
    events = valve.release()
    assert texts(events) == [b"b"]
    assert valve.held == 0
    assert valve.released == {}
    valve.left(events)
    assert valve.released == {content: 2}


def test_a_watermark_never_moves_back() -> None:
    valve, content = Valve(), channel()
    valve.clear(content, 5)
    valve.clear(content, 2)
    valve.put([Event(b"a", content, 5)])
    assert texts(valve.release()) == [b"a"]


def test_an_order_lowers_a_watermark_to_where_text_is_held_from_and_never_raises_one() -> None:
    one, other, valve = channel(0), channel(1), Valve()
    valve.clear(one, 9)
    valve.put([Event(b"ab", one, 2), Event(b"c", one, 3)])
    valve.lower({one: 2, other: 5})
    assert texts(valve.release()) == [b"ab"]
    valve.put([Event(b"d", other, 1)])
    valve.clear(one, 3)
    assert texts(valve.release()) == [b"c"]


def test_events_do_not_overtake_one_another() -> None:
    valve, first, second = Valve(), channel(0), channel(1)
    valve.put([Event(b"a", first, 1), Event(b"b", second, 1), Event(b"end")])
    valve.clear(second, 1)
    assert valve.release() == []
    valve.clear(first, 1)
    assert texts(valve.release()) == [b"a", b"b", b"end"]


def test_an_event_with_several_texts_waits_for_each() -> None:
    valve, first, second = Valve(), channel(0), channel(1)
    valve.put([Event(b"a", first, 1, ((second, 2),))])
    valve.clear(first, 1)
    valve.clear(second, 1)
    assert valve.release() == []
    assert valve.released == {}
    valve.clear(second, 2)
    events = valve.release()
    assert texts(events) == [b"a"]
    valve.left(events)
    assert valve.released == {first: 1, second: 2}


def test_what_waits_is_counted_in_bytes() -> None:
    valve, content = Valve(), channel()
    valve.put([Event(b"12345", content, 1), Event(b"678")])
    assert valve.held == 8
    valve.clear(content, 1)
    valve.release()
    assert valve.held == 0


@given(st.lists(st.tuples(st.sampled_from("pcr"), st.integers(0, 2), st.integers(0, 9)), max_size=40))
def test_what_leaves_is_in_order_and_below_every_watermark(steps: list[tuple[str, int, int]]) -> None:
    valve, channels = Valve(), [channel(index) for index in range(3)]
    put: list[Event] = []
    left: list[Event] = []
    cleared = dict.fromkeys(channels, 0)
    for step, index, number in steps:
        if step == "p":
            other = channels[(index + number) % 3]
            event = Event(b"x" * number, channels[index], number, ((other, number // 2),))
            put.append(event)
            valve.put([event])
        elif step == "c":
            cleared[channels[index]] = max(cleared[channels[index]], number)
            valve.clear(channels[index], number)
        else:
            left += valve.release()
            rest = put[len(left) :]
            assert valve.held == sum(len(event.data) for event in rest)
            assert not rest or any(
                end > cleared[each] for each, end in ((rest[0].channel, rest[0].end), *rest[0].more) if each is not None
            )
    assert left == put[: len(left)]
    for event in left:
        assert event.channel is not None
        assert event.end <= cleared[event.channel]
        assert all(end <= cleared[each] for each, end in event.more)


# The whole way: bytes of the upstream, reader, pipeline with a real classifier, valve.


class Way:
    """What the journey does with an answer, without its sockets."""

    def __init__(self, classifier: PatternClassifier, reader: AnswerReader) -> None:
        """Mount one classifier in a real pipeline."""
        safeguard = Classification("patterns", classifier, screens_input=True, screens_output=True)
        self.pipeline = Pipeline([Mount("patterns", safeguard, enforce=True, block_on_failure=True, deadline=1.0)])
        self.judgement: Judgement = self.pipeline.begin(EXCHANGE)
        self.reader = reader
        self.valve = Valve()
        self.out: list[bytes] = []
        self.blocked: Decision | None = None

    def feed(self, data: bytes | None) -> None:
        """Take one read of the upstream's body, or None for its end."""
        self.valve.put(self.reader.finish() if data is None else self.reader.feed(data))
        for each in self.reader.touched:
            watermark = self.pipeline.watch(self.judgement, each)
            assert isinstance(watermark, int | Decision), "patterns answer at once"
            if isinstance(watermark, Decision):
                self.blocked = watermark
                return
            self.valve.clear(each, watermark)
            each.settle()
        self.reader.touched.clear()
        self.out += texts(self.valve.release())

    def run(self, pieces: list[bytes]) -> None:
        """Travel until the end or a block."""
        for piece in [*pieces, None]:
            self.feed(piece)
            if self.blocked is not None:
                return


def escaped(draw: st.DrawFn, text: str) -> str:
    """Write a JSON string with some characters as escapes."""
    return '"' + "".join(json.dumps(c)[1:-1] if draw(st.booleans()) else _plain(c) for c in text) + '"'


def _plain(character: str) -> str:
    return json.dumps(character, ensure_ascii=False)[1:-1]


NAMES: Final = {
    "content": ChannelKind.CONTENT,
    "reasoning_content": ChannelKind.REASONING,
    "refusal": ChannelKind.REFUSAL,
    "arguments": ChannelKind.TOOL_ARGUMENTS,
}
Texts = dict[tuple[int, str], str]


@st.composite
def streams(draw: st.DrawFn, rules: list[PatternRule]) -> tuple[Texts, bytes]:
    """Draw texts of some channels and a stream that interleaves them, one event after another."""
    keys = draw(
        st.lists(st.tuples(st.integers(0, 1), st.sampled_from(sorted(NAMES))), min_size=1, max_size=3, unique=True)
    )
    wanted: Texts = {key: draw(texts_for(rules)) for key in keys}
    left = dict(wanted)
    events = []
    while any(left.values()):
        choice, name = draw(st.sampled_from([key for key, text in left.items() if text]))
        size = draw(st.integers(1, 5))
        piece, left[choice, name] = left[choice, name][:size], left[choice, name][size:]
        value = escaped(draw, piece)
        delta = f'"{name}":{value}'
        if name == "arguments":
            delta = f'"tool_calls":[{{"index":0,"function":{{{delta}}}}}]'
        if draw(st.booleans()):
            delta = f'"role":"assistant",{delta}'
        events.append(f'{{"choices":[{{"index":{choice},"delta":{{{delta}}}}}]}}')
    events += [
        f'{{"choices":[{{"index":{choice},"delta":{{}},"finish_reason":"stop"}}]}}'
        for choice in sorted({key[0] for key in keys})
    ]
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return wanted, "".join(f"data: {event}{end}{end}" for event in [*events, "[DONE]"]).encode()


def received(out: list[bytes]) -> tuple[Texts, bool]:
    """Read what left as a caller does: the texts by choice and name, and whether the stream was terminated."""
    found: Texts = {}
    done = False
    for line in b"".join(out).decode().split("\n\n"):
        if line == "data: [DONE]":
            done = True
        elif line:
            event: dict[str, Any] = json.loads(line.removeprefix("data: "))
            for choice in event["choices"]:
                delta = choice["delta"]
                for call in delta.get("tool_calls", ()):
                    delta = delta | call["function"]
                for name in NAMES:
                    if name in delta:
                        key = (choice["index"], name)
                        found[key] = found.get(key, "") + delta[name]
    return found, done


def check(rules: list[PatternRule], wanted: Texts, way: Way) -> None:
    got, done = received(way.out)
    first = {}
    for key, text in wanted.items():
        starts = [at for found in matching_starts(rules, fold_all(text)).values() for at in found]
        if starts:
            first[key] = raw_offset(text, min(starts))
    for key, text in got.items():
        assert wanted[key].startswith(text)
        assert len(text) <= first.get(key, len(text)), "a character of a match was released"
    if first:
        assert way.blocked is not None
        assert way.blocked.code is Code.CONTENT_BLOCKED
        assert not done
    else:
        assert way.blocked is None
        assert done
        assert got == {key: text for key, text in wanted.items() if text}
        assert way.valve.held == 0


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_character_of_a_match_leaves_whatever_the_cuts_of_the_stream(data: st.DataObject) -> None:
    rules = data.draw(rule_sets())
    classifier = compiled(rules)
    wanted, raw = data.draw(streams(rules))
    places = data.draw(st.lists(st.integers(0, len(raw)), max_size=12))
    bounds = sorted({0, len(raw), *places})
    by_byte, by_cuts, at_once = (Way(classifier, StreamReader(NAMING)) for _ in range(3))
    by_byte.run([bytes([byte]) for byte in raw])
    by_cuts.run([raw[a:b] for a, b in pairwise(bounds)])
    at_once.run([raw])
    for way in (by_byte, by_cuts, at_once):
        check(rules, wanted, way)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_whole_answer_leaves_if_and_only_if_nothing_in_it_matches(data: st.DataObject) -> None:
    rules = data.draw(rule_sets())
    text = data.draw(texts_for(rules))
    way = Way(compiled(rules), WholeReader(NAMING))
    way.run([json.dumps({"choices": [{"message": {"content": text}}]}).encode()])
    if any(matching_starts(rules, fold_all(text)).values()):
        assert way.out == []
        assert way.blocked is not None
    else:
        assert json.loads(b"".join(way.out))["choices"][0]["message"]["content"] == text


def test_a_match_across_two_names_of_reasoning_cannot_leave() -> None:
    way = Way(PatternClassifier("v", [PatternRule("r", "other", phrase="secret word")]), StreamReader(NAMING))
    deltas = [{"reasoning": "the secret "}, {"reasoning_content": "x"}, {"reasoning": "word"}]
    way.run(
        [b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n" for delta in deltas]
        + [b"data: [DONE]\n\n"]
    )
    assert way.blocked is None
    said = [json.loads(out[6:])["choices"][0]["delta"] for out in way.out[:-1]]
    # One name for all of it: what a caller joins is what was judged.
    assert [list(each) for each in said] == [["reasoning"]] * 3
    assert "".join(each["reasoning"] for each in said) == "the secret xword"


@pytest.mark.parametrize("finish", [None, "stop"])
def test_a_held_end_leaves_or_is_blocked_when_the_text_is_complete(finish: str | None) -> None:
    for text, blocked in (("say bad", True), ("say ba", False)):
        way = Way(PatternClassifier("v", [PatternRule("r", "other", pattern=r"bad$")]), StreamReader(NAMING))
        way.feed(b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n")
        assert way.out == []
        tail = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
        way.run([b"data: " + json.dumps(tail).encode() + b"\n\n", b"data: [DONE]\n\n"])
        assert (way.blocked is not None) == blocked
        assert (b"data: [DONE]\n\n" in way.out) != blocked
