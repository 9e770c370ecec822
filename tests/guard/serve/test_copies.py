"""What the supervisor makes of shipping: figures, lines, and a process that is replaced when it dies or hangs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guard.policy.load import load
from guard.serve.copies import Copies
from guard.serve.shipping import hold
from guard.shipping.cursor import FOLDER
from guard.shipping.status import FILE, Status, write_status
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from tests.guard.audit.fakes import Clock
from tests.guard.audit.sealed_log import Guard, write
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.guard_process import alive

PATIENCE = 30.0


class Host:
    """A host whose copies are looked at; its clock is moved by hand."""

    def __init__(self, base: Path, *, max_lag: float | None = 60.0) -> None:
        """Write a configuration that ships to ``base/share``."""
        copies = {} if max_lag is None else {"copies": {"max_lag_seconds": max_lag}}
        write_configuration(base, models=[ModelSpec(log=copies), ModelSpec(name="other")])
        path = base / "guard.yaml"
        content = json.loads(path.read_text())
        content["storage"]["ship"] = {"to": f"file://{base}/share", "every_seconds": 0.1}
        path.write_text(json.dumps(content))
        (base / "share").mkdir()
        self.config = load(base)
        self.guard = Guard(base / "var")
        self.state = base / "var" / "state"
        self.clock = Clock()
        self.meter = Meter(Origin.SUPERVISOR)
        self.log = base / "log"
        self.log.touch()
        key = self.guard.ring().log.key
        self.copies = Copies(
            self.config, key, self.meter, JsonLog(self.clock, os.open(self.log, os.O_WRONLY)), self.clock
        )
        self._said = 0

    def says(self, **fields: Any) -> None:
        """The process says how it stands; it is looked at."""
        write_status(self.state, Status(**{"shipped_to": self.clock.now(), **fields}))
        self._said += 1
        os.utime(self.state / FOLDER / FILE, ns=(self._said, self._said))
        asyncio.run(self.copies.look())

    def events(self) -> list[str]:
        """The lines of the log so far."""
        return [json.loads(line)["event"] for line in self.log.read_text().splitlines()]

    def value(self, *key: str) -> float:
        """A gauge or a counter."""
        state = self.meter.state()
        return {**state.gauges, **state.counters}[key]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host of which an earlier process has spoken, and that was looked at once."""
    found = Host(tmp_path)
    found.says(bytes=1000, failures=50, problem="of an earlier process")
    return found


def test_what_an_earlier_process_counted_is_not_counted_again(host: Host) -> None:
    assert host.value("guard_audit_shipped_bytes_total") == 0.0
    assert host.value("guard_audit_ship_failing") == 0.0
    host.says(bytes=10, objects=2, records={"worker-0": 7})
    host.says(bytes=15, objects=3, failures=1, records={"worker-0": 9})
    assert host.value("guard_audit_shipped_bytes_total") == 15.0
    assert host.value("guard_audit_shipped_objects_total") == 3.0
    assert host.value("guard_audit_ship_failures_total") == 1.0
    assert host.value("guard_audit_shipped_records", "worker-0") == 9.0


def test_lag_beyond_what_a_model_allows_is_told_once_for_that_model_and_when_it_is_over(host: Host) -> None:
    host.says(shipped_to=host.clock.now() - 59.0)
    assert host.value("guard_audit_ship_lag_seconds") == 59.0
    assert host.value("guard_audit_ship_overdue", "demo") == 0.0
    host.clock.pass_(2.0)
    for _ in range(3):
        asyncio.run(host.copies.look())  # nothing was said: it lags on
    assert host.value("guard_audit_ship_overdue", "demo") == 1.0
    assert ("guard_audit_ship_overdue", "other") not in host.meter.state().gauges
    assert host.events() == ["copies_overdue"]
    host.says()
    assert host.value("guard_audit_ship_overdue", "demo") == 0.0
    assert host.events() == ["copies_overdue", "copies_in_time"]


def test_where_nothing_was_ever_said_records_lag_since_the_guard_began(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.clock.pass_(61.0)
    asyncio.run(host.copies.look())
    assert host.value("guard_audit_ship_overdue", "demo") == 1.0


def test_a_problem_is_logged_once_and_its_end_too(host: Host) -> None:
    for _ in range(3):
        host.says(problem="the store is away")
    assert host.value("guard_audit_ship_failing") == 1.0
    host.says()
    assert host.value("guard_audit_ship_failing") == 0.0
    assert host.events() == ["ship_failed", "ships_again"]


def test_models_that_are_gone_are_said_nothing_of(host: Host, tmp_path: Path) -> None:
    host.says(shipped_to=0.0)
    write_configuration(tmp_path / "fewer", models=[ModelSpec(name="other")])
    host.copies.take(load(tmp_path / "fewer"))
    host.says(shipped_to=0.0)
    assert ("guard_audit_ship_overdue", "demo") not in host.meter.state().gauges


async def until(true: Callable[[], object], copies: Host) -> None:
    limit = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < limit, copies.log.read_text()
        await asyncio.sleep(0.01)


def pid(host: Host) -> int:
    """The process that ships, 0 for none."""
    try:
        return int((host.state / FOLDER / "lock").read_text() or 0)
    except FileNotFoundError:
        return 0


def test_a_process_that_hangs_is_ended_and_replaced_and_the_end_of_the_guard_ends_it(tmp_path: Path) -> None:
    host = Host(tmp_path)
    write(host.guard.audit, "worker-0", 0, 3)
    host.guard.seal()

    async def life() -> None:
        watching = asyncio.ensure_future(host.copies.watch())
        await until(lambda: list((tmp_path / "share").glob("log-*/worker-0/seg-*")), host)
        first = pid(host)
        os.kill(first, signal.SIGSTOP)
        host.clock.pass_(130.0)
        await until(lambda: "ship_failed" in host.events(), host)
        host.clock.pass_(10.0)
        await until(lambda: pid(host) not in {0, first}, host)
        second = pid(host)
        watching.cancel()
        await host.copies.close()
        ended.extend((first, second))

    ended: list[int] = []
    asyncio.run(life())
    assert not [each for each in ended if alive(each)]
    assert "it fell silent" in host.log.read_text()
    os.close(hold(host.state))  # nobody has it any more


def test_one_that_does_not_end_in_time_is_gone_when_the_guard_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.serve.copies.LAST_SECONDS", 0.0)
    host = Host(tmp_path)
    write(host.guard.audit, "worker-0", 0, 3)
    host.guard.seal()
    found: list[int] = []

    async def life() -> None:
        watching = asyncio.ensure_future(host.copies.watch())
        await until(lambda: pid(host), host)
        found.append(pid(host))
        os.kill(found[0], signal.SIGSTOP)
        watching.cancel()
        await host.copies.close()

    asyncio.run(life())
    assert not alive(found[0])
    assert "the last records have no copy yet" in host.log.read_text()
