"""The supervisor's part: what is sealed and what grew is indexed within a budget, what is gone leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.audit.index import Index, path_of
from guard.audit.indexer import Indexer
from guard.audit.ledger import Ledger, Limits
from guard.audit.segments import listing
from tests.guard.audit.fakes import Clock
from tests.guard.audit.indexed import LONG, asked, offsets, truth


def test_a_round_indexes_what_is_sealed_and_what_grew_and_removes_what_is_gone(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=Limits(segment=1200, interval=30.0))
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
    log = Ledger.open(tmp_path / "w1", Clock(), limits=Limits(segment=1200, interval=30.0))
    asked(log, *(f"r{number}" for number in range(20)))
    log.close()
    indexer, made = Indexer(), []
    for _ in range(3):
        indexer.round([tmp_path / "w1"], budget=1)
        made.append(len(list((tmp_path / "w1" / "index").iterdir())))
    assert made == [1, 2, 3]


def test_what_cannot_be_written_is_told_and_the_others_are_indexed(tmp_path: Path) -> None:
    for writer in ("w1", "w2"):
        log = Ledger.open(tmp_path / writer, Clock(), limits=Limits(segment=1200, interval=30.0))
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
    log = Ledger.open(tmp_path / "w1", Clock(), limits=Limits(segment=1200, interval=30.0))
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
    monkeypatch.setattr("guard.audit.indexer.index_sealed", lambda path: pytest.fail(f"{path} once more"))
    indexer.round([tmp_path / "w1"])


def test_what_cannot_be_understood_is_not_read_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=LONG)
    asked(log, "r1")
    log.close()
    (segment,) = listing(tmp_path / "w1")
    segment.write_bytes(segment.read_bytes() + bytes(2_000_000))
    indexer = Indexer()
    indexer.round([tmp_path / "w1"])
    assert offsets(segment, "r1") == truth(segment, "r1")
    indexer.round([tmp_path / "w1"])
    monkeypatch.setattr("guard.audit.indexer.grow", lambda path: pytest.fail(f"{path} once more"))
    indexer.round([tmp_path / "w1"])


def test_a_segment_that_cannot_be_indexed_does_not_keep_the_next_from_it(tmp_path: Path) -> None:
    log = Ledger.open(tmp_path / "w1", Clock(), limits=Limits(segment=1200, interval=30.0))
    asked(log, *(f"r{number}" for number in range(20)))
    log.close()
    first, second, *_ = listing(tmp_path / "w1")
    path_of(first).mkdir(parents=True)
    assert f"{first}: Is a directory" in Indexer().round([tmp_path / "w1"])
    assert path_of(second).is_file()
