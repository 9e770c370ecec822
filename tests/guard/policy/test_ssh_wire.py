"""SSH's binary forms: each has one way of being written, and nothing is read past the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.ssh_wire import WireError, WireReader, wire_string


@given(st.lists(st.binary(max_size=50)))
def test_strings_are_read_as_they_were_written(texts: list[bytes]) -> None:
    reader = WireReader(b"".join(map(wire_string, texts)))
    assert [reader.string() for _ in texts] == texts
    reader.end()


@given(st.integers(1, 2**600))
def test_a_positive_number_has_one_form(value: int) -> None:
    shortest = value.to_bytes(value.bit_length() // 8 + 1)
    reader = WireReader(wire_string(shortest))
    assert reader.integer() == value
    reader.end()
    for other in (b"\0" + shortest, b"\xff" + shortest):
        with pytest.raises(WireError):
            WireReader(wire_string(other)).integer()
    if shortest[0] == 0:
        with pytest.raises(WireError, match="not positive"):
            WireReader(wire_string(shortest[1:])).integer()


@pytest.mark.parametrize("content", [b"", b"\0", b"\x80", b"\0\x7f"])
def test_zero_negative_and_padded_numbers_are_refused(content: bytes) -> None:
    with pytest.raises(WireError):
        WireReader(wire_string(content)).integer()


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0", b"\0\0\0\1", b"\0\0\0\5abcd", b"\xff\xff\xff\xffabcd", b"\x7f\xff\xff\xff"]
)
def test_what_is_cut_off_is_refused(content: bytes) -> None:
    with pytest.raises(WireError, match="cut off"):
        WireReader(content).string()


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(WireError, match="after its end"):
        WireReader(b"x").end()


READS: tuple[Callable[[WireReader], object], ...] = (
    WireReader.number,
    WireReader.string,
    WireReader.integer,
    lambda reader: reader.take(3),
)


@given(st.binary(max_size=60), st.lists(st.sampled_from(READS)))
def test_any_bytes_are_read_or_refused_with_our_own_error(
    content: bytes, reads: list[Callable[[WireReader], object]]
) -> None:
    reader = WireReader(content)
    for read in reads:
        try:
            read(reader)
        except WireError:
            return
