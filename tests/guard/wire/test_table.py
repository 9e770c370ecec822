"""The language of the tables: what is sent was inspected, and what no table names is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.wire.strict_json import BadField
from guard.wire.table import (
    MAX_DEPTH,
    Collector,
    Either,
    Flag,
    Free,
    Items,
    JsonText,
    Label,
    Number,
    OneOf,
    Record,
    Refused,
    Spec,
    Text,
)


def read(spec: Spec, value: Any) -> tuple[Any, list[tuple[str, str, str]]]:
    into = Collector()
    into.role = "user"
    sent = spec.read(value, "p", into)
    return sent, [(passage.place, passage.role, passage.text) for passage in into.passages]


SPECS: list[tuple[Spec, Any, Any]] = [
    (Text(limit=3), "abc", "abcd"),
    (Label(limit=3), "abc", "abcd"),
    (JsonText(limit=3), "abc", "abcd"),
    (Free(), {"a": 1}, [1]),
    (Number(0, 2), 1.5, 2.5),
    (Number(0, 2), 0, -1),
    (Number(0, 2), 1, True),
    (Number(0, 2, whole=True), 2, 1.0),
    (Flag(), False, 0),
    (OneOf("a", "b"), "b", "c"),
    (OneOf(False), False, 0),
    (OneOf(1), 1, True),
    (Items(Flag(), limit=2), [True, False], [True] * 3),
    (Items(Flag(), limit=2, least=1), [True], []),
    (Items(Flag(), limit=2), [], "text"),
    (Either({str: Text(), list: Items(Text(), limit=2)}), "a", 1),
    (Either({str: Text(), list: Items(Text(), limit=2)}), ["a"], {}),
    (Record({"a": Flag()}), {"a": True}, {"b": True}),
    (Record({"a": Flag()}, required=("a",)), {"a": True}, {}),
]


@pytest.mark.parametrize(("spec", "good", "bad"), SPECS, ids=lambda each: type(each).__name__)
def test_each_spec_takes_what_fits_and_refuses_what_does_not(spec: Spec, good: Any, bad: Any) -> None:
    sent, _ = read(spec, good)
    assert sent == good
    with pytest.raises(BadField) as refused:
        read(spec, bad)
    assert refused.value.place.startswith("p")


@pytest.mark.parametrize("spec", [spec for spec, _, _ in SPECS] + [Refused("no")], ids=lambda each: type(each).__name__)
def test_null_is_a_value_for_nobody_but_a_record_which_leaves_it_out(spec: Spec) -> None:
    with pytest.raises(BadField):
        read(spec, None)
    assert read(Record({"key": spec}), {"key": None}) == ({}, [])
    with pytest.raises(BadField, match=r"p\.key: is missing"):
        read(Record({"key": spec}, required=("key",)), {"key": None})


def test_a_known_key_that_may_not_be_used_says_why() -> None:
    with pytest.raises(BadField, match=r"p\.x: because"):
        read(Record({"x": Refused("because")}), {"x": 1})


def test_allowed_keys_are_listed_without_the_refused_ones() -> None:
    with pytest.raises(BadField) as refused:
        read(Record({"b": Flag(), "a": Flag(), "x": Refused("no")}), {"other": 1})
    assert str(refused.value) == "p.other: is not allowed; allowed are a, b"


@given(st.text())
def test_the_name_of_an_unknown_key_is_repeated_only_if_it_looks_like_a_key(key: str) -> None:
    with pytest.raises(BadField) as refused:
        read(Record({}), {key: 1})
    looks = key.isascii() and key[:1].islower() and key.replace("_", "a").isalnum() and key == key.lower()
    assert refused.value.place == (f"p.{key}" if looks and len(key) <= 40 else "p")


def test_texts_are_collected_with_place_and_voice() -> None:
    spec = Record({"a": Text(), "b": Items(Text(), limit=3), "n": Label()})
    _, passages = read(spec, {"a": "x", "b": ["y", "", "z"], "n": "name"})
    assert passages == [
        ("p.a", "user", "x"),
        ("p.b[0]", "user", "y"),
        ("p.b[2]", "user", "z"),
        ("p.n", "control", "name"),
    ]


def test_a_label_leaves_the_voice_as_it_was() -> None:
    into = Collector()
    into.role = "tool"
    Label().read("x", "p", into)
    assert into.role == "tool"


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ('{"a":"\\u0046ORBIDDEN"}', "FORBIDDEN"),
        ('{"a":"x\\ny"}', "x\ny"),
        ('{"a":"\\ud83d\\ude00"}', "\U0001f600"),
        ('{"a":"\\ud83d"}', "\ufffd"),
        ('{"a":"\\u0046ORBIDDEN","a":"second"}', "FORBIDDEN"),
        ('{"n":' + "1" * 5000 + ',"a":"\\u0046ORBIDDEN"}', "FORBIDDEN"),
        ('{"a":"\\u0046ORBIDDEN"', "FORBIDDEN"),
        ("[" * 5000 + '"\\u0046ORBIDDEN"', "FORBIDDEN"),
        ('{"a":NaN,"\\u0046ORBIDDEN":1}', "FORBIDDEN"),
        ('{"a":"\\/\\"\\\\"}', '/"\\'),
    ],
)
def test_json_in_a_string_is_inspected_raw_and_unescaped_whatever_a_parser_would_drop(written: str, plain: str) -> None:
    sent, passages = read(JsonText(), written)
    assert sent == written
    assert passages[0] == ("p", "user", written)
    assert passages[1][0] == "p#"
    assert plain in passages[1][2]
    passages[1][2].encode()


def test_json_without_escapes_is_inspected_once() -> None:
    assert read(JsonText(), '{"a":"b"}')[1] == [("p", "user", '{"a":"b"}')]


@given(st.text())
def test_any_string_may_stand_where_json_ought_to(text: str) -> None:
    sent, passages = read(JsonText(), text)
    assert sent == text
    assert text == "" or passages[0][2] == text


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_document_within_a_document_is_inspected_as_deep_as_a_tool_may_read_it(levels: int) -> None:
    written = '{"a":"\\u0046ORBIDDEN"}'
    for _ in range(levels - 1):
        written = json.dumps({"b": written})
    for spec, value in ((JsonText(), written), (Free(), {"c": written})):
        sent, passages = read(spec, value)
        assert sent == value
        assert [place for place, _, _ in passages][: levels + 1] == [
            "p",
            *("p" + "#" * level for level in range(1, levels + 1)),
        ]
        assert ["FORBIDDEN" in text for _, _, text in passages][: levels + 1] == [False] * levels + [True]


def test_keys_strings_and_numbers_of_a_free_structure_are_inspected() -> None:
    value = {"type": "object", "properties": {"bomb": {"enum": ["x", 271828, 1.5, True, None]}}}
    _, passages = read(Free(), value)
    assert passages[0][2].split("\n") == ["type", "object", "properties", "bomb", "enum", "x", "271828", "1.5"]


def test_a_free_structure_is_nested_only_so_deep() -> None:
    def nest(depth: int) -> dict[str, Any]:
        return {"a": nest(depth - 1)} if depth else {}

    read(Free(), nest(MAX_DEPTH))
    with pytest.raises(BadField, match="deeply"):
        read(Free(), nest(MAX_DEPTH + 1))
