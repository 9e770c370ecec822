"""Cutting: whatever the pieces, joined they are what was written, and no piece ends within a record."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import frames
from guard.audit.records import Control
from guard.audit.segments import LedgerError, name
from guard.audit.tiles import WIDTH
from guard.shipping import pieces
from guard.shipping.cursor import Position
from guard.shipping.pieces import bodies, leaves, oldest, resumed, tiles


def segment(directory: Path, first: int, *payloads: bytes, torn: bytes = b"") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name(first)
    path.write_bytes(b"".join(frames.encode(6, first + at, each) for at, each in enumerate(payloads)) + torn)
    return path


def every(directory: Path, signed: int) -> list[pieces.Piece]:
    found, at = [], Position()
    while piece := leaves(directory, at, signed):
        found.append(piece)
        at = piece.after
    return found


@given(
    st.lists(st.lists(st.binary(max_size=60), min_size=1, max_size=8), min_size=1, max_size=5),
    st.integers(0, 45),
    st.integers(1, 200),
)
def test_pieces_are_whole_records_up_to_the_signed_one_in_order(
    tmp_path_factory: pytest.TempPathFactory, segments: list[list[bytes]], signed: int, size: int
) -> None:
    directory = tmp_path_factory.mktemp("log") / "w"
    first = 1
    for payloads in segments:
        segment(directory, first, *payloads)
        first += len(payloads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_BYTES", size)
        found = every(directory, signed)
    got = []
    for piece in found:
        scan = frames.scan(piece.data, int(piece.name[-24:-4]))
        assert scan.end is frames.End.COMPLETE
        got += [frame.payload for frame in scan.frames]
        assert piece.lost == ""
    assert got == [each for payloads in segments for each in payloads][:signed]


def test_a_segment_that_ends_badly_is_passed_once_there_is_a_later_one(tmp_path: Path) -> None:
    segment(tmp_path / "w", 1, b"one", torn=b"\xf5ASG torn")
    assert [piece.name for piece in every(tmp_path / "w", 10)] == [f"w/{name(1)}"]
    segment(tmp_path / "w", 2, b"two")
    assert [piece.name for piece in every(tmp_path / "w", 10)] == [f"w/{name(1)}", f"w/{name(2)}"]


def test_a_segment_that_writes_records_again_is_told(tmp_path: Path) -> None:
    segment(tmp_path / "w", 1, b"one", b"two", b"three")
    segment(tmp_path / "w", 3, b"another")
    with pytest.raises(LedgerError, match="begins at record 3 again"):
        every(tmp_path / "w", 10)


def test_what_a_store_has_is_gone_on_from_only_if_it_is_the_same_bytes_and_whole_records(tmp_path: Path) -> None:
    path = segment(tmp_path / "w", 1, b"one", b"two", b"three")
    whole = path.read_bytes()
    (piece,) = every(tmp_path / "w", 3)
    one = len(frames.encode(6, 1, b"one"))
    assert resumed(piece, whole[:one], 3) == Position(name(1), one, 2)
    assert resumed(piece, whole, 3) == piece.after
    assert resumed(piece, whole, 2) is None  # more than was signed
    for other in (b"", whole[: one + 3], whole[:-1] + b"x", whole + b"more"):
        assert resumed(piece, other, 3) is None


def test_bodies_are_cut_by_bytes_and_joined_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 7)
    folder = tmp_path / "w" / "bodies" / "content-30" / "2026-01-31"
    folder.mkdir(parents=True)
    path = folder / name(4)
    path.write_bytes(bytes(range(20)))
    got, at = b"", Position()
    while piece := bodies(tmp_path, path, at):
        assert piece.name == f"w/bodies/content-30/2026-01-31/{name(4)}.{len(got):020d}"
        assert piece.keep == date(2026, 3, 3)  # thirty whole days after its own
        got += piece.data
        at = piece.after
        assert resumed(piece, piece.data[:3], None) == Position("", len(got) - len(piece.data) + 3)
    assert got == bytes(range(20))
    path.unlink()
    assert bodies(tmp_path, path, Position()) is None


@given(st.integers(0, 300_000), st.integers(0, 300_000))
def test_each_full_tile_is_shipped_once(one: int, two: int) -> None:
    before, size = sorted((one, two))
    added = list(tiles(before, size))
    assert len(added) == len(set(added))
    assert sorted([*tiles(0, before), *added]) == sorted(tiles(0, size))
    assert sum(path.startswith("tile/0/") for path in tiles(0, size)) == size // WIDTH


def test_the_oldest_record_that_follows_says_since_when_it_waits(tmp_path: Path) -> None:
    def control(time: float) -> bytes:
        return msgspec.json.encode(Control(time, 0.0, "ana", "act", "", ""))

    directory = tmp_path / "w"
    assert oldest(directory, Position()) is None
    path = segment(directory, 1, control(10.0), control(20.0), torn=b"\xf5")
    assert oldest(directory, Position()) == 10.0
    first = len(frames.encode(6, 1, control(10.0)))
    assert oldest(directory, Position(path.name, first, 2)) == 20.0
    assert oldest(directory, Position(path.name, path.stat().st_size - 1, 3)) is None
    segment(directory, 3, b"no record that is known")
    assert oldest(directory, Position(path.name, path.stat().st_size - 1, 3)) == (directory / name(3)).stat().st_mtime


def test_records_behind_damage_are_shipped_under_their_own_numbers(tmp_path: Path) -> None:
    path = segment(tmp_path / "w", 1, *(b"record %d" % number for number in range(1, 7)))
    data = bytearray(path.read_bytes())
    data[frames.scan(bytes(data)).frames[2].offset + frames.HEADER] ^= 1
    path.write_bytes(data)
    found = every(tmp_path / "w", 6)
    assert [piece.name for piece in found] == [f"w/{name(1)}", f"w/{name(4)}"]
    got = [frame.sequence for piece in found for frame in frames.scan(piece.data).frames]
    assert got == [1, 2, 4, 5, 6]
    assert found[1].lost.startswith(f"{tmp_path / 'w'}: records 3 to 3 are not there")
