"""The lease of a replica by its configuration, and what a question about a request hears of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.cli import main
from guard.clock import SystemClock
from guard.policy.load import load
from guard.serve.leases import as_leased, fleet_lease, lease_fields
from guard.state.directory import OrderDirectory
from guard.state.lease import LeasedSwitches, LeaseWord
from guard.state.switches import FileSwitches
from tests.guard.state.parts import of_a_known_host
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.fleets import write_replica


def test_the_configuration_tightens_what_levels_have(tmp_path: Path) -> None:
    leases = {"asl_2": 60.0, "asl_3": 10.0}
    write_replica(tmp_path, "one", [ModelSpec()], folder=tmp_path / "shared", leases=leases)
    state = tmp_path / "state"
    state.mkdir()
    LeaseWord(state)
    lease = fleet_lease(load(tmp_path), state, SystemClock())
    assert lease is not None
    assert lease.limits == {2: 60.0, 3: 10.0, 4: 3.0}


def test_a_guard_of_its_own_has_none(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    assert fleet_lease(load(tmp_path), tmp_path, SystemClock()) is None


def test_who_only_asks_hears_of_a_lease_only_where_a_guard_has_run(tmp_path: Path) -> None:
    write_replica(tmp_path, "one", [ModelSpec()], folder=tmp_path / "shared")
    config, clock = load(tmp_path), SystemClock()
    switches = FileSwitches(OrderDirectory(tmp_path / "state"), clock, of_a_known_host)
    assert as_leased(switches, config, tmp_path / "state", clock) is switches
    LeaseWord(tmp_path / "state")
    assert isinstance(as_leased(switches, config, tmp_path / "state", clock), LeasedSwitches)


def test_guard_why_says_that_a_lapsed_lease_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [ModelSpec(), ModelSpec("strict", asl=3)]
    write_replica(tmp_path, "one", models, folder=tmp_path / "shared")
    state = tmp_path / "var" / "state"
    OrderDirectory(state)
    LeaseWord(state)
    asking = ["why", "--config", str(tmp_path), "--as", "app", "--model"]
    assert main([*asking, "strict"]) == 1
    assert "no proof within 30 s" in " ".join(capsys.readouterr().out.split())
    assert main([*asking, "demo"]) == 0


def test_what_is_told_of_a_lease_is_json() -> None:
    assert lease_fields(None, {4: 3.0, 3: 30.0}, {4, 3}) == {
        "age": None,
        "limits": {"3": 30.0, "4": 3.0},
        "lapsed": [3, 4],
    }
