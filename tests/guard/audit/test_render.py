"""Rendering: one line each, no content unless asked, nothing that steers a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import leaves, records
from guard.audit.contents import Text
from guard.audit.read import Damage, Entry
from guard.audit.render import json_line, line, moment, printable
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit.fakes import exchange, outcome

TIME = 1_700_000_000.25


def entries(text: str) -> list[Entry]:
    channel = Channel(ChannelId(0, ChannelKind.CONTENT))
    channel.append(text)
    asked = exchange(text=text)
    written: list[records.Record] = [
        leaves.intent(asked, TIME, 0.0),
        leaves.part(asked, channel, TIME, 0.0),
        leaves.outcome(asked, outcome(text), TIME, 0.0),
        records.Control(TIME, 0.0, text, text, text, text),
        records.Recovered(TIME, 0.0, "open_intent", id=text, ending="unknown (crash)"),
        records.Opened(TIME, 0.0, text, 1, text, (text, text)),
    ]
    return [Entry("w1", "seg", number, record) for number, record in enumerate(written)]


@given(st.text(st.characters(), max_size=30))
def test_no_text_can_steer_a_terminal_or_break_the_line(text: str) -> None:
    for entry in entries(text):
        for rendered in (line(entry, [Text(text, text)], text), json_line(entry, [Text(text, text)], text)):
            assert rendered.isascii()
            assert rendered.isprintable()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_json_lines_say_exactly_what_was_recorded(text: str) -> None:
    texts = [Text(text, text)]
    asked, part, _, control, *_ = (json.loads(json_line(entry, texts)) for entry in entries(text))
    assert asked["texts"] == part["texts"] == [{"place": text, "text": text}]
    assert control["who"] == text
    assert (asked["record"], asked["writer"], asked["segment"], asked["sequence"]) == ("intent", "w1", "seg", 0)


def test_a_text_is_shown_with_its_place_and_one_that_is_lost_with_the_reason() -> None:
    entry = entries("SECRET")[0]
    assert "SECRET" not in line(entry) + json_line(entry)
    assert line(entry, [Text("messages[0].content", "SECRET")]).endswith(" messages[0].content=SECRET")
    assert line(entry, [], "no key").endswith(' lost="no key"')
    assert json.loads(json_line(entry, [], "no key"))["lost"] == "no key"


@given(st.text(max_size=20), st.text(max_size=20))
def test_different_texts_look_different(one: str, other: str) -> None:
    assert (printable(one) == printable(other)) == (one == other)


def test_a_line_is_for_people() -> None:
    asked, part, ended, *_ = (line(entry) for entry in entries("hi"))
    assert asked == (
        '2023-11-14T22:13:20.250Z w1/0 intent id=r1 key=key-1 owner="search team" tier=trusted model=demo asl=2 '
        "surface=public operation=chat streamed=yes policy=c0ffeec0ffee passages=1 chars=2"
    )
    assert part == "2023-11-14T22:13:20.250Z w1/1 part id=r1 channel=content[0] start=0 chars=2"
    assert ended == (
        "2023-11-14T22:13:20.250Z w1/2 outcome id=r1 ending=blocked_output status=200 code=content_blocked "
        'reason="rule r7" sent_bytes=345 seconds=1.5 first_byte_seconds=0.25 denied=rules '
        "released=tool_arguments[0.1]:2/11"
    )


def test_an_escape_sequence_is_spelled_out() -> None:
    control = records.Control(TIME, 0.0, 'ann\x1b[2J\n"x"', "stop", "model:demo", "caf\u00e9 \u202e\\n")
    rendered = line(Entry("w1", "seg", 4, control))
    assert 'who="ann\\x1b[2J\\x0a\\"x\\"" what=stop subject=model:demo' in rendered
    assert 'reason="caf\\xe9 \\u202e\\\\n"' in rendered


def test_damage_is_a_line_too() -> None:
    damage = Damage("w1", "seg-1.log", 40, "checksum")
    assert line(damage) == "- w1 damage segment=seg-1.log offset=40 reason=checksum"
    assert json.loads(json_line(damage)) == {
        "record": "damage",
        "writer": "w1",
        "segment": "seg-1.log",
        "offset": 40,
        "reason": "checksum",
    }


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e300, -1e300])
def test_a_time_that_no_date_fits_is_shown_as_it_is(seconds: float) -> None:
    assert moment(seconds) == repr(seconds)
