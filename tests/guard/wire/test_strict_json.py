"""A body has one reading or none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.wire.strict_json import MAX_MARKS, BadField, marks, parse_object

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**19) + 1, 10**20 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES), st.booleans())
def test_an_ordinary_object_is_read_as_it_is(value: dict[str, object], ascii_only: bool) -> None:
    assert parse_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.one_of(st.binary(), st.text(alphabet='{}[]",:\\ud8090-+.eE tfnNaI\ufeff\x00\n').map(str.encode)))
def test_whatever_comes_is_an_object_or_a_bad_field(body: bytes) -> None:
    try:
        value = parse_object(body)
    except BadField:
        return
    assert isinstance(value, dict)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b'{"a":1}x', "not valid JSON"),
        (b'{"a":1}{"a":1}', "not valid JSON"),
        (b'{"a":1,}', "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b'{"a":01}', "not valid JSON"),
        (b'{"a":.5}', "not valid JSON"),
        (b'{"a":"\n"}', "not valid JSON"),
        (b'{"a":"\\x41"}', "not valid JSON"),
        (b'{"a":1}\x00', "not valid JSON"),
        (b'{/**/"a":1}', "not valid JSON"),
        (b'\xef\xbb\xbf{"a":1}', "not valid JSON"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        ('{"a":1}'.encode("utf-16-le"), "not valid JSON"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a":"\xc0\xaf"}', "not UTF-8"),
        (b'{"a":1,"a":1}', "names a key twice"),
        (b'{"a":{"b":1,"\\u0062":2}}', "names a key twice"),
        (b'{"a":[{"b":1,"b":1}]}', "names a key twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "NaN"),
        (b'{"a":1e999}', "out of range"),
        (b'{"a":-1e999}', "out of range"),
        (b'{"a":' + b"1" * 21 + b"}", "too many digits"),
        (b'{"a":' + b"1" * 100_000 + b"}", "too many digits"),
        (b'{"a":0.' + b"1" * 100_000 + b"}", "too many digits"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"\\uDC00\\uD800"}', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b'{"a":[[{"b":"x\\ud83d"}]]}', "surrogate"),
        (b'{"a":' + b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
    ],
)
def test_what_a_lenient_parser_would_read_otherwise_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadField, match=why):
        parse_object(body)


def test_as_many_values_as_the_bound_are_read_and_one_more_is_refused() -> None:
    most = b'{"a":[%b]}' % b",".join([b"1"] * MAX_MARKS)
    assert len(parse_object(most)["a"]) == MAX_MARKS
    with pytest.raises(BadField, match="more than 131072 values"):
        parse_object(most.replace(b"[1,", b"[1,1,", 1))
    with pytest.raises(BadField, match="more than 131072 values"):
        parse_object(b"{%b}" % b",".join(b'"%d":{}' % number for number in range(MAX_MARKS // 2 + 1)))


@pytest.mark.parametrize("text", [",:", '\\",:', "\\\\,:", '\\\\\\",:', "\\u0022,:"])
def test_commas_and_colons_in_texts_do_not_count(text: str) -> None:
    read = parse_object(b'{"a":"%b"}' % (text * MAX_MARKS).encode())
    assert read == json.loads('{"a":"%s"}' % (text * MAX_MARKS))


@given(VALUES, st.booleans())
def test_the_marks_outside_texts_are_counted_exactly(value: object, ascii_only: bool) -> None:
    body = json.dumps({"a": value}, ensure_ascii=ascii_only).encode()
    assert marks(body) == _marks_of({"a": value})


def _marks_of(value: object) -> int:
    if isinstance(value, dict):
        return sum(map(_marks_of, value.values())) + 2 * len(value) - bool(value)
    if isinstance(value, list):
        return sum(map(_marks_of, value)) + max(0, len(value) - 1)
    return 0


def test_more_quotes_than_valid_json_could_have_are_refused_at_once() -> None:
    with pytest.raises(BadField, match="values"):
        parse_object(b'{"a":[' + b'""' * 4 * MAX_MARKS + b"," * MAX_MARKS + b"]}")


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert parse_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_a_bad_field_says_its_place_first() -> None:
    assert str(BadField("a.b", "is wrong")) == "a.b: is wrong"
    assert str(BadField("", "is wrong")) == "is wrong"
