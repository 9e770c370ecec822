"""Sealing beside a running guard: epochs are recorded, trouble is told once and by metric, and it begins again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import cast

import pytest

from guard.audit.checkpoint import parse_checkpoint
from guard.audit.heads import read_head
from guard.audit.read import FLEET
from guard.audit.segments import listing
from guard.policy.load import load
from guard.serve.acts import Acts
from guard.serve.sealing import Sealing, key_ring, log_key
from guard.telemetry.exposition import Exposition
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from tests.guard.audit.fakes import Clock
from tests.guard.audit.sealed_log import write
from tests.parts.configuration import write_configuration


class Recorded:
    """Stands for the acts of control: keeps what it was told."""

    def __init__(self) -> None:
        """Begin empty."""
        self.acts: list[tuple[str, str]] = []

    async def record(self, who: str, what: str, subject: str, reason: str) -> None:
        """As `Acts.record`."""
        assert who
        assert reason
        self.acts.append((what, subject))


class Sealed:
    """A configuration with one writer, and what seals it."""

    def __init__(self, base: Path) -> None:
        """Write both."""
        write_configuration(base)
        self.config = load(base)
        self.audit = base / "var" / "audit"
        self.last = write(self.audit, "worker-0", 0, 3)
        self.clock = Clock()
        self.acts = Recorded()
        self.meter = Meter(Origin.SUPERVISOR)
        self.sealing = Sealing(
            self.config,
            key_ring(self.config),
            lambda: {"worker-0": self.last},
            cast("Acts", self.acts),
            self.meter,
            JsonLog(self.clock),
            self.clock,
        )

    def metric(self, start: str) -> float:
        """The value of the series whose line begins so."""
        page = Exposition(self.meter).page().render("")[0].decode()
        (line,) = [each for each in page.splitlines() if each.startswith(start)]
        return float(line.split()[-1])

    def size(self) -> int:
        """How many records of the writer are under a signed head."""
        note = read_head(self.audit / "worker-0")
        return 0 if note is None else parse_checkpoint(note.text).size


def run(sealed: Sealed, steps: Coroutine[None, None, None]) -> None:
    async def _all() -> None:
        await steps
        await sealed.sealing.close()

    asyncio.run(_all())


@pytest.fixture
def sealed(tmp_path: Path) -> Sealed:
    return Sealed(tmp_path)


def test_each_epoch_is_put_on_record_with_its_key(sealed: Sealed) -> None:
    async def steps() -> None:
        await sealed.sealing.seal({"worker-0": sealed.last})
        await sealed.sealing.seal({"worker-0": sealed.last})
        sealed.clock.pass_(3600.0)
        await sealed.sealing.seal({"worker-0": sealed.last})

    run(sealed, steps())
    assert [what for what, _ in sealed.acts.acts] == ["audit_epoch"] * 2
    assert sealed.acts.acts[1][1].startswith(f"1 {log_key(sealed.config).name}/epoch/1+")
    assert sealed.size() == sealed.last
    assert sealed.metric('guard_audit_sealed_timestamp_seconds{writer="worker-0"}') == sealed.clock.now()
    assert sealed.metric('guard_audit_unsealed_records{writer="worker-0"}') == 0.0


def test_the_time_of_a_writer_that_stands_still_stands_still_too(sealed: Sealed) -> None:
    series = 'guard_audit_sealed_timestamp_seconds{writer="worker-%d"}'
    write(sealed.audit, "worker-1", 0, 1)

    async def steps() -> None:
        await sealed.sealing.seal({"worker-0": sealed.last})
        begun = sealed.clock.now()
        sealed.clock.pass_(10.0)
        # More is durable than can be read: nothing of it is sealed, round by round.
        await sealed.sealing.seal({"worker-0": sealed.last + 5})
        assert sealed.metric('guard_audit_unsealed_records{writer="worker-0"}') == 5.0
        assert sealed.metric(series % 0) == begun
        assert sealed.metric(series % 1) == sealed.clock.now()
        sealed.clock.pass_(10.0)
        await sealed.sealing.seal({"worker-0": None})  # how far it is is not known
        assert sealed.metric(series % 0) == begun

    run(sealed, steps())
    assert sealed.metric(series % 0) == sealed.clock.now()


def test_it_seals_again_and_again_by_itself_and_once_more_at_the_end(sealed: Sealed) -> None:
    async def steps() -> None:
        watching = asyncio.ensure_future(sealed.sealing.watch())
        async with asyncio.timeout(30):
            while sealed.size() < sealed.last or not sealed.acts.acts:  # noqa: ASYNC110 - a file and a list
                await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        sealed.last = await asyncio.to_thread(write, sealed.audit, "worker-0", 10, 3)

    run(sealed, steps())
    assert sealed.size() == sealed.last
    assert len(sealed.acts.acts) == 1


def test_a_writer_in_trouble_is_told_once_and_again_when_it_is_over(
    sealed: Sealed, capfd: pytest.CaptureFixture[str]
) -> None:
    path = sealed.audit / "worker-0" / "checkpoint"

    async def steps() -> None:
        await sealed.sealing.seal({})
        good = path.read_bytes()
        path.write_bytes(b"no note")
        sealed.sealing._shut()  # a start of the guard reads it again
        for _ in range(3):
            await sealed.sealing.seal({})
        assert sealed.metric('guard_audit_seal_failing{writer="worker-0"}') == 1.0
        path.write_bytes(good)
        sealed.clock.pass_(60.0)
        await sealed.sealing.seal({})

    run(sealed, steps())
    said = capfd.readouterr().err
    assert said.count('"seal_failed"') == 1
    assert said.count('"sealed_again"') == 1
    assert sealed.metric('guard_audit_seal_failing{writer="worker-0"}') == 0.0


def test_trouble_of_the_whole_is_told_and_it_begins_again_from_the_disk(
    sealed: Sealed, capfd: pytest.CaptureFixture[str]
) -> None:
    fleet = sealed.audit / FLEET

    async def steps() -> None:
        fleet.write_text("a file in its place")
        for _ in range(3):
            assert not await sealed.sealing.seal({})
        assert sealed.metric('guard_audit_seal_failing{writer="all"}') == 1.0
        fleet.unlink()
        await sealed.sealing.seal({})

    run(sealed, steps())
    said = capfd.readouterr().err
    assert said.count('"seal_failed"') == 1
    assert "fleet" in said
    assert sealed.metric('guard_audit_seal_failing{writer="all"}') == 0.0
    assert sealed.size() == sealed.last


def test_what_grew_is_indexed_and_trouble_with_it_is_told_once_and_stops_nothing(
    sealed: Sealed, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed.sealing._indexer._stride = 1
    folder = sealed.audit / "worker-0" / "index"

    async def steps() -> None:
        folder.write_text("a file in its place")
        for _ in range(3):
            await sealed.sealing.index()
        folder.unlink()
        await sealed.sealing.index()
        assert {path.stem for path in folder.iterdir()} == {path.stem for path in listing(sealed.audit / "worker-0")}
        monkeypatch.setattr("guard.audit.indexer.listing", lambda _: 1 / 0)
        await sealed.sealing.index()
        await sealed.sealing.seal({})

    run(sealed, steps())
    said = capfd.readouterr().err
    assert said.count('"index_failed"') == 2
    assert "ZeroDivisionError" in said
    assert sealed.size() == sealed.last


def test_a_key_that_is_gone_is_told_too(sealed: Sealed, capfd: pytest.CaptureFixture[str]) -> None:
    async def steps() -> None:
        await sealed.sealing.seal({})
        shutil.rmtree(sealed.audit / FLEET)
        (sealed.audit / FLEET).write_text("a file in its place")
        (sealed.config.directory / "var" / "state" / "audit-keys" / "log.pem").unlink()
        sealed.sealing._shut()
        for _ in range(2):
            await sealed.sealing.seal({})

    run(sealed, steps())
    assert "the log's signing key is missing" in capfd.readouterr().err
