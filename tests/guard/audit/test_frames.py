"""Framing: what is written comes back, and no damage anywhere turns into a record."""

from __future__ import annotations

import struct
import zlib
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import frames
from guard.audit.compression import squeezed_leaf
from guard.audit.frames import COMPACT, MAX_PAYLOAD, MAX_SEQUENCE, End, Frame, Scanner, compact, encode, scan
from guard.audit.part_leaf import pack
from safeguards.exchange import ChannelId, ChannelKind

LEAF = b'{"record":"part","time":1,"monotonic":2,"id":"%b","channel":"content[0]","start":0,"chars":10,"body":""}'
PAYLOADS = st.lists(
    st.one_of(st.binary(max_size=60), st.binary(max_size=9).map(lambda name: LEAF % name.hex().encode())),
    min_size=1,
    max_size=6,
)


def made(payloads: list[bytes], first: int = 7) -> list[bytes]:
    """Frames of both versions, for a log may hold both."""
    return [(compact, encode)[at % 3 == 2](at % 256, first + at, each) for at, each in enumerate(payloads)]


def segment(payloads: list[bytes], first: int = 7) -> bytes:
    return b"".join(made(payloads, first))


def ends(payloads: list[bytes]) -> list[int]:
    return [0, *accumulate(map(len, made(payloads)))]


@given(PAYLOADS)
def test_what_is_encoded_is_scanned(payloads: list[bytes]) -> None:
    found = scan(segment(payloads), 7)
    assert [frame.payload for frame in found.frames] == payloads
    assert [frame.sequence for frame in found.frames] == list(range(7, 7 + len(payloads)))
    assert [frame.offset for frame in found.frames] == ends(payloads)[:-1]
    assert (found.end, found.offset) == (End.COMPLETE, ends(payloads)[-1])


@given(PAYLOADS, st.data())
def test_cutting_anywhere_keeps_exactly_the_frames_before_the_cut(payloads: list[bytes], data: st.DataObject) -> None:
    whole = segment(payloads)
    cut = data.draw(st.integers(0, len(whole)))
    found = scan(whole[:cut], 7)
    kept = sum(1 for end in ends(payloads)[1:] if end <= cut)
    assert [frame.payload for frame in found.frames] == payloads[:kept]
    assert found.offset == ends(payloads)[kept]
    assert found.end is (End.COMPLETE if cut == found.offset else End.TORN)


@given(PAYLOADS, st.integers(1, 255), st.data())
def test_a_changed_byte_keeps_exactly_the_frames_before_it(
    payloads: list[bytes], change: int, data: st.DataObject
) -> None:
    whole = bytearray(segment(payloads))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= change
    found = scan(bytes(whole), 7)
    kept = sum(1 for end in ends(payloads)[1:] if end <= place)
    assert [frame.payload for frame in found.frames] == payloads[:kept]
    assert found.end is not End.COMPLETE


@given(PAYLOADS, st.binary(max_size=40), st.data())
def test_a_tail_of_zeroes_or_rubbish_yields_no_frame(
    payloads: list[bytes], rubbish: bytes, data: st.DataObject
) -> None:
    whole = segment(payloads)
    cut = data.draw(st.integers(0, len(whole)))
    for tail in (bytes(len(whole) - cut), rubbish):
        found = scan(whole[:cut] + tail, 7)
        # Rubbish may by chance be the very bytes that were cut.
        assert [frame.payload for frame in found.frames] == payloads[: len(found.frames)]
        assert found.offset in ends(payloads)


@given(PAYLOADS, st.integers(1, 30))
def test_feeding_in_pieces_gives_the_same_frames(payloads: list[bytes], size: int) -> None:
    whole = segment(payloads)
    scanner = Scanner(7)
    found: list[Frame] = []
    for at in range(0, len(whole), size):
        found += scanner.feed(whole[at : at + size])
    assert tuple(found) == scan(whole, 7).frames
    assert (scanner.end, scanner.offset) == (End.COMPLETE, len(whole))


@pytest.mark.parametrize(
    ("pieces", "end"),
    [
        ((frames.MAGIC[:2], b"x"), End.NOT_A_FRAME),
        ((frames.MAGIC + b"\x01\x01", b"\xff" * 4 + bytes(12)), End.TOO_LONG),
        ((encode(1, 7, b"abc")[:-2], b"xx"), End.CHECKSUM),
    ],
)
def test_what_comes_in_pieces_is_named_as_soon_as_it_differs(pieces: tuple[bytes, bytes], end: End) -> None:
    scanner = Scanner(7)
    assert [scanner.end for piece in pieces if scanner.feed(piece) == []] == [End.TORN, end]


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", End.COMPLETE),
        (frames.MAGIC[:2], End.TORN),
        (encode(1, 7, b"abc")[:-1], End.TORN),
        (bytes(100), End.NOT_A_FRAME),
        (b"{", End.NOT_A_FRAME),
        (encode(1, 7, b"abc")[:-1] + b"d", End.CHECKSUM),
        (encode(1, 8, b"abc"), End.SEQUENCE),
        (frames.MAGIC + b"\x01\x01\xff\xff\xff\xff" + bytes(12), End.TOO_LONG),
    ],
)
def test_a_scan_says_why_it_stopped(data: bytes, end: End) -> None:
    assert scan(data, 7).end is end
    assert scan(data, 7).frames == ()


