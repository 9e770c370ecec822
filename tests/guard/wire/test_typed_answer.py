"""Typed reading: what a struct names is read strictly, the rest is dropped and counted."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct

from guard.wire.sse import BadStream
from guard.wire.typed_answer import Dropped, Gathered, TypedReader

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcxyz"), inner, max_size=4),
)


class _Leaf(Struct, forbid_unknown_fields=True):
    x: str | None = None
    y: Dropped = UNSET


class _Open(Struct):
    x: int = 0


class _Tree(Struct, forbid_unknown_fields=True):
    a: list[_Leaf] = []
    b: _Leaf | None = None
    c: _Open | None = None


READER = TypedReader(_Tree)


def test_unknown_fields_are_counted_at_every_depth_where_a_struct_forbids_them() -> None:
    body = {"a": [{"x": "1", "y": {"z": 1}, "z": 1}, {"z": 2}], "b": {"z": {"z": 3}}, "c": {"x": 4, "z": 5}, "z": 6}
    tree, dropped = READER.read(json.dumps(body).encode())
    assert dropped == 4
    assert tree == _Tree(a=[_Leaf("1"), _Leaf()], b=_Leaf(), c=_Open(4))


def test_what_is_all_known_is_read_at_once() -> None:
    tree, dropped = READER.read(b'{"a":[{"x":"1","y":[1,2]}]}')
    assert dropped == 0
    assert tree.a[0].x == "1"


@given(st.dictionaries(st.sampled_from("abcz"), JSON, max_size=4))
def test_an_extra_field_changes_nothing_but_the_count(body: dict[str, Any]) -> None:
    def read(more: dict[str, Any]) -> tuple[_Tree | None, int]:
        try:
            tree, dropped = READER.read(json.dumps(body | more).encode())
        except BadStream:
            return None, 0
        return _Tree([_Leaf(leaf.x) for leaf in tree.a], tree.b and _Leaf(tree.b.x), tree.c), dropped

    plain, before = read({})
    odd, after = read({"extra": 1})
    assert plain == odd
    assert after - before == (plain is not None)


@given(st.binary(max_size=60))
def test_whatever_comes_only_a_bad_stream_is_raised(data: bytes) -> None:
    with suppress(BadStream):
        READER.read(data)


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"z":' * 200_000, b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"])
def test_depth_is_refused(data: bytes) -> None:
    with pytest.raises(BadStream):
        READER.read(data)


def test_a_gathered_body_is_what_came_and_is_handed_out_once() -> None:
    body = Gathered(5)
    body.add(b"ab")
    body.add(b"cde")
    assert body.whole() == b"abcde"
    assert body.whole() == b""


def test_a_body_beyond_its_bound_ends_the_answer() -> None:
    body = Gathered(5)
    body.add(b"abcde")
    with pytest.raises(BadStream, match="larger than the limit"):
        body.add(b"f")
