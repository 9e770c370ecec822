"""The process that ships: rounds and pauses, what it tells between them, and one more round at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guard.audit.note import Key
from guard.policy.secret_ref import SecretRef
from guard.policy.source import ConfigError
from guard.policy.storage import OtlpLogs, Shipping
from guard.serve.shipping import Loop, Shipment, open_sink, open_store, pause_after, read_order
from guard.shipping.folder import FolderStore
from guard.shipping.s3 import S3Store
from guard.shipping.status import Status, read_status
from tests.guard.audit.fakes import PATIENCE, Clock
from tests.guard.audit.sealed_log import Guard, write
from tests.guard.shipping.collector import collector
from tests.guard.shipping.fakes import key


def given(base: Path, guard: Guard, log: Key) -> Shipment:
    section = Shipping(to=f"file://{base}/share", every_seconds=2.0)
    return Shipment(base, guard.state, guard.audit, log, section)


class Host:
    """A sealed log, and a loop whose pauses a test decides."""

    def __init__(self, base: Path) -> None:
        """Write a little."""
        self.base = base
        self.guard = Guard(base / "host")
        self.write(0)
        self.clock = Clock(self.guard.clock.now() + 1000.0)
        self.pauses: list[float] = []

    def write(self, number: int) -> None:
        """Seal two more requests."""
        write(self.guard.audit, "worker-0", number, 2)
        self.guard.seal()

    def status(self) -> Status:
        """What was told last."""
        found = read_status(self.guard.state)
        assert found is not None
        return found

    def run(self, *steps: Callable[[], object]) -> None:
        """Ship, and in each pause do the next step; after the last the end comes."""
        todo = list(steps)

        def ended(seconds: float) -> bool:
            self.pauses.append(seconds)
            self.clock.pass_(1000.0)
            if not todo:
                return True
            todo.pop(0)()
            return False

        Loop(given(self.base, self.guard, key(self.guard)), self.clock, ended).run()


def test_a_store_that_is_away_is_told_and_tried_until_it_is_back(tmp_path: Path) -> None:
    host = Host(tmp_path)
    told: list[Status] = []
    look = lambda: told.append(host.status())  # noqa: E731 - a step
    host.run(look, look, (tmp_path / "share").mkdir, look)
    assert [bool(status.problem) for status in told] == [True, True, False]
    assert "is the share mounted" in told[0].problem
    assert [status.failures for status in told] == [1, 2, 3]
    assert told[0].shipped_to == told[1].shipped_to == 1_700_000_000.0
    assert told[2].shipped_to > told[1].shipped_to + 1000.0
    assert 0.5 <= host.pauses[0] <= 1.0
    assert host.pauses[-1] == 2.0


def test_what_is_sealed_at_the_end_is_shipped_too(tmp_path: Path) -> None:
    host = Host(tmp_path)
    (tmp_path / "share").mkdir()
    found: list[int] = []

    def grow() -> None:
        found.append(len(list(tmp_path.glob("share/log-*/worker-0/seg-*"))))

    def ended() -> None:
        host.write(2)

    host.run(grow, ended)
    assert len(list(tmp_path.glob("share/log-*/worker-0/seg-*"))) > found[0]
    assert host.status().problem == ""


def test_pauses_double_to_a_minute_and_are_spread() -> None:
    assert [pause_after(failures, 1.0) for failures in (1, 2, 3, 6, 7, 1000)] == [1.0, 2.0, 4.0, 32.0, 60.0, 60.0]
    assert pause_after(7, 0.0) == 30.0


def test_an_order_says_everything_but_the_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_SECRET", "a secret indeed")
    guard = Guard(tmp_path / "host")
    guard.ring()
    ref = SecretRef(env="S3_SECRET")
    section = Shipping.model_validate_json(
        '{"to": "s3://bucket/a/b", "endpoint": "http://s3.example", "region": "r", "access_key": {"env": "S3_SECRET"},'
        ' "secret_key": {"env": "S3_SECRET"}, "lock": {"mode": "compliance", "days": 9}}'
    )
    shipment = Shipment(tmp_path, guard.state, guard.audit, key(guard), section)
    assert read_order(shipment.order()) == shipment
    assert "a secret indeed" not in shipment.order()
    assert isinstance(open_store(tmp_path, section), S3Store)
    assert isinstance(open_store(tmp_path, Shipping(to="file:///share")), FolderStore)
    monkeypatch.delenv("S3_SECRET")
    with pytest.raises(ConfigError, match=str(ref.env)):
        open_store(tmp_path, section)


def telling(base: Path, guard: Guard, url: str) -> Loop:
    """A loop that also tells a collector, for a round and the last one."""
    (base / "share").mkdir()
    section = Shipping(to=f"file://{base}/share", otlp_logs=OtlpLogs(endpoint=url))
    clock, rounds = Clock(guard.clock.now() + 1000.0), iter((False, True))

    def ended(_: float) -> bool:
        clock.pass_(1000.0)
        return next(rounds)

    return Loop(Shipment(base, guard.state, guard.audit, key(guard), section), clock, ended)


def test_a_collector_is_told_beside_the_copies_also_of_what_was_sealed_last(tmp_path: Path) -> None:
    host = Host(tmp_path)
    with collector() as there:
        telling(tmp_path, host.guard, there.url).run()
        assert there.names().count("intent worker-0-0") == 1
    assert list(tmp_path.glob("share/log-*/worker-0/seg-*"))
    assert host.status().problem == ""


def test_a_collector_that_hangs_holds_up_no_copy_and_one_that_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.serve.shipping.LAST_SECONDS", 0.01)
    host = Host(tmp_path)
    with collector() as there:
        there.gate.clear()
        there.status = 503
        telling(tmp_path, host.guard, there.url).run()  # ends although nobody has answered
        assert there.entered.wait(PATIENCE)
        assert there.bodies == []
        assert len(list(tmp_path.glob("share/log-*/worker-0/seg-*"))) == 1
        assert host.status().problem == ""
        assert host.status().shipped_to > 1_700_000_000.0
        monkeypatch.setattr("guard.serve.shipping.LAST_SECONDS", PATIENCE)
        there.gate.set()
        (tmp_path / "share").rename(tmp_path / "first")
        telling(tmp_path, host.guard, there.url).run()
        assert host.status().problem == "otlp_logs: the collector answered 503"


def test_the_secret_of_a_collector_is_read_when_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard(tmp_path / "host")
    guard.ring()
    logs = OtlpLogs(endpoint="http://127.0.0.1:1/", authorization=SecretRef(env="OTLP_SECRET"))
    shipment = Shipment(tmp_path, guard.state, guard.audit, key(guard), Shipping(to="file:///share", otlp_logs=logs))
    monkeypatch.setenv("OTLP_SECRET", "Bearer a-secret")
    assert read_order(shipment.order()) == shipment
    assert "a-secret" not in shipment.order()
    assert open_sink(shipment) is not None
    monkeypatch.delenv("OTLP_SECRET")
    with pytest.raises(ConfigError, match="OTLP_SECRET"):
        open_sink(shipment)
