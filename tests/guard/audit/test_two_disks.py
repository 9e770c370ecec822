"""The log on two devices: what was told durable is on both, whatever fails, and the second is a log of its own.

It is one file, because every fault is one of the same desk of two disks.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit import records
from guard.audit.contents import Contents
from guard.audit.directory import prepare
from guard.audit.frames import End, scan
from guard.audit.keys import KeyFolder
from guard.audit.ledger import Ledger, Limits
from guard.audit.read import Damage, Entry, iter_records
from guard.audit.segments import LedgerError, Segment, listing, name
from guard.audit.two_disks import TwoDisks
from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Channel, ChannelId, ChannelKind
from tests.guard.audit.fakes import KEEP, KEK, Clock, FaultyDisk, data_keys, exchange, outcome

IO = OSError(5, "Input/output error")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the device that every Linux has beside its disk


@pytest.fixture
def second() -> Iterator[Path]:
    """A folder on another device than temporary files."""
    assert SHARED_MEMORY.is_dir(), "these tests need /dev/shm"
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as made:
        yield Path(made) / "audit"


class Desk:
    """A ledger on two faulty disks."""

    def __init__(self, base: Path, second: Path) -> None:
        """Take the folder of the first and the second's."""
        self.first, self.second = base / "audit", second
        self.one, self.other = FaultyDisk(), FaultyDisk()
        self.clock = Clock()

    def open(self) -> Ledger:
        """Begin; the folder of the writer is ``w1``."""
        disk = TwoDisks(self.first, self.second, self.one, self.other)
        limits = Limits(interval=30.0)
        return Ledger.open(self.first / "w1", self.clock, disk=disk, limits=limits, keys=data_keys(self.first))

    def files(self, audit: Path) -> dict[str, bytes]:
        """Every segment below a folder."""
        return {str(path.relative_to(audit)): path.read_bytes() for path in sorted(audit.rglob("seg-*.log"))}

    def same(self) -> bool:
        """Whether both have the same, and something."""
        return bool(self.files(self.first)) and self.files(self.first) == self.files(self.second)

    def intents(self, audit: Path) -> list[str]:
        """The requests of a folder whose whole frames are read; what is torn is passed over."""
        found = [item.record for item in iter_records(audit) if isinstance(item, Entry)]
        return [one.id for one in found if isinstance(one, records.Intent)]


@pytest.fixture
def desk(tmp_path: Path, second: Path) -> Desk:
    return Desk(tmp_path, second)


def part(text: str) -> Channel:
    channel = Channel(ChannelId(0, ChannelKind.CONTENT))
    channel.append(text)
    return channel


async def written(log: Ledger, one: str) -> None:
    waited = log.intent(exchange(one), durable=True, keep=KEEP)
    assert waited is not None
    await waited


def test_what_is_durable_is_on_both_and_the_second_reads_as_the_first(desk: Desk) -> None:
    async def journey() -> None:
        log = desk.open()
        await written(log, "r1")
        waited = log.part(exchange("r1"), part("SECRET"), durable=True)
        assert waited is not None
        await waited
        assert desk.same()
        assert len(desk.one.synced) == len(desk.other.synced)
        ended = log.outcome(exchange("r1"), outcome("SECRET"), durable=True)
        assert ended is not None
        await ended
        assert desk.same()
        log.close()

    asyncio.run(journey())
    items = [item for item in iter_records(desk.second) if isinstance(item, Entry)]
    assert [type(item.record) for item in items] == [records.Opened, records.Intent, records.Part, records.Outcome]
    contents = Contents(desk.second, KeyFolder(desk.first.parent / "content-keys"), KEK)
    assert [text.text for text in contents.texts("w1", items[2].record)] == ["SECRET"]