def test_a_repeated_frame_is_a_wrong_sequence() -> None:
    frame = encode(1, 7, b"abc")
    found = scan(frame + frame)
    assert (len(found.frames), found.offset, found.end) == (1, len(frame), End.SEQUENCE)


def test_a_newer_version_with_a_good_checksum_is_told_from_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "VERSION", 99)
    newer = encode(1, 7, b"abc")
    monkeypatch.undo()
    assert scan(newer, 7).end is End.VERSION


def test_nothing_comes_after_a_scan_has_stopped_for_good() -> None:
    scanner = Scanner()
    assert scanner.feed(b"no") == []
    assert scanner.feed(encode(1, 1, b"abc")) == []
    assert scanner.end is End.NOT_A_FRAME


def test_what_does_not_fit_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="payload: "):
        encode(1, 1, bytes(MAX_PAYLOAD + 1))
    for kind, sequence in ((256, 1), (-1, 1), (1, MAX_SEQUENCE + 1), (1, -1)):
        with pytest.raises(ValueError, match="out of range"):
            encode(kind, sequence, b"")
    assert scan(encode(255, MAX_SEQUENCE, b"")).frames[0].sequence == MAX_SEQUENCE


def test_a_leaf_takes_less_and_is_read_as_it_was() -> None:
    leaf = LEAF % (b"0123456789abcdef" * 2)
    frame = compact(3, 7, leaf)
    assert len(frame) < len(encode(3, 7, leaf)) // 2
    (found,) = scan(frame, 7).frames
    assert (found.kind, found.sequence, found.payload, found.size) == (3, 7, leaf, len(frame))


def test_what_does_not_get_shorter_is_framed_as_ever() -> None:
    for payload in (b"", b"x", bytes(range(256))):
        assert compact(1, 7, payload) == encode(1, 7, payload)


def forged(payload: bytes) -> bytes:
    """A compact frame with a good checksum around anything."""
    head = struct.pack(">4sBBIQ", frames.MAGIC, COMPACT, 3, len(payload), 7)
    return head + struct.pack(">I", zlib.crc32(payload, zlib.crc32(head))) + payload


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x03not zstd",
        b"\xff",
        squeezed_leaf(LEAF)[:-1],
        squeezed_leaf(LEAF) + b"x",
        squeezed_leaf(bytes(1_000_000)),
    ],
)
def test_a_forged_compression_ends_the_scan_and_fills_no_memory(payload: bytes) -> None:
    assert scan(forged(payload), 7).end is End.COMPRESSION


def test_a_packed_leaf_is_read_as_the_json_that_it_stands_for() -> None:
    leaf = pack(1_700_000_000.0, 5.0, b"id", ChannelId(0, ChannelKind.CONTENT), 0, 8)
    frame = frames.packed(3, 7, leaf)
    (found,) = scan(frame, 7).frames
    assert (found.kind, found.sequence, found.size) == (3, 7, len(frame))
    assert b'"channel":"content[0]","start":0,"chars":8}' in found.payload
    assert scan(frames.packed(3, 7, leaf[:-2]), 7).end is End.COMPRESSION


def test_what_would_expand_too_far_is_not_compressed() -> None:
    frame = compact(3, 7, bytes(1_000_000))
    assert len(frame) > 1_000_000
    assert scan(frame, 7).frames[0].payload == bytes(1_000_000)


@given(PAYLOADS, st.data())
def test_behind_any_damage_of_one_frame_the_next_whole_one_is_found(payloads: list[bytes], data: st.DataObject) -> None:
    whole = segment([*payloads, b"behind"])
    at = data.draw(st.integers(0, len(payloads) - 1), label="the frame")
    where = data.draw(st.integers(ends(payloads)[at], ends(payloads)[at + 1] - 1), label="its byte")
    damaged = bytearray(whole)
    damaged[where] ^= data.draw(st.integers(1, 255), label="how")
    scanner = Scanner(7)
    scanner.feed(bytes(damaged))
    begin = ends(payloads)[at]
    assert scanner.offset == begin
    assert frames.resync(bytes(damaged[begin:]), scanner.expected, 1) == (ends(payloads)[at + 1] - begin, 8 + at)


def test_a_frame_of_an_earlier_or_far_later_sequence_is_none_to_go_on_at(monkeypatch: pytest.MonkeyPatch) -> None:
    for other in (6, 7 + frames.MAX_MISSING + 1):
        assert frames.resync(b"xx" + encode(1, other, b"{}"), 7) is None
    assert frames.resync(b"xx" + encode(1, 7, b"{}"), 7) == (2, 7)
    monkeypatch.setattr(frames, "MAX_TRIED", 99)  # bytes made to look like frames must not take for ever
    hostile = bytearray(encode(1, 7, bytes(50)) * 2)
    hostile[-1] ^= 1
    hostile[len(hostile) // 2 - 1] ^= 1
    assert frames.resync(bytes(hostile) + encode(1, 7, b"{}"), 7) is None
