"""``guard audit recover``: it mends what a crash left, and makes no tampering good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.audit.ledger import Ledger
from guard.audit.sealer import open_sealer
from guard.audit.segments import listing
from guard.audit.signing_keys import open_keys
from guard.audit.tiles import tile_path
from guard.cli import main
from tests.guard.audit.fakes import Clock
from tests.guard.audit.sealed_log import write
from tests.parts.configuration import write_configuration


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A host whose log is sealed."""
    write_configuration(tmp_path)
    state, audit = tmp_path / "var" / "state", tmp_path / "var" / "audit"
    write(audit, "worker-0", 0, 100)
    sealer = open_sealer(audit, open_keys(state, audit, origin=None, configured=None), Clock(), 3600.0)
    assert not [each for each in sealer.round({}).writers if each.problem]
    sealer.close()
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["audit", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_recovery_mends_what_a_crash_left(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = config / "var" / "audit"
    last = listing(audit / "worker-0")[-1]
    last.write_bytes(last.read_bytes() + b"\xf5ASG half")
    (audit / "worker-0" / tile_path(0, 0)).unlink()
    assert run(capsys, "verify", "--config", config)[0] == 1
    code, out, err = run(capsys, "recover", "--config", config)
    assert (code, out, err) == (0, "supervisor: recovered\nworker-0: recovered\n", "")
    code, out, _ = run(capsys, "verify", "--config", config)
    assert code == 0
    assert "supervisor" in out
    code, out, _ = run(capsys, "tail", "--json", "--config", config)
    assert any(json.loads(line).get("what") == "recover" for line in out.splitlines())
    assert any(json.loads(line).get("what") == "torn_tail" for line in out.splitlines())


def test_recovery_makes_no_tampering_good_and_leaves_a_running_guard_alone(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = config / "var" / "audit"
    tiles = (audit / "worker-0" / tile_path(0, 0)).read_bytes()
    listing(audit / "worker-0")[2].unlink()
    code, _, err = run(capsys, "recover", "--config", config)
    assert (code, "are not those that were signed" in err) == (1, True)
    assert (audit / "worker-0" / tile_path(0, 0)).read_bytes() == tiles
    assert run(capsys, "verify", "--config", config)[0] == 1
    running = Ledger.open(audit / "supervisor", Clock())
    code, _, err = run(capsys, "recover", "--config", config)
    running.close()
    assert (code, "in use by process" in err) == (1, True)
