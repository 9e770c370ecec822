"""Framing: what is written comes back, and no damage anywhere turns into a record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import frames
from guard.audit.frames import HEADER, MAX_PAYLOAD, MAX_SEQUENCE, End, Frame, Scanner, encode, scan

PAYLOADS = st.lists(st.binary(max_size=60), min_size=1, max_size=6)


def segment(payloads: list[bytes], first: int = 7) -> bytes:
    return b"".join(encode(index % 256, first + index, payload) for index, payload in enumerate(payloads))


def ends(payloads: list[bytes]) -> list[int]:
    positions = [0]
    for payload in payloads:
        positions.append(positions[-1] + HEADER + len(payload))
    return positions


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
    monkeypatch.setattr(frames, "VERSION", 2)
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
