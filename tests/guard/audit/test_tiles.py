"""Tiles on disk: their names, what they hold, and that a writer goes on from them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.tiles import TileError, TileReader, TileWriter, tile_path, tile_width, write_atomically
from guard.audit.tree import EMPTY_ROOT, complete_root, inclusion, node_hash, root
from tests.guard.audit import naive_tree


def leaf(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def written(directory: Path, size: int, every: int = 10**9) -> TileWriter:
    """A log of this size, its partial tiles written after every so many leaves."""
    writer = TileWriter(directory)
    for number in range(size):
        writer.append(leaf(number))
        if number % every == 0:
            writer.flush()
    writer.flush()
    return writer


def test_a_tile_is_named_as_the_specification_says() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(3, 5) == "tile/3/005"
    assert tile_path(1, 1000, 17) == "tile/1/x001/000.p/17"


def test_a_tree_of_seventy_thousand_has_the_tiles_of_the_specifications_example(tmp_path: Path) -> None:
    written(tmp_path, 70_000)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    full = {tile_path(0, index) for index in range(273)}
    assert files == {*full, "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"}
    assert tile_width(0, 273, 70_000) == 112
    assert (tmp_path / "tile/2/000.p/1").read_bytes() == naive_tree.mth([leaf(number) for number in range(65_536)])


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 65_537])
def test_a_writer_goes_on_from_what_is_on_disk(tmp_path: Path, size: int) -> None:
    written(tmp_path, size)
    tail = [leaf(number) for number in range(size - size % 256, size)]
    writer = TileWriter(tmp_path, size, tail)
    assert writer.size == size
    fresh = TileWriter(tmp_path / "other")
    for number in range(size):
        fresh.append(leaf(number))
    assert writer.root() == fresh.root()
    for number in range(size, size + 300):
        writer.append(leaf(number))
        fresh.append(leaf(number))
    assert writer.root() == fresh.root()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 1500), st.integers(1, 400), st.data())
def test_roots_and_paths_follow_from_the_tiles_of_every_flushed_size(
    tmp_path_factory: pytest.TempPathFactory, size: int, every: int, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("log")
    writer = written(directory, size, every)
    leaves = [leaf(number) for number in range(size)]
    assert writer.root() == naive_tree.mth(leaves) == root(size, TileReader(directory, size).node)
    older = data.draw(st.sampled_from([number + 1 for number in range(0, size, every)]))
    reader = TileReader(directory, older)
    assert root(older, reader.node) == naive_tree.mth(leaves[:older])
    index = data.draw(st.integers(0, older - 1))
    assert inclusion(index, older, reader.node) == naive_tree.path(index, leaves[:older])
    assert reader.leaf(index) == leaf(index)


def test_a_partial_tile_stays_until_its_full_one_is_there(tmp_path: Path) -> None:
    written(tmp_path, 200, every=50)
    assert sorted(path.name for path in (tmp_path / "tile/0/000.p").iterdir()) == ["1", "101", "151", "200", "51"]
    written(tmp_path, 256)
    assert not (tmp_path / "tile/0/000.p").exists()
    assert len((tmp_path / "tile/0/000").read_bytes()) == 8192
    assert TileReader(tmp_path, 200).leaf(199) == leaf(199)  # the full one begins with what the partial one held


def test_what_is_not_a_tile_of_the_tree_is_refused_by_name(tmp_path: Path) -> None:
    written(tmp_path, 300)
    reader = TileReader(tmp_path, 300)
    with pytest.raises(TileError, match="no tile tile/0/002"):
        reader.hashes(0, 2)
    (tmp_path / "tile/0/000").write_bytes(b"x" * 8191)
    with pytest.raises(TileError, match="8191 bytes"):
        reader.hashes(0, 0)
    (tmp_path / "tile/0/000").unlink()
    with pytest.raises(TileError, match="missing"):
        reader.hashes(0, 0)
    (tmp_path / "tile/0/000").mkdir()
    with pytest.raises(TileError, match="directory"):
        reader.hashes(0, 0)


def test_an_empty_log_has_the_empty_root_and_no_tiles(tmp_path: Path) -> None:
    writer = TileWriter(tmp_path)
    writer.flush()
    assert writer.root() == EMPTY_ROOT
    assert not list(tmp_path.iterdir())


def test_a_leaf_whose_tile_cannot_be_written_is_not_added(tmp_path: Path) -> None:
    writer = written(tmp_path, 255)
    before = writer.root()
    (tmp_path / "tile/0/000").mkdir()
    with pytest.raises(OSError, match="directory"):
        writer.append(leaf(255))
    assert (writer.size, writer.root()) == (255, before)
    (tmp_path / "tile/0/000").rmdir()
    writer.append(leaf(255))
    assert writer.root() == complete_root([leaf(number) for number in range(256)])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=6))
def test_many_leaves_at_once_are_added_as_one_by_one(tmp_path_factory: pytest.TempPathFactory, runs: list[int]) -> None:
    directory = tmp_path_factory.mktemp("log")
    many, one = TileWriter(directory / "many"), TileWriter(directory / "one")
    for count in runs:
        some = [leaf(number) for number in range(many.size, many.size + count)]
        many.extend(some)
        for each in some:
            one.append(each)
        assert (many.size, many.root()) == (one.size, one.root())
    many.flush()
    one.flush()
    written = [
        {path.relative_to(base): path.read_bytes() for path in base.rglob("*") if path.is_file()}
        for base in (directory / "many", directory / "one")
    ]
    assert written[0] == written[1]


def test_where_many_leaves_end_at_a_tile_that_cannot_be_written_they_go_on_later(tmp_path: Path) -> None:
    writer, leaves = TileWriter(tmp_path), [leaf(number) for number in range(600)]
    (tmp_path / "tile").mkdir()
    (tmp_path / "tile" / "0").write_text("not a directory")
    with pytest.raises(OSError, match=r"directory|exists"):
        writer.extend(leaves)
    assert (writer.size, writer.root()) == (255, naive_tree.mth(leaves[:255]))
    (tmp_path / "tile" / "0").unlink()
    writer.extend(leaves[255:])
    assert (writer.size, writer.root()) == (600, naive_tree.mth(leaves))


def test_the_tail_must_fit_the_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tail of 3"):
        TileWriter(tmp_path, 3, [leaf(0)])


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_whole_and_only_its_owner_may_read_it(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"one", durable=durable)
    write_atomically(path, b"two", durable=durable)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_neighbours_hash_to_their_parent(tmp_path: Path) -> None:
    written(tmp_path, 4)
    assert TileReader(tmp_path, 4).node(1, 1) == node_hash(leaf(2), leaf(3))


def test_full_tiles_are_synced_a_minute_later_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)))

    writer = TileWriter(tmp_path)
    monkeypatch.setattr("guard.audit.tiles.os.fsync", fsync)
    for number in range(600):
        writer.append(leaf(number))
        if number == 300:
            writer.flush(100.0)
    writer.flush(130.0)
    writer.settle(159.0)
    assert synced == []
    writer.settle(160.0)
    assert synced == ["tile/0/000", "tile/0"]
    writer.settle()
    assert synced == ["tile/0/000", "tile/0", "tile/0/001", "tile/0"]
    writer.settle()
    assert len(synced) == 4
