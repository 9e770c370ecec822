"""The file of an index: what was put in is found, and nothing that is damaged is believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.audit import frames
from guard.audit.index import MOST_VALUES, Facts, Index, Span, StaleIndexError, encode, entry, key_of, path_of
from guard.audit.segments import name

KEYS = st.binary(min_size=8, max_size=8)


def span(first: int = 1, last: int = 9, begin: int = 0, end: int = 1000) -> Span:
    return Span(first, last, begin, end, end - 30, bytes(frames.HEADER), 1.0, 2.0)


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    (tmp_path / "index").mkdir()
    return tmp_path / name(1)


def written(segment: Path, *runs: bytes | bytearray) -> Path:
    path_of(segment).parent.mkdir(exist_ok=True)
    path_of(segment).write_bytes(b"".join(runs))
    return segment


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=900, unique=True), max_size=6))
def test_every_offset_of_every_key_is_found_in_order(tmp_path_factory: pytest.TempPathFactory, put: object) -> None:
    assert isinstance(put, dict)
    segment = tmp_path_factory.mktemp("index") / name(1)
    entries = sorted(entry(key, offset) for key, offsets in put.items() for offset in offsets)
    with Index(written(segment, encode(span(), entries, Facts()))) as index:
        assert index.entries() == entries
        for key, offsets in put.items():
            assert list(index.offsets(key)) == sorted(offsets)
        for key in (bytes(8), b"\xff" * 8, b"otherkey"):
            if key not in put:
                assert list(index.offsets(key)) == []


def test_a_key_that_fills_several_blocks_is_found_whole_and_its_neighbours_too(segment: Path) -> None:
    low, mid, high = b"a" * 8, b"b" * 8, b"c" * 8
    entries = [entry(low, 1), *(entry(mid, at) for at in range(2000)), entry(high, 7)]
    with Index(written(segment, encode(span(), entries, Facts()))) as index:
        assert list(index.offsets(mid)) == list(range(2000))
        assert (list(index.offsets(low)), list(index.offsets(high))) == ([1], [7])


def test_bytes_of_a_key_that_stand_across_two_entries_are_no_entry(segment: Path) -> None:
    wanted = b"\x00\x00\x00\x05abcd"
    entries = [entry(b"aaaaaaaa", 5), entry(b"abcdabcd", 6)]
    assert b"".join(entries).find(wanted) == 8
    with Index(written(segment, encode(span(), entries, Facts()))) as index:
        assert list(index.offsets(wanted)) == []


def test_runs_that_follow_one_another_are_one_index_and_others_are_left_out(segment: Path) -> None:
    first = encode(span(1, 9, 0, 1000), [entry(b"a" * 8, 1)], Facts(model=frozenset({"one"})))
    second = encode(span(10, 12, 1000, 1400), [entry(b"a" * 8, 1200)], Facts(model=frozenset({"two"})))
    gap = encode(span(14, 15, 1400, 1500), [entry(b"a" * 8, 1450)], Facts())
    with Index(written(segment, first, second)) as index:
        assert list(index.offsets(b"a" * 8)) == [1, 1200]
        assert index.facts().model == frozenset({"one", "two"})
        assert index.last == span(10, 12, 1000, 1400)
    for following in (gap, first, second[:-1], second[:50], b"\xf5ASX" + bytes(300)):
        with Index(written(segment, first, following)) as index:
            assert index.last == span(1, 9, 0, 1000)
    with Index(written(segment, second)) as index:
        assert index.last is None


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(0, 7))
def test_a_flipped_bit_is_noticed_where_it_is_read(segment: Path, at: int, bit: int) -> None:
    entries = sorted(entry(key_of(str(number)), number) for number in range(1000))
    facts = Facts(model=frozenset({"demo"}))
    data = bytearray(encode(span(), entries, facts))
    data[at % len(data)] ^= 1 << bit
    with Index(written(segment, data)) as index:
        if index.last is None:
            return
        with pytest.raises(StaleIndexError):
            assert (index.entries(), index.facts()) != (entries, facts)


def test_more_values_than_it_holds_are_none_that_it_knows() -> None:
    many = frozenset(str(number) for number in range(MOST_VALUES))
    assert Facts(key=many).merged(Facts(key=frozenset({"0"}))).key == many
    assert Facts(key=many).merged(Facts(key=frozenset({"other"}))).key is None
    assert Facts(key=None).merged(Facts()).key is None


def test_a_segment_beyond_four_gibibytes_has_no_index() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode(span(end=2**32), [], Facts())


@pytest.mark.parametrize("wrong", [{"at": 2**64 - 1}, {"begin": 2000}, {"at": 1000}])
def test_a_span_that_cannot_be_is_not_believed(wrong: dict[str, Any], segment: Path) -> None:
    with Index(written(segment, encode(replace(span(), **wrong), [entry(b"a" * 8, 1)], Facts()))) as index:
        assert index.last is None
