"""Orders: scopes, ids, the canonical form, and the strict reader."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state.orders import (
    MAX_LIFTS,
    MAX_ORDER_BYTES,
    MAX_REASON,
    Order,
    OrderError,
    ResumeOrder,
    Scope,
    ScopeKind,
    Source,
    StopOrder,
    decode,
    encode,
    is_order_id,
    issue_stop,
    order_id,
)
from tests.guard.state.parts import resume, stop

subjects = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)
named_scopes = st.builds(Scope, st.sampled_from([ScopeKind.MODEL, ScopeKind.TIER, ScopeKind.KEY]), subjects)
scopes = st.one_of(st.just(Scope(ScopeKind.ALL)), named_scopes)
seconds = st.floats(0.0, 4e9)
ids = st.builds(order_id, seconds, st.binary(min_size=10, max_size=10))
texts = st.text().map(lambda text: "".join(letter for letter in text if letter.isprintable()))
people = texts.map(lambda text: text[:128] or "ana")
sources = st.sampled_from(Source)
stops = st.builds(StopOrder, ids, scopes, texts, people, sources, seconds)
resumes = st.builds(
    ResumeOrder, ids, st.lists(ids, min_size=1, max_size=5, unique=True).map(tuple), texts, people, sources, seconds
)


def changed(order: Order, **fields: object) -> bytes:
    record = json.loads(encode(order)) | fields
    return json.dumps({key: value for key, value in record.items() if value is not ...}).encode()


@given(scopes)
def test_a_scope_is_read_back_from_its_own_form(scope: Scope) -> None:
    assert Scope.parse(str(scope)) == scope


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "ALL",
        "all:",
        "all:demo",
        "model",
        "model:",
        "model:a b",
        "model:a/b",
        "model:é",
        "model:a\n",
        "Model:demo",
        "org:acme",
        "key:a:b",
        "model:" + "a" * 129,
    ],
)
def test_any_other_scope_is_refused_with_the_valid_forms(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("all, model:<alias>, tier:<name>, key:<id>")):
        Scope.parse(text)


@given(st.one_of(stops, resumes))
def test_an_order_is_read_back_as_it_was_written(order: Order) -> None:
    raw = encode(order)
    assert decode(raw) == order
    assert encode(decode(raw)) == raw
    assert raw.isascii()
    assert raw.count(b"\n") == 1


@given(st.binary() | st.text().map(str.encode))
def test_the_reader_refuses_any_bytes_with_its_own_error(raw: bytes) -> None:
    with pytest.raises(OrderError):
        decode(raw)


@given(stops, st.data())
def test_a_damaged_order_is_refused_or_still_a_valid_order(order: StopOrder, data: st.DataObject) -> None:
    raw = bytearray(encode(order))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    try:
        read = decode(bytes(raw))
    except OrderError:
        return
    assert decode(encode(read)) == read


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"extra": 1}, "extra"),
        ({"lifts": []}, "lifts"),
        ({"who": ...}, "who"),
        ({"scope": ...}, "scope"),
        ({"version": 2}, "version"),
        ({"version": True}, "version"),
        ({"version": ...}, "version"),
        ({"kind": "kill"}, "kind"),
        ({"kind": ["stop"]}, "kind"),
        ({"kind": "resume"}, "scope"),
        ({"source": "rumour"}, "source"),
        ({"who": ""}, "who"),
        ({"who": 7}, "who"),
        ({"who": "a\u001b[2J"}, "who"),
        ({"reason": "a\nb"}, "reason"),
        ({"reason": "a\u202eb"}, "reason"),
        ({"reason": "a" * 501}, "reason"),
        ({"reason": None}, "reason"),
        ({"created": "1"}, "created"),
        ({"created": True}, "created"),
        ({"created": -1.0}, "created"),
        ({"created": 10**400}, "created"),
        ({"id": "01"}, "id"),
        ({"id": "8" + "0" * 25}, "id"),
        ({"id": "0" * 25 + "U"}, "id"),
        ({"scope": "everything"}, "scope"),
    ],
)
def test_a_broken_stop_is_refused_and_the_field_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(OrderError, match=named):
        decode(changed(stop(), **fields))


@pytest.mark.parametrize("lifts", ["x", [], [1], ["x"], [stop().id, stop().id], None, {}])
def test_a_resume_must_name_stops_each_once(lifts: object) -> None:
    with pytest.raises(OrderError, match="lifts"):
        decode(changed(resume(stop()), lifts=lifts))


def test_a_resume_of_too_many_stops_is_refused() -> None:
    with pytest.raises(OrderError, match="lifts"):
        resume(*(stop(number=number) for number in range(1, MAX_LIFTS + 2)))


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_time_that_is_no_number_is_refused(value: bytes) -> None:
    with pytest.raises(OrderError):
        decode(encode(stop()).replace(b"1700000001.0", value))


def test_a_repeated_key_is_refused() -> None:
    with pytest.raises(OrderError, match="repeated"):
        decode(encode(stop()).replace(b'{"created"', b'{"scope":"model:x","created"'))


def test_nesting_and_size_are_bounded() -> None:
    with pytest.raises(OrderError, match="not JSON"):
        decode(b"[" * 60_000)
    with pytest.raises(OrderError, match="bytes"):
        decode(b" " * MAX_ORDER_BYTES + encode(stop()))


def test_white_space_of_a_hand_written_file_is_accepted() -> None:
    pretty = json.dumps(json.loads(encode(stop())), indent=2).encode()
    assert decode(pretty) == stop()


def test_a_stop_is_never_refused_for_its_wording() -> None:
    order = issue_stop(
        Scope(ScopeKind.ALL),
        reason="first\nsecond\x1b" + "a" * 9_000,
        who="ana",
        source=Source.WEBHOOK,
        now=1.0,
        entropy=bytes(10),
    )
    assert order.reason.startswith("first second a")
    assert len(order.reason) == MAX_REASON


@given(st.lists(seconds, min_size=2, max_size=2), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_time(times: list[float], entropy: bytes) -> None:
    early, late = sorted(times)
    first, second = order_id(early, entropy), order_id(late, entropy)
    assert first <= second
    assert is_order_id(first)
    assert len(first) == 26


def test_an_id_is_the_usual_base_32_of_milliseconds_and_randomness() -> None:
    assert order_id(1469918176.385, bytes(10)).startswith("01ARYZ6S41")
    assert order_id(0.0, b"\xff" * 10) == "0000000000ZZZZZZZZZZZZZZZZ"


@pytest.mark.parametrize(
    ("now", "entropy"), [(-1.0, bytes(10)), (float("nan"), bytes(10)), (1e12, bytes(10)), (1.0, bytes(9))]
)
def test_an_id_needs_a_time_and_enough_randomness(now: float, entropy: bytes) -> None:
    with pytest.raises(OrderError):
        order_id(now, entropy)
