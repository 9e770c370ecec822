"""Records: what goes in comes out, texts only where they may be kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import records
from guard.audit.records import Kind
from safeguards import decision
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit.fakes import exchange, outcome

ANY = st.text(st.characters(), max_size=30)  # lone surrogates included


@given(ANY)
def test_an_intent_keeps_its_text_when_content_is_kept(text: str) -> None:
    written = records.intent(exchange(text=text), 5.0, 6.0, content=True)
    read = records.decode(Kind.INTENT, records.encode(written))
    assert isinstance(read, records.Intent)
    expected = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    assert read.passages[0].text == expected
    assert read.passages[0].sha256 == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    assert (read.passages[0].chars, read.id, read.time, read.monotonic) == (len(text), "r1", 5.0, 6.0)


def test_without_content_no_text_is_in_any_record() -> None:
    asked = exchange(text="SECRET-ASKED")
    channel = Channel(ChannelId(0, ChannelKind.CONTENT))
    channel.append("SECRET-ANSWER")
    written = (
        records.intent(asked, 0.0, 0.0, content=False),
        records.part(asked, channel, 0.0, 0.0, content=False),
        records.outcome(asked, outcome("SECRET-RELEASED"), 0.0, 0.0, content=False),
    )
    for record in written:
        payload = records.encode(record)
        assert b"SECRET" not in payload
        assert b"sha256" in payload


def test_an_intent_has_every_field_of_the_exchange() -> None:
    asked = exchange(passages=2)
    fields = json.loads(records.encode(records.intent(asked, 0.0, 0.0, content=True)))
    assert fields["record"] == "intent"
    for field in dataclasses.fields(asked):
        if field.name not in {"caller", "passages"}:
            assert fields[field.name] == getattr(asked, field.name)
    assert (fields["key"], fields["owner"], fields["tier"]) == ("key-1", "search team", "trusted")
    assert [one["place"] for one in fields["passages"]] == ["messages[0].content", "messages[1].content"]
    assert {one["role"] for one in fields["passages"]} == {"user"}


def test_an_outcome_has_every_field_of_the_outcome_and_of_its_decisions() -> None:
    ended = outcome("world")
    read = records.decode(Kind.OUTCOME, records.encode(records.outcome(exchange(), ended, 0.0, 0.0, content=True)))
    assert isinstance(read, records.Outcome)
    for field in dataclasses.fields(decision.Outcome):
        if field.name not in {"decisions", "released"}:
            assert getattr(read, field.name) == getattr(ended, field.name), field.name
    for was, now in zip(ended.decisions, read.decisions, strict=True):
        for field in dataclasses.fields(decision.Decision):
            assert getattr(now, field.name) == getattr(was, field.name), field.name
    (one,) = read.released
    assert (one.channel, one.received, one.released, one.text) == ("tool_arguments[0.1]", 14, 5, "world")
    assert one.sha256 == hashlib.sha256(b"world").hexdigest()


def test_a_part_is_the_fresh_text_and_its_place() -> None:
    channel = Channel(ChannelId(1, ChannelKind.REASONING))
    channel.append("before")
    channel.settle()
    channel.append("now")
    read = records.decode(Kind.PART, records.encode(records.part(exchange(), channel, 0.0, 0.0, content=True)))
    assert isinstance(read, records.Part)
    assert (read.channel, read.start, read.chars, read.text) == ("reasoning[1]", 6, 3, "now")


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        (Kind.OPENED, records.Opened(1.0, 2.0, "w1", 12, "", ("a", "b"))),
        (Kind.CONTROL, records.Control(1.0, 2.0, "ann", "stop", "model:demo", "drill")),
        (Kind.RECOVERED, records.Recovered(1.0, 2.0, "torn_tail", "seg", "torn", set_aside=4, offset=9, file="f")),
    ],
)
def test_the_other_records_come_back_as_they_were(kind: Kind, record: records.Record) -> None:
    assert records.decode(kind, records.encode(record)) == record


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b'{"record":"part"}', b'{"record":"intent"}', b"\xff{"])
def test_a_payload_of_another_shape_is_an_error_that_does_not_quote_it(payload: bytes) -> None:
    with pytest.raises(records.RecordError, match=r"^not a record of kind intent$"):
        records.decode(Kind.INTENT, payload)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(records.RecordError, match="unknown record kind 99"):
        records.decode(99, b"{}")


def test_a_code_that_this_version_does_not_know_can_still_be_read() -> None:
    payload = records.encode(records.outcome(exchange(), outcome(), 0.0, 0.0, content=False))
    read = records.decode(Kind.OUTCOME, payload.replace(b'"blocked_output"', b'"of_next_year"'))
    assert isinstance(read, records.Outcome)
    assert read.ending == "of_next_year"