@pytest.mark.parametrize("which", ["one", "other"])
@pytest.mark.parametrize("what", ["write_error", "sync_error"])
@pytest.mark.parametrize("durable", [True, False])
def test_a_failure_of_either_is_one_of_the_log_and_both_go_on_afterwards(
    desk: Desk, which: str, what: str, durable: bool
) -> None:
    async def journey() -> None:
        log = desk.open()
        await written(log, "before")
        disk = getattr(desk, which)
        setattr(disk, what, IO)
        if what == "sync_error" and not durable:
            log.part(exchange("before"), part("x"))
        with pytest.raises(Unavailable, match="Input/output error") as refused:
            await written(log, "failed")
        assert refused.value.failure is Failure.UNREACHABLE
        setattr(disk, what, None)
        # What was in the same sync fails with it, also where it was written to a new segment.
        for _ in range(3):
            desk.clock.pass_(1.0)
            with suppress(Unavailable):
                await written(log, "after")
                break
        log.close()

    asyncio.run(journey())
    for audit in (desk.first, desk.second):
        kept = desk.intents(audit)
        assert kept[0] == "before"
        assert kept[-1] == "after"
        assert set(kept) <= {"before", "failed", "after"}
    found = [item.record for item in iter_records(desk.first) if isinstance(item, Entry)]
    told = [one for one in found if isinstance(one, records.Recovered)]
    assert {(one.what, one.reason) for one in told} == {("failed_segment", "Input/output error")}
    numbers = [item.sequence for item in iter_records(desk.first) if isinstance(item, Entry)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_part_without_its_copy_is_refused_and_an_intent_that_nobody_waits_for_is_in_doubt(desk: Desk) -> None:
    log = desk.open()
    log.intent(exchange("r1"), durable=False, keep=None)
    desk.other.write_error = IO
    with pytest.raises(Unavailable, match="Input/output error"):
        log.part(exchange("r1"), part("x"))
    desk.other.write_error = None
    desk.clock.pass_(1.0)
    log.part(exchange("r1"), part("y"))
    desk.other.write_error = IO
    assert log.intent(exchange("r2"), durable=False, keep=None) is None
    desk.other.write_error = None
    desk.clock.pass_(1.0)
    assert log.outcome(exchange("r2"), outcome(), durable=False) is None
    log.close()
    items = [item for item in iter_records(desk.first) if isinstance(item, Entry)]
    assert [item.sequence for item in items] == list(range(1, len(items) + 1))
    doubts = [item.record for item in items if isinstance(item.record, records.Recovered)]
    assert [(one.what, one.first <= one.last) for one in doubts] == [("failed_segment", True)] * 2
    assert desk.intents(desk.first) == ["r1", "r2"]
    desk.open().close()
    assert desk.same()


def test_a_second_that_takes_no_new_file_leaves_none_in_the_first(desk: Desk) -> None:
    log = desk.open()
    desk.one.write_error = IO
    with pytest.raises(Unavailable):
        log.intent(exchange("r1"), durable=False, keep=None)
    desk.one.write_error = None
    desk.other.create_error = OSError(28, "No space left on device")
    before = desk.files(desk.first)
    for _ in range(3):
        desk.clock.pass_(1.0)
        with pytest.raises(Unavailable, match="No space left"):
            log.intent(exchange("r1"), durable=False, keep=None)
    assert desk.files(desk.first) == before
    desk.other.create_error = None
    desk.clock.pass_(1.0)
    log.intent(exchange("r2"), durable=False, keep=None)
    log.close()
    assert desk.intents(desk.second) == ["r2"]


def test_a_file_removed_from_the_second_is_noticed(desk: Desk) -> None:
    async def journey() -> None:
        log = desk.open()
        await written(log, "r1")
        listing(desk.second / "w1")[0].unlink()
        with pytest.raises(Unavailable, match="the segment was removed"):
            await written(log, "r2")
        log.close()

    asyncio.run(journey())


@pytest.mark.parametrize("which", ["one", "other"])
def test_writes_that_take_less_are_gone_on_with(desk: Desk, which: str) -> None:
    getattr(desk, which).short = 7
    log = desk.open()
    log.intent(exchange("r1"), durable=False, keep=KEEP)
    log.close()
    assert desk.same()
    assert desk.intents(desk.first) == ["r1"]


def test_one_device_is_not_two(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="is on the same device as the log itself"):
        TwoDisks(tmp_path / "audit", tmp_path / "second")


def test_a_second_device_that_was_unmounted_takes_no_new_segment(tmp_path: Path, second: Path) -> None:
    (tmp_path / "mount").symlink_to(second)
    prepare(second)
    disk = TwoDisks(tmp_path / "audit", tmp_path / "mount")
    (tmp_path / "mount").unlink()
    (tmp_path / "mount").mkdir()
    with pytest.raises(OSError, match="is on the same device as the log itself"):
        Segment(disk, tmp_path / "audit" / name(1))
    assert listing(tmp_path / "audit") == []


def test_a_place_that_is_no_folder_is_a_clear_error(tmp_path: Path, second: Path) -> None:
    prepare(second.parent)
    second.write_text("a file")
    with pytest.raises(LedgerError, match="is not a folder"):
        TwoDisks(tmp_path / "audit", second)


@given(
    st.lists(st.none() | st.tuples(st.integers(0, 100), st.booleans()), min_size=2, max_size=2),
    st.lists(st.none() | st.tuples(st.integers(0, 100), st.booleans()), min_size=2, max_size=2),
)
@settings(max_examples=40, deadline=None)
def test_whatever_a_crash_left_of_the_second_a_start_makes_whole_again(
    in_first: list[tuple[int, bool] | None], in_second: list[tuple[int, bool] | None]
) -> None:
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as other:
        desk = Desk(Path(made), Path(other) / "audit")
        log = desk.open()
        for number in range(3):
            log.intent(exchange(f"r{number}"), durable=False, keep=KEEP)
        log.close()
        before = desk.files(desk.first)
        for audit, ends in ((desk.first, in_first), (desk.second, in_second)):
            for path, end in zip(sorted(audit.rglob("seg-*.log")), ends, strict=True):
                if end is not None:
                    raw, (percent, zeroed) = path.read_bytes(), end
                    cut = len(raw) * percent // 100
                    path.write_bytes(raw[:cut] + (bytes(len(raw) - cut) if zeroed else b""))
        second = desk.files(desk.second)
        desk.open().close()
        assert desk.same()
        for file, raw in desk.files(desk.first).items():
            assert scan(raw).end is End.COMPLETE
            assert file not in before or before[file].startswith(raw)
        # Nothing that the second had is gone: what the first has not lies beside it.
        for file, raw in second.items():
            aside = [each.read_bytes() for each in (desk.second / file).parent.glob("seg-*.other-*")]
            assert raw in [(desk.second / file).read_bytes(), *aside]


def test_an_empty_second_gets_all_that_the_first_has(desk: Desk) -> None:
    for number in range(4):
        log = desk.open()
        log.intent(exchange(f"r{number}"), durable=False, keep=KEEP)
        log.close()
    shutil.rmtree(desk.second)
    desk.open().close()
    assert desk.same()
    assert desk.intents(desk.second) == ["r0", "r1", "r2", "r3"]


def test_a_first_that_lost_what_the_second_has_is_not_written_to(desk: Desk) -> None:
    log = desk.open()
    log.intent(exchange("r1"), durable=False, keep=None)
    log.close()
    shutil.rmtree(desk.first)
    with pytest.raises(LedgerError, match="put the second folder's log there first"):
        desk.open()
    shutil.rmtree(desk.first)
    shutil.copytree(desk.second, desk.first)
    desk.open().close()
    assert desk.intents(desk.first) == ["r1"]
    assert not any(isinstance(item, Damage) for item in iter_records(desk.first))


def test_a_segment_that_only_the_second_kept_of_a_start_is_set_aside(desk: Desk) -> None:
    log = desk.open()
    log.intent(exchange("r1"), durable=False, keep=KEEP)
    log.close()
    desk.open().close()
    max((desk.first / "w1").glob("seg-*.log")).unlink()
    desk.open().close()
    assert desk.same()
    assert desk.intents(desk.second) == ["r1"]
    assert [path.name for path in (desk.second / "w1").glob("*.other-*")]


def test_what_cannot_be_taken_from_the_second_stays_in_the_first(desk: Desk) -> None:
    log = desk.open()
    log.close()
    disk = TwoDisks(desk.first, desk.second, desk.one, desk.other)
    (path,) = (desk.first / "w1").glob("seg-*.log")
    desk.other.directory_error = IO
    disk.discard(path)
    assert path.exists()
    desk.other.directory_error = None
    disk.discard(path)
    assert not path.exists()
    assert not desk.files(desk.second)


def test_what_is_removed_is_removed_from_both_and_may_be_missing_from_the_second(tmp_path: Path, second: Path) -> None:
    disk = TwoDisks(tmp_path, second)
    for audit in (tmp_path, second):
        prepare(audit / "w1" / "bodies")
        (audit / "w1" / "file").write_text("x")
    for _ in range(2):
        disk.remove(tmp_path / "w1" / "file")
        disk.remove_folder(tmp_path / "w1" / "bodies")
        assert not any((tmp_path / "w1").iterdir())
        assert not any((second / "w1").iterdir())
        (tmp_path / "w1" / "file").write_text("x")
        prepare(tmp_path / "w1" / "bodies")
