"""Leaves of parts, packed: the very JSON comes back, and what does not fit is not packed."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import leaves, part_leaf, records
from guard.audit.part_leaf import PackedError, pack, packed_id, packed_place, unpack
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit.fakes import exchange

ID = "0123456789abcdef" * 2
CHANNEL = ChannelId(0, ChannelKind.CONTENT)
PLACE = packed_place("content-30", "2026-11-23", 1)
TIME, STEADY = 1_763_000_000.25, 12.5

channels = st.builds(ChannelId, st.integers(0, 255), st.sampled_from(ChannelKind), st.integers(0, 255))
numbers = st.integers(0, 2**32 - 1)


@given(
    st.floats(1.0, 1e12),
    st.floats(0.001, 1e8),
    st.binary(min_size=1, max_size=32),
    channels,
    numbers,
    st.text(max_size=3),
    st.none() | st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 65_535), st.dates(), numbers, numbers),
)
def test_the_json_of_a_packed_leaf_is_that_of_its_record(
    time: float,
    monotonic: float,
    one: bytes,
    channel: ChannelId,
    start: int,
    fresh: str,
    kept: tuple[bytes, int, date, int, int] | None,
) -> None:
    commitment, place, offset, body = b"", b"", 0, ""
    if kept is not None:
        commitment, days, day, first, offset = kept
        place = packed_place(f"content-{days}", day.isoformat(), first)
        body = f"content-{days}/{day.isoformat()}/{first}:{offset}"
    growing = Channel(channel)
    growing.start, growing.fresh = start, fresh
    packed = pack(time, monotonic, one, channel, start, len(fresh), commitment, place, offset)
    if kept is not None and not place:
        assert packed == b""
        return
    record = leaves.part(exchange(one.hex()), growing, time, monotonic, commitment.hex(), body)
    assert unpack(packed) == records.encode(record)
    assert part_leaf.about(packed) == (record.time, bytes.fromhex(record.id))


def test_a_packed_leaf_takes_less_than_a_hundred_bytes() -> None:
    assert len(pack(TIME, STEADY, packed_id(ID), CHANNEL, 70_000, 8, bytes(32), PLACE, 12_345_678)) == 87


@pytest.mark.parametrize("one", ["", "r1", "ABCD", "abc", " abcd", "ab cd", "ab" * 33])
def test_an_id_that_is_not_short_hexadecimal_is_not_packed(one: str) -> None:
    assert packed_id(one) == b""
    assert pack(TIME, STEADY, packed_id(one), CHANNEL, 0, 1) == b""


@pytest.mark.parametrize(
    "place",
    [
        ("flagged-30", "2026-11-23", 1),
        ("content-030", "2026-11-23", 1),
        ("content-65536", "2026-11-23", 1),
        ("content-", "2026-11-23", 1),
        ("content-30", "2019-12-31", 1),
        ("content-30", "20261123", 1),
        ("content-30", "2200-01-01", 1),
        ("content-30", "2026-11-23", 2**32),
    ],
)
def test_a_place_of_another_form_is_not_packed(place: tuple[str, str, int]) -> None:
    assert packed_place(*place) == b""
    assert pack(TIME, STEADY, packed_id(ID), CHANNEL, 0, 1, bytes(32), packed_place(*place), 0) == b""


@pytest.mark.parametrize("time", [0.0, 0.5, -1.0, 1e15, math.inf, math.nan])
def test_a_time_that_may_be_written_in_several_ways_is_not_packed(time: float) -> None:
    assert pack(time, STEADY, packed_id(ID), CHANNEL, 0, 1) == b""


@pytest.mark.parametrize("monotonic", [0.0, 0.0009, 1e9, 1e300])
def test_a_moment_out_of_range_is_not_packed(monotonic: float) -> None:
    assert pack(TIME, monotonic, packed_id(ID), CHANNEL, 0, 1) == b""


@pytest.mark.parametrize(
    ("channel", "start", "offset"),
    [
        (ChannelId(256, ChannelKind.CONTENT), 0, 0),
        (ChannelId(0, ChannelKind.TOOL_NAME, 256), 0, 0),
        (CHANNEL, 2**32, 0),
        (CHANNEL, 0, 2**32),
    ],
)
def test_a_number_out_of_range_is_not_packed(channel: ChannelId, start: int, offset: int) -> None:
    assert pack(TIME, STEADY, packed_id(ID), channel, start, 1, bytes(32), PLACE, offset) == b""


@given(st.binary(max_size=140))
def test_any_bytes_are_a_part_or_an_error(data: bytes) -> None:
    try:
        payload = unpack(data)
    except PackedError:
        return
    assert isinstance(records.decode(records.Kind.PART, payload), records.Part)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda data: data[:27],  # the id is gone
        lambda data: data + bytes(33),
        lambda data: bytes((len(part_leaf.KINDS),)) + data[1:],
        lambda data: data[:3] + bytes(8) + data[11:],  # the epoch itself
        lambda data: data[:11] + bytes(8) + data[19:],
    ],
)
def test_what_pack_never_makes_is_an_error(change: Callable[[bytes], bytes]) -> None:
    packed = pack(TIME, STEADY, packed_id(ID), CHANNEL, 0, 1)
    assert unpack(packed)
    with pytest.raises(PackedError):
        unpack(change(packed))


def test_every_kind_of_channel_has_its_number_for_good() -> None:
    assert part_leaf.KINDS[:5] == ("content", "reasoning", "refusal", "tool_name", "tool_arguments")
    assert {kind.value for kind in ChannelKind} <= set(part_leaf.KINDS)
