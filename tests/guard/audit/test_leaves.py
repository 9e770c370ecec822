"""Leaves: every field of the exchange and none of its texts."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from guard.audit import leaves, records
from guard.audit.leaves import Sealed
from guard.audit.records import Kind
from safeguards import decision
from safeguards.exchange import Channel, ChannelId, ChannelKind
from safeguards.scope import Capability
from tests.guard.audit.fakes import exchange, outcome

SEALED = Sealed("content-30/2026-11-23/1:40", ["c0", "c1"], ["m0", "m1"])


def test_no_text_is_in_any_record() -> None:
    asked = exchange(text="SECRET-ASKED")
    channel = Channel(ChannelId(0, ChannelKind.CONTENT))
    channel.append("SECRET-ANSWER")
    written = (
        leaves.intent(asked, 0.0, 0.0, SEALED),
        leaves.part(asked, channel, 0.0, 0.0, "c0", SEALED.body),
        leaves.outcome(asked, outcome("SECRET-RELEASED"), 0.0, 0.0, SEALED, SEALED.body),
    )
    for record in written:
        payload = records.encode(record)
        assert b"SECRET" not in payload
        assert b'"commitment":"c0"' in payload
        assert SEALED.body.encode() in payload


def test_without_a_body_a_leaf_says_only_how_long_texts_are() -> None:
    fields = json.loads(records.encode(leaves.intent(exchange(text="hello"), 0.0, 0.0)))
    assert fields["passages"] == [{"place": "messages[0].content", "role": "user", "chars": 5}]
    assert "body" not in fields


def test_an_intent_has_every_field_of_the_exchange() -> None:
    asked = dataclasses.replace(exchange(passages=2), release="2026-10", asked="big", capabilities=(Capability.TOOLS,))
    fields = json.loads(records.encode(leaves.intent(asked, 5.0, 6.0, SEALED)))
    assert (fields["record"], fields["time"], fields["monotonic"]) == ("intent", 5.0, 6.0)
    for field in dataclasses.fields(asked):
        if field.name not in {
            "caller",
            "passages",
            "scopes",
            "capabilities",
            "rungs",
            "fallback_for",
            "charged",
            "case",
        }:
            assert fields[field.name] == getattr(asked, field.name)
    assert fields["capabilities"] == ["tools"]
    assert (fields["key"], fields["owner"], fields["tier"]) == ("key-1", "search team", "trusted")
    assert [one["place"] for one in fields["passages"]] == ["messages[0].content", "messages[1].content"]
    assert [(one["commitment"], one["match"]) for one in fields["passages"]] == [("c0", "m0"), ("c1", "m1")]
    assert {one["role"] for one in fields["passages"]} == {"user"}


def test_an_outcome_has_every_field_of_the_outcome_and_of_its_decisions() -> None:
    ended = outcome("world")
    read = records.decode(Kind.OUTCOME, records.encode(leaves.outcome(exchange(), ended, 0.0, 0.0, SEALED, "x")))
    assert isinstance(read, records.Outcome)
    for field in dataclasses.fields(decision.Outcome):
        if field.name not in {"decisions", "released"}:
            assert getattr(read, field.name) == getattr(ended, field.name), field.name
    for was, now in zip(ended.decisions, read.decisions, strict=True):
        for name in decision.Decision._fields:
            assert getattr(now, name) == getattr(was, name), name
    (one,) = read.released
    assert (one.channel, one.received, one.released, one.commitment) == ("tool_arguments[0.1]", 14, 5, "c0")
    assert (read.body, read.flagged) == (SEALED.body, "x")


def test_a_part_is_the_place_and_length_of_the_fresh_text() -> None:
    channel = Channel(ChannelId(1, ChannelKind.REASONING))
    channel.append("before")
    channel.settle()
    channel.append("now")
    read = records.decode(Kind.PART, records.encode(leaves.part(exchange(), channel, 0.0, 0.0)))
    assert isinstance(read, records.Part)
    assert (read.channel, read.start, read.chars, read.body) == ("reasoning[1]", 6, 3, "")


@given(st.floats(min_value=0.0, max_value=1e9))
def test_a_duration_is_kept_to_the_microsecond(seconds: float) -> None:
    read = records.decode(Kind.INTENT, records.encode(leaves.intent(exchange(), 0.0, seconds)))
    assert abs(read.monotonic - seconds) <= 0.6e-6
    assert len(f"{read.monotonic}".partition(".")[2]) <= 6 or read.monotonic < 1e-4
