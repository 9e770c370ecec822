"""One pass for the seal and the index gives what two give, and what is not gathered is read again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.frames import encode
from guard.audit.gathering import Gathered
from guard.audit.index import Facts, Index, path_of
from guard.audit.indexer import Indexer
from guard.audit.indexing import bound, index_sealed
from guard.audit.ledger import Ledger, Limits
from guard.audit.records import Kind
from guard.audit.segments import SegmentReader, listing
from guard.audit.tree import VOID, leaf_hash
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit import naive_tree
from tests.guard.audit.fakes import Clock, exchange, outcome
from tests.guard.audit.indexed import LONG, offsets, truth
from tests.guard.audit.sealed_log import Guard

STEPS = st.lists(
    st.sampled_from(["ask", "ask", "part", "seal", "index", "both", "both", "restart", "lose", "damage"]), max_size=40
)


def said(segment: Path) -> tuple[list[bytes], Facts, int, int, float, float]:
    """All that an index says of its segment, in whatever runs."""
    with Index(segment) as index:
        spans = [run.span for run in index.runs]
        reach = bound(segment, index)
        assert reach is not None
        last, _ = reach
        times = min(span.earliest for span in spans), max(span.latest for span in spans)
        return sorted(index.entries()), index.facts(), last.last, last.end, *times


def naive_root(directory: Path) -> bytes:
    leaves: list[bytes] = []
    for path in listing(directory):
        for frame in SegmentReader(path).read():
            leaves += [VOID] * (frame.sequence - 1 - len(leaves))
            leaves.append(leaf_hash(frame.kind, frame.payload))
    return naive_tree.mth(leaves)


def ask(log: Ledger, number: int) -> None:
    """A request with two parts, its id one that is packed or, every fifth time, one that is not."""
    one = exchange(f"{number:032x}" if number % 5 else f"request {number}")
    log.intent(one, durable=False, keep=None)
    for at in range(2):
        part(log, number, at)
    log.outcome(one, outcome(), durable=False)


def part(log: Ledger, number: int, at: int) -> None:
    channel = Channel(ChannelId(at, ChannelKind.CONTENT))
    channel.append(f"part {at}")
    log.part(exchange(f"{number:032x}"), channel)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([1_500, 6_000, 100_000]), st.sampled_from([1, 700, 3_000]))
def test_one_pass_gives_the_tree_and_the_index_that_two_give(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], size: int, stride: int
) -> None:
    guard = Guard(tmp_path_factory.mktemp("one-pass"))
    directory = guard.audit / "worker-0"
    log = Ledger.open(directory, Clock(), limits=Limits(segment=size, interval=30.0))
    sealer, indexer = guard.sealer(), Indexer(stride)
    for number, step in enumerate([*steps, "ask", "both", "both"]):
        newest = path_of(listing(directory)[-1])
        if step == "ask":
            ask(log, number)
        elif step == "part":
            part(log, number, 0)
        elif step == "restart":
            sealer.close()
            sealer, indexer = guard.sealer(), Indexer(stride)
        elif step == "lose":
            newest.unlink(missing_ok=True)
        elif step == "damage" and newest.exists():
            newest.write_bytes(newest.read_bytes()[:-3])
        if step in {"seal", "both"}:
            assert not sealer.round({}).writers[0].problem
        if step in {"index", "both"}:
            assert indexer.round([directory], gathered=sealer.gathered) == ""
    log.close()
    sealer.round({})
    assert sealer._logs["worker-0"].head.root == naive_root(directory)
    sealer.close()
    for segment in listing(directory):
        if not path_of(segment).exists():
            assert segment == listing(directory)[-1]
            continue
        together = said(segment)
        alone = guard.audit.parent / "alone" / segment.name
        alone.parent.mkdir(exist_ok=True)
        alone.write_bytes(segment.read_bytes()[: together[3]])
        path_of(alone).unlink(missing_ok=True)
        index_sealed(alone)
        assert together == said(alone)
        if segment != listing(directory)[-1]:
            assert together[3] == segment.stat().st_size


def test_what_sealing_read_is_not_read_again_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard(tmp_path)
    directory = guard.audit / "worker-0"
    log = Ledger.open(directory, Clock(), limits=Limits(segment=3_000, interval=30.0))
    sealer, indexer = guard.sealer(), Indexer(stride=1)
    sealer.round({})
    monkeypatch.setattr("guard.audit.indexing.SegmentReader", lambda *_: pytest.fail("read once more"))
    for number in range(12):
        ask(log, number + 1)
        sealer.round({})
        assert indexer.round([directory], gathered=sealer.gathered) == ""
    sealer.close()
    log.close()
    assert len(listing(directory)) > 2
    for segment in listing(directory):
        for number in range(12):
            assert offsets(segment, f"{number + 1:032x}") == truth(segment, f"{number + 1:032x}")


def test_more_than_may_be_gathered_is_read_from_the_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.audit.gathering.MOST_BYTES", 1_000)
    guard = Guard(tmp_path)
    directory = guard.audit / "worker-0"
    log = Ledger.open(directory, Clock(), limits=LONG)
    sealer, indexer = guard.sealer(), Indexer(stride=1)
    for number in range(6):
        ask(log, number + 1)
        sealer.round({})
    (segment,) = listing(directory)
    assert sealer.gathered["worker-0"].growing(segment) is None
    indexer.round([directory], gathered=sealer.gathered)
    assert sealer.gathered["worker-0"].growing(segment) is not None
    ask(log, 7)
    sealer.round({})
    indexer.round([directory], gathered=sealer.gathered)
    for number in range(7):
        assert offsets(segment, f"{number + 1:032x}") == truth(segment, f"{number + 1:032x}") != []
    sealer.close()
    log.close()


def test_an_index_that_cannot_be_written_is_made_when_it_can_be(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    directory = guard.audit / "worker-0"
    log = Ledger.open(directory, Clock(), limits=LONG)
    sealer, indexer = guard.sealer(), Indexer(stride=1)
    (segment,) = listing(directory)
    path_of(segment).mkdir(parents=True)
    for number in range(3):
        ask(log, number + 1)
        sealer.round({})
        assert "Is a directory" in indexer.round([directory], gathered=sealer.gathered)
    shutil.rmtree(path_of(segment).parent)
    for number in range(3, 5):
        ask(log, number + 1)
        sealer.round({})
        assert indexer.round([directory], gathered=sealer.gathered) == ""
    for number in range(5):
        assert offsets(segment, f"{number + 1:032x}") == truth(segment, f"{number + 1:032x}") != []
    sealer.close()
    log.close()


def test_a_frame_that_no_index_understands_ends_what_is_gathered(tmp_path: Path) -> None:
    segment = tmp_path / "seg-00000000000000000001.log"
    good = b'{"record":"control","time":1.5,"monotonic":1.5,"who":"a","what":"b","subject":"c","reason":"d"}'
    frames = [encode(Kind.CONTROL, 1, good), encode(Kind.CONTROL, 2, b"no JSON"), encode(Kind.CONTROL, 3, good)]
    segment.write_bytes(b"".join(frames))
    gathered = Gathered()
    gathered.begin(segment)
    found = list(SegmentReader(segment).read())
    gathered.take(found[:2])
    kept = gathered.growing(segment)
    assert kept is not None
    assert (kept.last, kept.end) == (1, len(frames[0]))
    gathered.take(found[2:])
    assert gathered.growing(segment) is None


def test_a_record_that_no_index_takes_keeps_nothing_from_being_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Guard(tmp_path)
    directory = guard.audit / "worker-0"
    directory.mkdir()
    deep = b'{"time":1.5,"id":"r1","deep":' + 100_000 * b"[" + 100_000 * b"]" + b"}"
    fine = b'{"record":"control","time":1.5,"monotonic":1.5,"who":"a","what":"b","subject":"c","reason":"d"}'
    segment = directory / "seg-00000000000000000001.log"
    segment.write_bytes(encode(Kind.CONTROL, 1, fine) + encode(Kind.CONTROL, 2, deep))
    sealer, indexer = guard.sealer(), Indexer(stride=1)
    (state,) = sealer.round({}).writers
    assert (state.size, state.problem) == (2, "")
    assert indexer.round([directory], gathered=sealer.gathered) == ""
    with Index(segment) as index:
        assert index.last is not None
        assert index.last.last == 1
    monkeypatch.setattr("guard.audit.gathering.Collected.take", lambda *_: 1 / 0)
    with segment.open("ab") as file:
        file.write(encode(Kind.CONTROL, 3, fine))
    (state,) = sealer.round({}).writers
    assert (state.size, state.problem) == (3, "")
    sealer.close()
