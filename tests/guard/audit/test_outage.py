"""An outage of the log: served through for a bounded time and queue where a policy says so, and nothing is dropped."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import outage, records
from guard.audit.ledger import Ledger, Limits
from guard.audit.outage import RECORD_BYTES, Waiting
from guard.audit.read import find
from safeguards.decision import Failure, Released, Unavailable
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit.fakes import KEEP, Clock, FaultyDisk, contents, data_keys, exchange, kept, outcome

BROKEN = OSError(28, "No space left on device")
CONTENT = ChannelId(0, ChannelKind.CONTENT)
ENDED = replace(outcome(), decisions=(), released=(Released(CONTENT, 6, 6, "answer"),))


class Desk:
    """A ledger on a disk that can fail, and requests that go through it."""

    def __init__(self, tmp_path: Path, room: int = 1_000_000) -> None:
        """Begin on a healthy disk."""
        self.audit = tmp_path / "audit"
        self.disk, self.clock = FaultyDisk(), Clock()
        limits = Limits(unsynced=room, interval=30.0)
        self.log = Ledger.open(self.audit / "w1", self.clock, disk=self.disk, limits=limits, keys=data_keys(self.audit))

    def fail(self) -> None:
        """Nothing can be written or begun any more."""
        self.disk.write_error = self.disk.create_error = BROKEN

    def mend(self) -> None:
        """It can again, and the pause between two tries is over."""
        self.disk.write_error = self.disk.create_error = None
        self.clock.pass_(1.5)

    def begin(self, one: str, patience: float = 10.0) -> None:
        """A request comes."""
        assert self.log.intent(exchange(one, "asked"), durable=False, keep=KEEP, patience=patience) is None

    def rest(self, one: str) -> None:
        """It is answered and ends."""
        channel = Channel(CONTENT)
        channel.append("answer")
        self.log.part(exchange(one), channel)
        channel.settle()
        self.log.outcome(exchange(one), ENDED, durable=False)


def test_a_whole_request_is_served_through_an_outage_and_recorded_afterwards(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fail()
    began = desk.clock.wall
    desk.begin("r1")
    desk.rest("r1")
    assert (desk.log.stats().waiting, desk.log.stats().failed) == (3, 0)
    assert desk.log.stats().backlog >= 3
    desk.mend()
    desk.log.tend()
    assert desk.log.stats().waiting == 0
    assert desk.log.close() == 0
    found = find(desk.audit, "r1")
    assert found.intent is not None
    assert found.outcome is not None
    assert len(found.parts) == 1
    assert found.recovered == ()
    assert found.intent.time == began
    assert [[one.text for one in texts] for texts in kept(desk.audit)] == [["asked"], ["answer"]]


def test_a_stream_that_began_before_the_outage_goes_on_and_order_is_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.begin("r1")
    desk.fail()
    channel = Channel(CONTENT)
    for piece in ("one", "two", "three"):
        channel.append(piece)
        desk.log.part(exchange("r1"), channel)
        channel.settle()
    desk.mend()
    channel.append("four")
    desk.log.part(exchange("r1"), channel)
    desk.log.close()
    parts = [one for one in contents(desk.audit) if isinstance(one, records.Part)]
    assert [one.start for one in parts] == [0, 3, 6, 11]
    assert [texts[0].text for texts in kept(desk.audit)][1:] == ["one", "two", "three", "four"]


def test_without_patience_everything_is_refused_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.begin("runs", patience=0.0)
    desk.fail()
    with pytest.raises(Unavailable, match="No space left"):
        desk.begin("new", patience=0.0)
    with pytest.raises(Unavailable, match="No space left"):
        desk.rest("runs")
    assert desk.log.stats().waiting == 0
    desk.begin("patient")
    with pytest.raises(Unavailable):
        desk.begin("new", patience=0.0)


def test_when_its_time_is_over_new_requests_are_refused_and_streams_cut_and_nothing_is_dropped(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fail()
    desk.begin("r1")
    desk.clock.pass_(9.9)
    desk.begin("r2")
    desk.clock.pass_(0.1)
    with pytest.raises(Unavailable) as refused:
        desk.begin("r3")
    assert refused.value.failure is Failure.UNREACHABLE
    with pytest.raises(Unavailable):
        desk.rest("r1")
    desk.log.outcome(exchange("r1"), replace(ENDED, released=()), durable=False)  # how it ended is still taken
    desk.mend()
    desk.log.close()
    assert [one.id for one in contents(desk.audit) if isinstance(one, records.Intent)] == ["r1", "r2"]
    ended = find(desk.audit, "r1").outcome
    assert ended is not None


def test_the_queue_is_bounded_in_bytes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, room=10 * RECORD_BYTES)
    desk.fail()
    count = 0
    with contextlib.suppress(Unavailable):
        while count < 100:
            desk.begin(f"r{count}")
            count += 1
    assert 5 <= count < 10
    desk.mend()
    desk.begin("after")
    desk.log.close()
    taken = [one.id for one in contents(desk.audit) if isinstance(one, records.Intent)]
    assert taken == [*(f"r{number}" for number in range(count)), "after"]


def test_what_was_never_written_is_counted_at_the_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fail()
    desk.begin("r1")
    desk.begin("r2")
    assert desk.log.close() == 2
    assert desk.log.close() == 2


def test_catching_up_is_done_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "BATCH", 2)
    desk = Desk(tmp_path)
    desk.fail()
    for number in range(5):
        desk.begin(f"r{number}")
    desk.mend()
    left = []
    for _ in range(3):
        desk.log.tend()
        left.append(desk.log.stats().waiting)
    assert left == [3, 1, 0]


@given(st.lists(st.one_of(st.integers(0, 3000), st.none()), max_size=30))
def test_the_queue_keeps_order_and_its_bound(steps: list[int | None]) -> None:
    waiting = Waiting(10_000)
    written: list[int] = []
    expected: list[int] = []
    for number, step in enumerate(steps):
        if step is None:
            waiting.drain()
            assert written == expected
            assert not waiting
        elif waiting.takes(step, 1.0, 0.0):
            waiting.put(step, partial(written.append, number), 0.0)
            expected.append(number)
            assert waiting._bytes <= 10_000
    waiting.drain()
    assert written == expected
    assert waiting._bytes == 0
