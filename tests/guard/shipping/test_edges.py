"""The right edge of a copy's trees: with it the copy alone proves all that its last head covers, whatever its size."""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.checkpoint import Checkpoint
from guard.audit.proof import check_proof, decode_proof, encode_proof
from guard.audit.proving import prove
from guard.audit.read import FLEET
from guard.audit.segments import LedgerError, listing
from guard.audit.tiles import WIDTH, TileReader, TileWriter, tile_path
from guard.audit.tree import leaf_hash, root
from guard.audit.verify import verify
from guard.shipping.cursor import Position
from guard.shipping.edges import edge, newest_heads
from guard.shipping.pieces import tiles
from guard.shipping.s3 import S3Place, S3Store
from tests.guard.audit.sealed_log import Guard, write
from tests.guard.shipping.fakes import MemoryStore, key, shipper
from tests.guard.shipping.moto_server import ACCESS_KEY, REGION, SECRET_KEY, MotoServer

SIZES = st.lists(st.integers(1, 3 * WIDTH), min_size=1, max_size=5, unique=True).map(sorted)


def grow(directory: Path, sizes: list[int]) -> dict[int, Checkpoint]:
    """Tiles of a log that was signed at these sizes, and the heads."""
    tree, heads = TileWriter(directory), {}
    for before, size in pairwise([0, *sizes]):
        for number in range(before, size):
            tree.append(leaf_hash(3, b"record %d" % number))
        tree.flush()
        heads[size] = Checkpoint("log", size, tree.root())
    return heads


def put(copy: Path, path: str, data: bytes) -> None:
    """What is there already must be the same."""
    file = copy / path
    file.parent.mkdir(parents=True, exist_ok=True)
    assert not file.exists() or file.read_bytes() == data
    file.write_bytes(data)


@settings(max_examples=30, deadline=None)
@given(SIZES, st.data())
def test_a_copy_has_the_tree_of_every_head_that_was_shipped_however_far_the_log_had_gone_on(
    sizes: list[int], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as made:
        log, copy = Path(made, "log"), Path(made, "copy")
        heads = grow(log, sizes)
        shipped = data.draw(st.lists(st.sampled_from(sizes), min_size=1, unique=True).map(sorted))
        for before, size in pairwise([0, *shipped]):
            for path in tiles(before, sizes[-1]):
                put(copy, path, (log / path).read_bytes())
            for tile in edge(log, sizes[-1], heads[size], before):
                assert ".p/" in tile.path
                put(copy, tile.path, tile.data)
        reader = TileReader(copy, shipped[-1])
        assert root(shipped[-1], reader.node) == heads[shipped[-1]].root
        assert reader.leaf(shipped[-1] - 1) == leaf_hash(3, b"record %d" % (shipped[-1] - 1))


def test_what_was_shipped_with_the_head_before_is_not_shipped_again(tmp_path: Path) -> None:
    heads = grow(tmp_path, [WIDTH + 3, WIDTH + 7])
    first = edge(tmp_path, WIDTH + 7, heads[WIDTH + 3], 0)
    assert [tile.path for tile in first] == [tile_path(0, 1, 3), tile_path(1, 0, 1)]
    assert [tile.path for tile in edge(tmp_path, WIDTH + 7, heads[WIDTH + 7], WIDTH + 3)] == [tile_path(0, 1, 7)]
    assert edge(tmp_path, WIDTH + 7, heads[WIDTH + 7], WIDTH + 7) == ()


def test_tiles_that_are_not_those_that_were_signed_are_told_and_not_shipped(tmp_path: Path) -> None:
    head = grow(tmp_path, [5])[5]
    path = tmp_path / tile_path(0, 0, 5)
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(LedgerError, match="do not give the root that was signed for 5 records"):
        edge(tmp_path, 5, head, 0)
    path.unlink()
    with pytest.raises(LedgerError, match="tile is missing"):
        edge(tmp_path, 5, head, 0)


def test_the_newest_heads_are_those_up_to_the_one_that_is_shipped(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    sizes = []
    for number in range(3):
        write(guard.audit, "worker-0", 10 * number, 2)
        guard.seal()
        sizes.append(verify(guard.audit, key(guard)).logs[0].signed)
    origin = f"{key(guard).name}/worker-0"
    heads, after = newest_heads(guard.audit / FLEET, Position(), 2)
    assert {name: head.size for name, head in heads.items()} == {origin: sizes[1]}
    heads, after = newest_heads(guard.audit / FLEET, after, 3)
    assert heads[origin].size == sizes[2]
    assert newest_heads(guard.audit / FLEET, after, 3) == ({}, after)


def proved(guard: Guard, copy: Path, request: str) -> int:
    """How many records of a request a copy proves, with the log's key and nothing else."""
    log = key(guard)
    checked = check_proof(decode_proof(encode_proof(prove(copy, log.name, request))), log)
    return len(checked.records)


def test_a_copy_in_s3_alone_proves_every_record_up_to_its_last_head(tmp_path: Path, moto: MotoServer) -> None:
    guard = Guard(tmp_path / "host")
    bucket = moto.bucket(f"b-{os.urandom(8).hex()}")
    store = S3Store(S3Place(bucket, "", moto.url, REGION, ACCESS_KEY, SECRET_KEY))
    for number in range(2):
        write(guard.audit, "worker-0", 100 * number, 100)
        write(guard.audit, "worker-1", 100 * number, 1)
        guard.seal()
        assert shipper(guard, store).round() == ()
        names = moto.names(bucket)
        assert shipper(guard, store).round() == ()
        assert moto.names(bucket) == names
    for name, data in moto.contents(bucket).items():
        put(tmp_path / "copy", name, data)
    (copy,) = (tmp_path / "copy").iterdir()
    for request in ("worker-0-0", "worker-0-100", "worker-0-199", "worker-1-100"):
        assert proved(guard, copy, request) == 3
    report = verify(copy, key(guard))
    assert report.intact, report.findings
    assert not [each for each in report.notices if "tile" in each]


def test_a_copy_whose_records_are_over_still_proves_those_after_them(tmp_path: Path) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    write(guard.audit, "worker-0", 0, 20)
    guard.seal()
    shipper(guard, store).round()
    write(guard.audit, "worker-0", 20, 20)
    guard.seal()
    shipper(guard, store).round()
    copy = store.to(tmp_path / "copy")
    first, *rest = listing(copy / "worker-0")
    first.unlink()
    assert rest
    assert proved(guard, copy, "worker-0-39") == 3
    (finding,) = verify(copy, key(guard)).findings
    assert finding.place.sequence == 1
    assert finding.gone == int(rest[0].stem.removeprefix("seg-")) - 1


def test_a_writer_whose_newest_head_a_power_cut_took_gets_its_edge_with_the_next(tmp_path: Path) -> None:
    guard, store = Guard(tmp_path / "host"), MemoryStore()
    write(guard.audit, "worker-0", 0, 4)
    guard.seal()
    head = guard.audit / "worker-0" / "checkpoint"
    before = head.read_bytes()
    write(guard.audit, "worker-0", 4, 4)
    guard.seal()
    head.write_bytes(before)
    assert shipper(guard, store).round() == ()
    assert not [name for name in store.objects if "/worker-0/tile/" in name]
    write(guard.audit, "worker-0", 8, 4)
    guard.seal()
    assert shipper(guard, store).round() == ()
    assert proved(guard, store.to(tmp_path / "copy"), "worker-0-11") == 3
