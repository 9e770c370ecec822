"""Sealing: every durable record comes under a signed head, nothing else does, and no other past is signed.

It is one file because all of it is one promise of the sealer.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from guard.audit.checkpoint import Checkpoint, parse_checkpoint
from guard.audit.epochs import judge_chain, read_chain
from guard.audit.fleet import FleetLog, entries, last_heads
from guard.audit.frames import Frame, compact, encode
from guard.audit.heads import CHECKPOINT, read_head, trusted_head
from guard.audit.leaf_reader import Leaves, SealError
from guard.audit.note import Note, signed_by
from guard.audit.read import FLEET
from guard.audit.records import Kind
from guard.audit.sealer import open_sealer
from guard.audit.segments import LedgerError, SegmentReader, listing
from guard.audit.tree import VOID, leaf_hash
from guard.audit.verify import verify
from tests.guard.audit import naive_tree
from tests.guard.audit.fakes import Clock, FaultyDisk
from tests.guard.audit.sealed_log import Guard, grown, write


def frames(directory: Path) -> list[Frame]:
    return [frame for path in listing(directory) for frame in SegmentReader(path).read()]


def naive_leaves(directory: Path) -> list[bytes]:
    """By the definition: the leaf of sequence s at index s - 1, VOID where no record has the sequence."""
    found: list[bytes] = []
    for frame in frames(directory):
        found += [VOID] * (frame.sequence - 1 - len(found))
        found.append(leaf_hash(frame.kind, frame.payload))
    return found


def head(guard: Guard, writer: str) -> Checkpoint:
    note = read_head(guard.audit / writer)
    assert note is not None
    return trusted_head(note, f"asl-guard/test/{writer}", guard.ring().log.key, writer)


def test_a_sealed_head_is_the_root_over_all_records(tmp_path: Path) -> None:
    guard = grown(tmp_path)
    for writer in ("worker-0", "worker-1"):
        leaves = naive_leaves(guard.audit / writer)
        assert head(guard, writer).size == len(leaves)
        assert head(guard, writer).root == naive_tree.mth(leaves)


def test_heads_carry_the_logs_key_and_the_epochs(tmp_path: Path) -> None:
    guard = grown(tmp_path)
    chain = read_chain(guard.audit)
    assert len(chain.epochs) == 2  # the first seal began one, an hour later came another
    assert judge_chain(chain, guard.ring().log.key) == []
    note = read_head(guard.audit / "worker-1")
    assert note is not None
    assert signed_by(note, chain.epochs[-1].key)
    assert {one.origin for one in chain.epochs[1].heads} == {
        "asl-guard/test",
        "asl-guard/test/worker-0",
        "asl-guard/test/worker-1",
    }


def test_every_head_is_in_the_fleet_log_whose_own_head_is_signed(tmp_path: Path) -> None:
    guard = grown(tmp_path)
    found = list(entries(guard.audit))
    assert len(found) == 6  # three rounds of two writers
    origins = [parse_checkpoint(note.text).origin for _, note in found if isinstance(note, Note)]
    assert origins == ["asl-guard/test/worker-0", "asl-guard/test/worker-1"] * 3
    note = read_head(guard.audit / FLEET)
    assert note is not None
    fleet = trusted_head(note, "asl-guard/test", guard.ring().log.key, FLEET)
    assert fleet.size == 6
    assert fleet.root == naive_tree.mth(naive_leaves(guard.audit / FLEET))


def test_only_what_is_durable_is_signed(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    last = write(guard.audit, "worker-0", 0, 4)
    sealer = guard.sealer()
    assert sealer.round({"worker-0": None}).writers[0].size == 0
    state = sealer.round({"worker-0": last - 3}).writers[0]
    assert (state.size, state.behind) == (last - 3, 0)
    assert head(guard, "worker-0").root == naive_tree.mth(naive_leaves(guard.audit / "worker-0")[: last - 3])
    assert sealer.round({"worker-0": last}).writers[0].size == last
    assert head(guard, "worker-0").root == naive_tree.mth(naive_leaves(guard.audit / "worker-0"))
    sealer.close()


def test_nothing_new_is_nothing_signed(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    before = (guard.audit / "worker-0" / CHECKPOINT).read_bytes()
    sealer = guard.sealer()
    first, second = sealer.round({}), sealer.round({})
    sealer.close()
    assert [one.problem for one in (*first.writers, *second.writers)] == [""] * 4
    assert (first.epoch, second.epoch) == (None, None)
    assert (guard.audit / "worker-0" / CHECKPOINT).read_bytes() == before
    assert len(list(entries(guard.audit))) == 2


def test_a_restarted_writer_is_sealed_on_by_the_same_sealer(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    sealer = guard.sealer()
    for number in range(4):
        last = write(guard.audit, "worker-0", number * 5, 5)
        assert sealer.round({"worker-0": last}).writers[0].size == last
    sealer.close()
    assert head(guard, "worker-0").root == naive_tree.mth(naive_leaves(guard.audit / "worker-0"))


def test_partial_tiles_that_a_power_cut_took_are_made_again_from_the_records(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1, requests=120)
    assert head(guard, "worker-0").size > 256
    for path in list((guard.audit / "worker-0" / "tile").rglob("*.p/*")):
        path.write_bytes(b"")
    write(guard.audit, "worker-0", 500, 3)
    assert [one.problem for one in guard.seal().writers] == ["", ""]
    assert head(guard, "worker-0").root == naive_tree.mth(naive_leaves(guard.audit / "worker-0"))


@pytest.mark.parametrize("lost", ["empty", "gone"])
def test_full_tiles_that_a_power_cut_took_are_made_again_from_the_records(tmp_path: Path, lost: str) -> None:
    guard = grown(tmp_path, rounds=1, requests=300)
    whole = guard.audit / "worker-0" / "tile" / "0"
    kept = {index: (whole / index).read_bytes() for index in ("000", "001", "002")}
    for path in (whole / "001", whole / "002", *(guard.audit / "worker-0" / "tile").rglob("*.p/*")):
        if lost == "empty":
            path.write_bytes(b"")
        else:
            path.unlink()
    write(guard.audit, "worker-0", 500, 3)
    assert [one.problem for one in guard.seal().writers] == ["", ""]
    assert {index: (whole / index).read_bytes() for index in kept} == kept
    assert head(guard, "worker-0").root == naive_tree.mth(naive_leaves(guard.audit / "worker-0"))


def test_a_tile_whose_records_are_gone_is_not_made_up(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1, requests=300)
    (guard.audit / "worker-0" / "tile" / "0" / "000").unlink()
    (guard.audit / "worker-0" / "tile" / "0" / "001").unlink()
    for path in listing(guard.audit / "worker-0")[1:3]:
        path.unlink()
    assert "neither tiles nor records" in guard.seal().writers[0].problem
    for path in listing(guard.audit / "worker-0")[:1]:
        path.unlink()
    assert "neither tiles nor records" in guard.seal().writers[0].problem
    assert not (guard.audit / "worker-0" / "tile" / "0" / "000").exists()


def test_a_segment_that_was_cut_is_noticed_while_it_is_read(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 2)
    sealer = guard.sealer()
    sealer.round({})
    path = listing(guard.audit / "worker-0")[-1]
    size = path.stat().st_size
    os.truncate(path, size - 1)
    assert f"{path}: was cut to {size - 1} bytes, though {size} were read" in sealer.round({}).writers[0].problem
    sealer.close()


def test_a_torn_tail_that_a_start_sets_aside_is_no_cut(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    last = write(guard.audit, "worker-0", 0, 2)
    path = listing(guard.audit / "worker-0")[-1]
    with path.open("ab") as file:
        file.write(encode(Kind.CONTROL, last + 1, b"{}")[:-1])
    sealer = guard.sealer()
    sealer.round({})
    after = write(guard.audit, "worker-0", 2, 1)
    assert list(path.parent.glob("*.torn-*"))
    state = sealer.round({}).writers[0]
    assert (state.problem, state.size) == ("", after)
    sealer.close()


def test_a_sequence_that_no_record_has_is_a_void_leaf(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    last = write(guard.audit, "worker-0", 0, 3)
    (guard.audit / "worker-0" / f"seg-{last + 1:020d}.log").touch()  # begun and left empty by a crash
    write(guard.audit, "worker-0", 3, 3)
    assert guard.seal().writers[0].problem == ""
    leaves = naive_leaves(guard.audit / "worker-0")
    assert leaves[last] == VOID
    assert head(guard, "worker-0").root == naive_tree.mth(leaves)


def rewritten(path: Path, number: int) -> None:
    """Change one byte of the segment's record of this place and mend its checksum."""
    found = list(SegmentReader(path).read())
    data = bytearray(found[number].payload)
    data[-2] ^= 1
    found[number] = msgspec.structs.replace(found[number], payload=bytes(data))
    path.write_bytes(b"".join(compact(one.kind, one.sequence, one.payload) for one in found))


