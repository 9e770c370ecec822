"""Making indexes: run by run while a segment grows, one run once it is sealed, within a budget, and nothing left."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.audit.index import Index, StaleIndexError, path_of
from guard.audit.indexing import bound, grow, index_sealed
from guard.audit.ledger import Ledger
from guard.audit.segments import listing, name
from tests.guard.audit.fakes import Clock
from tests.guard.audit.indexed import LONG, asked, offsets, truth


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


@pytest.mark.parametrize("place", ["blocks", "facts"])
def test_an_index_that_is_damaged_within_is_made_anew(place: str, tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=LONG)
    asked(log, "r1", "r2")
    log.close()
    (segment,) = listing(tmp_path / "w1")
    index_sealed(segment)
    whole = path_of(segment).read_bytes()
    data = bytearray(whole)
    with Index(segment) as index:
        data[getattr(index.runs[0], place) + 3] ^= 1
    path_of(segment).write_bytes(data)
    index_sealed(segment)
    assert path_of(segment).read_bytes() == whole
