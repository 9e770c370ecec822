"""What the ledger's tests share: a clock, exchanges and outcomes, and a disk that fails on demand."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import uvloop

from guard.audit import records
from guard.audit.contents import Contents, Text
from guard.audit.disk import LocalDisk
from guard.audit.keys import DataKeys, KeyFolder
from guard.audit.ledger import Ledger, Limits
from guard.audit.read import Entry, iter_records
from guard.audit.wrapping import Kek
from safeguards.decision import Decision, Ending, Failure, Outcome, Released, Target
from safeguards.exchange import Caller, ChannelId, ChannelKind, Exchange, Passage
from safeguards.ports import Keep
from safeguards.verdict import Code

PATIENCE = 30.0
KEEP = Keep(30, 730)
KEK = Kek("0123456789abcdef" * 4)


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        """Begin at this wall time."""
        self.wall = now
        self.ticks = 100.0

    def now(self) -> float:
        """As `Clock.now`."""
        return self.wall

    def steady(self) -> float:
        """As `Clock.steady`."""
        return self.ticks

    def pass_(self, seconds: float) -> None:
        """Let time go by."""
        self.wall += seconds
        self.ticks += seconds


class FaultyDisk(LocalDisk):
    """A real disk until ``create_error``, ``write_error`` or ``sync_error`` is set.

    ``short`` is the most bytes one write takes; ``gate``, once cleared, holds every sync until it is set again.
    """

    def __init__(self) -> None:
        """Begin healthy."""
        self.create_error: OSError | None = None
        self.write_error: OSError | None = None
        self.sync_error: OSError | None = None
        self.directory_error: OSError | None = None
        self.short: int | None = None
        self.room: int | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.running = 0
        self.most_running = 0
        self.synced: list[int] = []

    def create(self, path: Path) -> int:
        """As `Disk.create`."""
        if self.create_error is not None:
            raise self.create_error
        return super().create(path)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """As `Disk.write`; ``room`` is what the disk still has."""
        if self.write_error is not None:
            raise self.write_error
        if self.room is not None:
            if self.room == 0:
                raise OSError(28, "No space left on device")
            data = data[: self.room]
            self.room -= len(data)
        return super().write(descriptor, data if self.short is None else data[: self.short])

    def fdatasync(self, descriptor: int) -> None:
        """As `Disk.fdatasync`."""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.entered.release()
        assert self.gate.wait(PATIENCE)
        self.running -= 1
        self.synced.append(descriptor)
        if self.sync_error is not None:
            raise self.sync_error
        super().fdatasync(descriptor)

    def sync_directory(self, path: Path) -> None:
        """As `Disk.sync_directory`."""
        if self.directory_error is not None:
            raise self.directory_error
        super().sync_directory(path)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that another thread brings about."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.001)


def runners() -> list[Callable[[Coroutine[None, None, None]], None]]:
    """Both event loops that the guard runs on."""
    return [asyncio.run, uvloop.run]


def contents(audit: Path) -> list[records.Record]:
    """Every record of a healthy ledger; damage fails the test."""
    found = []
    for item in iter_records(audit):
        assert isinstance(item, Entry), item
        found.append(item.record)
    return found


def data_keys(audit: Path) -> DataKeys:
    """Keys beside an audit folder, wrapped by the test's own."""
    return DataKeys(KeyFolder(audit.parent / "content-keys"), KEK)


def quiet_ledger(audit: Path, clock: Clock | None = None) -> Ledger:
    """The writer ``w1`` with the test's keys, which syncs only what somebody waits for."""
    return Ledger.open(audit / "w1", clock or Clock(), limits=Limits(interval=30.0), keys=data_keys(audit))


def kept(audit: Path) -> list[tuple[Text, ...]]:
    """The texts of every record that keeps any."""
    contents = Contents(audit, KeyFolder(audit.parent / "content-keys"), KEK)
    found = [contents.texts(item.writer, item.record) for item in iter_records(audit) if isinstance(item, Entry)]
    return [texts for texts in found if texts]


def sealed_files(audit: Path) -> list[Path]:
    """Every segment of bodies, by its path."""
    return sorted(audit.glob("*/bodies/*/*/seg-*.log"))


def exchange(name: str = "r1", text: str = "hello", passages: int = 1) -> Exchange:
    return Exchange(
        id=name,
        caller=Caller("key-1", "search team", "trusted"),
        model="demo",
        asl=2,
        surface="public",
        dialect="openai.chat",
        operation="chat",
        streamed=True,
        passages=tuple(Passage(f"messages[{index}].content", "user", text) for index in range(passages)),
        policy="c0ffee" * 10,
        received=1_699_999_999.5,
        framework="house 1 beef",
    )


DECISIONS = (
    Decision("access", Target.INPUT, enforced=True, denied=False, blocked=False, seconds=1e-6),
    Decision(
        "rules",
        Target.OUTPUT,
        enforced=False,
        denied=True,
        blocked=False,
        seconds=0.002,
        code=Code.CONTENT_BLOCKED,
        reason="classifier demo-1",
        category="cbrn",
        rule="r7",
        failure=Failure.TIMEOUT,
        retry_after=3.5,
        score=0.91,
        threshold=0.8,
    ),
)


def outcome(text: str = "world") -> Outcome:
    return Outcome(
        ending=Ending.BLOCKED_OUTPUT,
        status=200,
        code=Code.CONTENT_BLOCKED,
        reason="rule r7",
        decisions=DECISIONS,
        released=(Released(ChannelId(0, ChannelKind.TOOL_ARGUMENTS, 1), len(text) + 9, len(text), text),),
        events=12,
        sent_bytes=345,
        ended=1_700_000_001.0,
        seconds=1.5,
        upstream_seconds=1.25,
        first_byte_seconds=0.25,
        prompt_tokens=7,
        completion_tokens=9,
        dropped_fields=2,
    )