def test_a_changed_record_is_not_signed_on(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    before = (guard.audit / "worker-0" / CHECKPOINT).read_bytes()
    rewritten(listing(guard.audit / "worker-0")[-1], 1)
    write(guard.audit, "worker-0", 50, 2)
    state = guard.seal().writers[0]
    assert "is not the one that was signed" in state.problem
    assert (guard.audit / "worker-0" / CHECKPOINT).read_bytes() == before


def test_a_log_that_is_rolled_back_is_not_signed_on(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    size = head(guard, "worker-0").size
    assert "but" in guard.seal({"worker-0": size - 1}).writers[0].problem
    for path in listing(guard.audit / "worker-0")[1:]:
        path.unlink()
    write(guard.audit, "worker-0", 50, 20)
    assert "is not the one that was signed" in guard.seal().writers[0].problem


def test_a_head_that_was_taken_back_with_its_records_is_missed_by_the_fleet_log(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 2)
    guard.seal()
    kept = {path: path.read_bytes() for path in (guard.audit / "worker-0").rglob("*") if path.is_file()}
    write(guard.audit, "worker-0", 2, 2)
    guard.seal()
    for path in [path for path in (guard.audit / "worker-0").rglob("*") if path.is_file()]:
        path.unlink()
    for path, data in kept.items():
        path.write_bytes(data)
    write(guard.audit, "worker-0", 90, 5)
    assert "are not those that were signed" in guard.seal().writers[0].problem


def test_a_segment_that_begins_again_is_not_signed(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    sealer = guard.sealer()
    write(guard.audit, "worker-0", 0, 2)
    sealer.round({})
    last = listing(guard.audit / "worker-0")[-1]
    first = next(iter(SegmentReader(last).read())).sequence
    (last.with_name(f"seg-{first + 1:020d}.log")).write_bytes(encode(Kind.CONTROL, first + 1, b"{}"))
    state = sealer.round({}).writers[0]
    assert "begins at record" in state.problem
    # It is tried again a minute later, and says so again.
    assert sealer.round({}).writers[0].problem == state.problem
    guard.clock.pass_(60.0)
    assert sealer.round({}).writers[0].problem
    sealer.close()


def test_one_writers_trouble_leaves_the_others_sealed(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    (guard.audit / "worker-0" / CHECKPOINT).write_text("no note")
    write(guard.audit, "worker-1", 50, 2)
    first, second = guard.seal().writers
    assert "checkpoint: not a signed note" in first.problem
    assert second.problem == ""
    assert second.size == len(naive_leaves(guard.audit / "worker-1"))


def test_a_head_that_another_key_signed_is_not_gone_on_from(tmp_path: Path) -> None:
    guard, other = grown(tmp_path / "a", rounds=1), grown(tmp_path / "b", rounds=1)
    data = (other.audit / "worker-0" / CHECKPOINT).read_bytes()
    (guard.audit / "worker-0" / CHECKPOINT).write_bytes(data)
    assert "not signed by the key of asl-guard/test" in guard.seal().writers[0].problem
    copied = (guard.audit / "worker-1" / CHECKPOINT).read_bytes()
    (guard.audit / "worker-0" / CHECKPOINT).write_bytes(copied)
    assert "the head of asl-guard/test/worker-1, not of" in guard.seal().writers[0].problem


def test_killed_between_the_fleet_log_and_the_writers_head_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = grown(tmp_path, rounds=1)
    write(guard.audit, "worker-0", 50, 2)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("guard.audit.heads.GrowingLog.signed_as", killed)
        with pytest.raises(KeyboardInterrupt):
            guard.seal()
    assert last_heads(guard.audit, guard.ring().log.key)["asl-guard/test/worker-0"].size > head(guard, "worker-0").size
    write(guard.audit, "worker-0", 60, 2)
    guard.clock.pass_(3600.0)
    assert [one.problem for one in guard.seal().writers] == ["", ""]
    note = read_head(guard.audit / FLEET)
    assert note is not None
    assert parse_checkpoint(note.text).size == len(naive_leaves(guard.audit / FLEET)) == 4
    # The head that its own folder had lost still counts where the next epoch says what was signed before.
    assert verify(guard.audit, guard.ring().log.key).intact


def test_a_fleet_log_that_fails_is_never_synced_again(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    note = read_head(guard.audit / "worker-0")
    assert note is not None
    disk = FaultyDisk()
    log = FleetLog(guard.audit, disk)
    disk.sync_error = OSError(5, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        log.append([note])
    broken = len(listing(log.directory))
    disk.sync_error = None
    log.append([note, note])
    assert len(listing(log.directory)) == broken + 1
    assert log.durable == 5
    with pytest.raises(LedgerError, match="in use"):
        FleetLog(guard.audit)
    log.close()
    (listing(log.directory)[-1]).write_bytes(b"")
    again = FleetLog(guard.audit)
    again.append([note])
    again.close()
    assert all(isinstance(found, Note) for _, found in entries(guard.audit))


def test_entries_of_the_fleet_log_that_are_no_heads_are_named(tmp_path: Path) -> None:
    directory = tmp_path / FLEET
    directory.mkdir()
    data = encode(7, 1, b"no note") + encode(2, 2, b"{}")
    (directory / "seg-00000000000000000001.log").write_bytes(data)
    assert [found for _, found in entries(tmp_path)] == ["not a signed note", "kind 2 is no signed head"]
    assert last_heads(tmp_path, Guard(tmp_path / "other").ring().log.key) == {}


def test_a_sealer_that_cannot_begin_says_where(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    (guard.audit / FLEET).write_text("a file")
    with pytest.raises(LedgerError, match="fleet"):
        open_sealer(guard.audit, guard.ring(), Clock(), 3600.0)
    (guard.audit / FLEET).unlink()
    open_sealer(guard.audit, guard.ring(), Clock(), 3600.0).close()


def test_reading_in_small_steps_gives_the_same_leaves(tmp_path: Path) -> None:
    write(tmp_path, "worker-0", 0, 10)
    leaves = Leaves(tmp_path / "worker-0")
    found: list[tuple[int, bytes]] = []
    while more := list(leaves.read(1)):
        found += more
    assert [leaf for _, leaf in found] == naive_leaves(tmp_path / "worker-0")
    assert [sequence for sequence, _ in found] == list(range(1, len(found) + 1))
    assert leaves.next == len(found) + 1


def test_a_clock_that_was_set_back_stretches_no_epoch(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 1)
    sealer = guard.sealer()
    assert sealer.round({}).epoch is not None
    guard.clock.pass_(3599.0)
    guard.clock.wall -= 86_400.0
    assert sealer.round({}).epoch is None
    guard.clock.pass_(1.0)
    assert sealer.round({}).epoch is not None
    sealer.close()


def test_a_removed_segment_is_noticed_while_it_is_read(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 2)
    sealer = guard.sealer()
    sealer.round({})
    size = head(guard, "worker-0").size
    for path in listing(guard.audit / "worker-0"):
        path.unlink()
    assert sealer.round({"worker-0": size}).writers[0].problem == ""
    with pytest.raises(SealError):
        trusted_head(Note("x\n", ()), "x", guard.ring().log.key, "here")
    sealer.close()


def cut(directory: Path, size: int) -> None:
    """Leave the first records of a log, and no signed head of its own."""
    (directory / CHECKPOINT).unlink()
    for path in listing(directory):
        left = [one for one in SegmentReader(path).read() if one.sequence <= size]
        path.write_bytes(b"".join(compact(one.kind, one.sequence, one.payload) for one in left))
        if not left:
            path.unlink()


def test_what_was_cut_back_to_the_last_epoch_is_not_signed_on(tmp_path: Path) -> None:
    guard = grown(tmp_path)
    sizes = {one.origin.rsplit("/", 1)[-1]: one.size for one in read_chain(guard.audit).epochs[-1].heads}
    for directory, size in zip((FLEET, "worker-0", "worker-1"), sorted(sizes.values()), strict=True):
        cut(guard.audit / directory, size)
    with pytest.raises(LedgerError, match="fleet: ends at entry 4, but 6 were signed; put it back, or, to begin"):
        open_sealer(guard.audit, guard.ring(), guard.clock, 3600.0)
    guard.ring().fleet_head.write_bytes(b"")  # nor where a power cut had emptied it
    with pytest.raises(LedgerError, match="checkpoint is missing, and a fleet log is never without it"):
        open_sealer(guard.audit, guard.ring(), guard.clock, 3600.0)


def test_the_fleet_logs_head_is_kept_beside_the_keys(tmp_path: Path) -> None:
    guard = grown(tmp_path)
    note = read_head(guard.audit / FLEET)
    assert note is not None
    assert guard.ring().kept() == parse_checkpoint(note.text)
    (guard.audit / FLEET / CHECKPOINT).unlink()
    guard.ring().fleet_head.write_bytes(guard.ring().sign(Checkpoint("another", 9, b"r" * 32).text()).encode())
    assert guard.ring().kept() is None


def test_a_log_that_is_gone_is_told_in_every_epoch_that_follows(tmp_path: Path) -> None:
    guard = grown(tmp_path, rounds=1)
    size = head(guard, "worker-0").size
    for path in sorted((guard.audit / "worker-0").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (guard.audit / "worker-0").rmdir()
    for _ in range(2):
        guard.clock.pass_(3600.0)
        found = guard.seal()
        assert f"worker-0: the whole log is missing, but {size} were signed" in found.writers[-1].problem
        assert found.epoch is not None
        assert {one.origin: one.size for one in found.epoch.heads}["asl-guard/test/worker-0"] == size


@pytest.mark.parametrize("running", [True, False])
def test_a_log_that_has_lost_its_head_is_not_signed_below_it(tmp_path: Path, *, running: bool) -> None:
    guard = grown(tmp_path, rounds=1)
    size = head(guard, "worker-0").size
    cut(guard.audit / "worker-0", size - 1)
    sealer = guard.sealer()
    durable: dict[str, int | None] = {"worker-0": size - 1} if running else {}
    states = [sealer.round(durable).writers[0] for _ in range(2)]
    sealer.close()
    assert f"ends at record {size - 1}, but {size} were signed" in states[-1].problem
    assert not (guard.audit / "worker-0" / CHECKPOINT).exists()
