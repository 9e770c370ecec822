"""Making indexes: run by run while a segment grows, one run once it is sealed, within a budget, and nothing left."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.audit import frames, records
from guard.audit.index import Index, StaleIndexError, key_of, path_of
from guard.audit.indexing import Indexer, bound, grow, index_sealed
from guard.audit.ledger import Ledger, Limits
from guard.audit.segments import listing, name
from tests.guard.audit.fakes import Clock, exchange, outcome

LONG = Limits(interval=30.0)


def asked(log: Ledger, *ids: str) -> None:
    for one in ids:
        log.intent(exchange(one), durable=False, keep=None)
        log.outcome(exchange(one), outcome(), durable=False)


def offsets(segment: Path, request: str) -> list[int]:
    with Index(segment) as index:
        return list(index.offsets(key_of(request)))


def truth(segment: Path, request: str) -> list[int]:
    """Where its records begin, by reading all of it."""
    found = frames.scan(segment.read_bytes()).frames
    return [one.offset for one in found if getattr(records.decode(one.kind, one.payload), "id", "") == request]


def test_a_growing_segment_gets_a_run_for_every_stride(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=LONG)
    (segment,) = listing(tmp_path / "w1")
    assert grow(segment) == 0
    assert not path_of(segment).exists()
    for turn in range(3):
        asked(log, "r1", f"turn {turn}")
        assert grow(segment, stride=1_000_000) == 0
        assert grow(segment, stride=100) > 100
        with Index(segment) as index:
            assert len(index.runs) == turn + 1
            assert bound(segment, index) == (index.last, segment.stat().st_size)
        assert grow(segment, stride=1) == 0
    assert offsets(segment, "r1") == truth(segment, "r1")
    log.close()


def test_many_runs_become_one(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=LONG)
    (segment,) = listing(tmp_path / "w1")
    counts = []
    for turn in range(20):
        asked(log, "r1", f"turn {turn}")
        assert grow(segment, stride=1) > 0
        with Index(segment) as index:
            counts.append(len(index.runs))
    log.close()
    assert counts == [1, 2, 3, 4, 5, 6, 7, 8] * 2 + [1, 2, 3, 4]
    for one in ("r1", "turn 0", "turn 19"):
        assert offsets(segment, one) == truth(segment, one)


def test_a_sealed_segment_gets_one_run_that_says_what_its_runs_said(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=LONG)
    (segment,) = listing(tmp_path / "w1")
    for turn in range(3):
        asked(log, "r1", f"turn {turn}")
        grow(segment, stride=1)
    asked(log, "r1")
    log.close()
    with Index(segment) as index:
        assert len(index.runs) == 3
    index_sealed(segment)
    joined = path_of(segment).read_bytes()
    path_of(segment).unlink()
    index_sealed(segment)
    assert path_of(segment).read_bytes() == joined
    with Index(segment) as index:
        assert len(index.runs) == 1
        assert index.last is not None
        assert (index.last.first, index.last.last, index.last.end) == (1, 15, segment.stat().st_size)
        facts = index.facts()
    assert (facts.model, facts.owner) == (frozenset({"demo"}), frozenset({"search team"}))
    for one in ("r1", "turn 0", "turn 2"):
        assert offsets(segment, one) == truth(segment, one)


def test_an_index_that_is_whole_is_not_made_again(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=LONG)
    asked(log, "r1")
    log.close()
    (segment,) = listing(tmp_path / "w1")
    index_sealed(segment)
    before = path_of(segment).stat()
    index_sealed(segment)
    assert path_of(segment).stat().st_ino == before.st_ino


def test_half_a_run_that_a_kill_left_is_written_over(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=LONG)
    (segment,) = listing(tmp_path / "w1")
    asked(log, "r1")
    grow(segment, stride=1)
    path = path_of(segment)
    asked(log, "r1")
    grow(segment, stride=1)
    path.write_bytes(path.read_bytes()[:-7])
    asked(log, "r1")
    grow(segment, stride=1)
    assert offsets(segment, "r1") == truth(segment, "r1")
    with Index(segment) as index:
        assert len(index.runs) == 2
    log.close()


def test_a_round_indexes_what_is_sealed_and_what_grew_and_removes_what_is_gone(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=Limits(segment=2500, interval=30.0))
    asked(log, *(f"r{number}" for number in range(20)))
    indexer = Indexer()
    assert indexer.round([tmp_path / "w1"]) == ""
    paths = listing(tmp_path / "w1")
    assert [path_of(path).exists() for path in paths] == [True] * (len(paths) - 1) + [False]
    (paths[0].parent / "index" / ".seg-1.idx.77.new").write_bytes(b"half")
    paths[0].unlink()
    asked(log, *(f"s{number}" for number in range(5)))
    assert indexer.round([tmp_path / "w1"]) == ""
    left = {path.name for path in (tmp_path / "w1" / "index").iterdir()}
    assert left == {path_of(path).name for path in listing(tmp_path / "w1")[:-1]}
    log.close()


def test_a_round_reads_no_more_than_its_budget_and_the_next_goes_on(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=Limits(segment=2500, interval=30.0))
    asked(log, *(f"r{number}" for number in range(20)))
    log.close()
    indexer, made = Indexer(), []
    for _ in range(3):
        indexer.round([tmp_path / "w1"], budget=1)
        made.append(len(list((tmp_path / "w1" / "index").iterdir())))
    assert made == [1, 2, 3]


def test_what_cannot_be_written_is_told_and_the_others_are_indexed(tmp_path: Path) -> None:
    for writer in ("w1", "w2"):
        log = Ledger.open(tmp_path / writer, Clock(), limits=Limits(segment=2500, interval=30.0))
        asked(log, *(f"r{number}" for number in range(20)))
        log.close()
    (tmp_path / "w1" / "index").write_text("a file")
    indexer = Indexer()
    problem = indexer.round([tmp_path / "w1", tmp_path / "w2"])
    assert str(tmp_path / "w1" / "index") in problem
    assert list((tmp_path / "w2" / "index").iterdir())
    (tmp_path / "w1" / "index").unlink()
    assert indexer.round([tmp_path / "w1", tmp_path / "w2"]) == ""
    assert list((tmp_path / "w1" / "index").iterdir())


def test_a_segment_that_ends_in_damage_is_indexed_up_to_it_and_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=Limits(segment=2500, interval=30.0))
    asked(log, *(f"r{number}" for number in range(20)))
    log.close()
    segment = listing(tmp_path / "w1")[0]
    end = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(b"no frame")
    indexer = Indexer()
    indexer.round([tmp_path / "w1"])
    with Index(segment) as index:
        assert index.last is not None
        assert index.last.end == end
    monkeypatch.setattr("guard.audit.indexing.index_sealed", lambda path: pytest.fail(f"{path} once more"))
    indexer.round([tmp_path / "w1"])


def test_the_index_of_another_file_is_made_anew(tmp_path: Path) -> None:
    for writer in ("w1", "w2"):
        log = Ledger.open(tmp_path / writer, Clock(), limits=LONG)
        asked(log, f"only in {writer}")
        log.close()
    mine, other = tmp_path / "w1" / name(1), tmp_path / "w2" / name(1)
    index_sealed(other)
    path_of(mine).parent.mkdir()
    path_of(other).replace(path_of(mine))
    index_sealed(mine)
    assert offsets(mine, "only in w1") == truth(mine, "only in w1") != []
    assert offsets(mine, "only in w2") == []


def test_damaged_entries_are_not_carried_over_into_a_new_index(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=LONG)
    (segment,) = listing(tmp_path / "w1")
    asked(log, "r1")
    grow(segment, stride=1)
    asked(log, "r2")
    log.close()
    path = path_of(segment)
    data = bytearray(path.read_bytes())
    with Index(segment) as index:
        data[index.runs[0].blocks] ^= 1
        path.write_bytes(data)
    with Index(segment) as index, pytest.raises(StaleIndexError):
        index.entries()
    index_sealed(segment)
    assert offsets(segment, "r1") == truth(segment, "r1")
