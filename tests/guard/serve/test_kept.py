"""A policy that is changed where it lies is said once, and is put back as it was."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guard.policy.bundle import read_bundle, read_snapshot
from guard.serve.kept import WHOLE_SECONDS, Kept
from guard.state.snapshots import Current, Snapshots
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from tests.guard.admin.fakes import SetClock
from tests.parts.configuration import write_configuration


class Stand:
    """A state folder with a policy in force, and what looks after it."""

    def __init__(self, directory: Path) -> None:
        """Put the policy there."""
        write_configuration(directory)
        self.snapshots = Snapshots(directory / "var" / "state")
        bundle = read_bundle(directory)
        self.files = bundle.files
        self.current = Current(bundle.digest, 5.0, "start", frozenset({"a"}), {"demo": (2, 2)})
        self.place = self.snapshots.put(bundle.digest, bundle.files)
        self.snapshots.choose(self.current)
        self.meter = Meter(Origin.SUPERVISOR)
        self.clock = SetClock()
        self.records: list[tuple[str, ...]] = []
        self.out = (directory / "log").open("w+b", buffering=0)
        log = JsonLog(self.clock, self.out.fileno())
        self.kept = Kept(self.snapshots, self.meter, log, self._record, self.clock)

    async def _record(self, *act: str) -> None:
        self.records.append(act)

    def look(self) -> None:
        """Look once."""
        asyncio.run(self.kept.look(self.current, self.files))

    @property
    def whole(self) -> bool:
        """Whether all lies there as it was put."""
        return read_snapshot(self.place).digest == self.current.digest and self.snapshots.current() == self.current

    @property
    def said(self) -> list[str]:
        """The reasons in the log."""
        self.out.seek(0)
        lines = [json.loads(line) for line in self.out.read().splitlines()]
        assert all(line["event"] == "policy_damaged" and line["level"] == "error" for line in lines)
        return [line["reason"] for line in lines]

    def figures(self) -> tuple[float, float]:
        """How often it was found damaged, and whether it is."""
        state = self.meter.state()
        damages = state.counters.get(("guard_policy_snapshot_damages_total",), 0.0)
        return damages, state.gauges["guard_policy_snapshot_damaged",]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    yield stand
    stand.out.close()


def edit(stand: Stand) -> None:
    (stand.place / "guard.yaml").write_bytes(stand.files["guard.yaml"] + b"\n")


def add(stand: Stand) -> None:
    shutil.copy(stand.place / "models" / "demo.yaml", stand.place / "models" / "more.yaml")


def remove(stand: Stand) -> None:
    shutil.rmtree(stand.place)


def damage_note(stand: Stand) -> None:
    (stand.snapshots.folder / "current").write_text("damaged")


def point_elsewhere(stand: Stand) -> None:
    stand.snapshots.choose(Current("0" * 64, 5.0, "start", frozenset()))


def forget(stand: Stand) -> None:
    stand.snapshots.choose(Current(stand.current.digest, 5.0, "start", frozenset()))


def remove_note(stand: Stand) -> None:
    (stand.snapshots.folder / "current").unlink()


@pytest.mark.parametrize("change", [edit, add, remove, damage_note, point_elsewhere, forget, remove_note])
def test_whatever_is_changed_there_is_said_and_put_back(stand: Stand, change: Callable[[Stand], None]) -> None:
    stand.look()
    assert (stand.said, stand.records, stand.figures()) == ([], [], (0.0, 0.0))
    change(stand)
    assert not_whole(stand)
    stand.look()
    assert stand.whole
    (reason,) = stand.said
    assert reason.endswith("; it was put back")
    assert stand.records == [("guard", "policy damaged", stand.current.digest, reason)]
    assert stand.figures() == (1.0, 0.0)
    assert stand.kept.damage == ""
    stand.look()
    stand.look()
    assert len(stand.said) == 1
    change(stand)
    stand.look()
    assert stand.whole
    assert len(stand.said) == 2


def not_whole(stand: Stand) -> bool:
    try:
        return not stand.whole
    except OSError:
        return True


def test_what_cannot_be_put_back_is_said_once_and_tried_until_it_can(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Path:
        raise OSError(28, "No space left on device")

    edit(stand)
    with monkeypatch.context() as patched:
        patched.setattr(stand.snapshots, "put", full)
        for _ in range(3):
            stand.look()
        assert stand.kept.damage.endswith("it cannot be put back: No space left on device")
        assert (len(stand.said), stand.figures()) == (1, (1.0, 1.0))
    stand.look()
    assert stand.whole
    assert (stand.kept.damage, stand.figures()[1]) == ("", 0.0)
    assert stand.said[-1].endswith("it was put back")


def test_a_change_that_no_date_tells_of_is_found_within_half_a_minute(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.look()
    edit(stand)
    monkeypatch.setattr(stand.kept, "_stamps", lambda _: stand.kept._seen and stand.kept._seen[0])
    stand.look()
    assert stand.said == []
    stand.clock.go(WHOLE_SECONDS)
    stand.look()
    assert len(stand.said) == 1
    assert stand.whole
