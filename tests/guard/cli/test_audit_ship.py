"""``guard audit ship``: one round, what it says, and when it does not run."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from guard.app import SYSTEM_CLOCK
from guard.audit.ledger import Ledger
from guard.audit.sealer import open_sealer
from guard.audit.verify import verify
from guard.cli import audit_ship, main
from guard.policy.load import load
from guard.serve.sealing import key_ring, log_key
from guard.serve.shipping import hold
from tests.guard.shipping.collector import collector
from tests.parts.configuration import write_configuration


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A sealed log of one record, and a share."""
    directory = tmp_path / "config"
    write_configuration(directory)
    path = directory / "guard.yaml"
    content = json.loads(path.read_text())
    content["storage"]["ship"] = {"to": f"file://{tmp_path}/share"}
    path.write_text(json.dumps(content))
    (tmp_path / "share").mkdir()

    async def act() -> None:
        ledger = Ledger.open(directory / "var" / "audit" / "supervisor", SYSTEM_CLOCK)
        await ledger.control(who="ana", what="test", subject="nothing", reason="")
        ledger.close()

    asyncio.run(act())
    sealer = open_sealer(directory / "var" / "audit", key_ring(load(directory)), SYSTEM_CLOCK, 3600)
    sealer.round({})
    sealer.close()
    return directory


def ship(config: Path) -> int:
    return main(["audit", "ship", "--config", str(config)])


def test_a_round_copies_what_there_is_and_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ship(config) == 0
    said = capsys.readouterr().out
    assert "0 objects" not in said
    assert "every record before 20" in said
    (copy,) = (config.parent / "share").iterdir()
    assert verify(copy, log_key(load(config))).intact
    assert ship(config) == 0
    assert "0 objects, 0 bytes to file://" in capsys.readouterr().out


def test_a_collector_is_told_too_and_what_is_wrong_with_it_is_said_beside_the_copies(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config / "guard.yaml"
    content = json.loads(path.read_text())
    with collector() as there:
        content["storage"]["ship"]["otlp_logs"] = {"endpoint": there.url}
        path.write_text(json.dumps(content))
        there.status = 503
        assert ship(config) == 1
        said = capsys.readouterr()
        assert "otlp_logs: the collector answered 503" in said.err
        assert "every record before 20" in said.out
        there.status = 200
        assert ship(config) == 0
        assert there.names() == ["control"]


def test_progress_is_shown_where_it_takes_long(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_ship, "EVERY_SECONDS", 0.0)
    assert ship(config) == 0
    assert "objects, 0.0 MiB shipped" in capsys.readouterr().err


def test_what_differs_is_named_and_fails(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ship(config) == 0
    (copy,) = (config.parent / "share").iterdir()
    (segment,) = (copy / "supervisor").glob("seg-*")
    segment.write_bytes(b"something else")
    for path in (config / "var" / "state" / "shipping").glob("cursor-*"):
        path.unlink()
    assert ship(config) == 1
    assert f"supervisor/{segment.name}: there is another object" in capsys.readouterr().err


def test_a_share_that_is_not_there_fails(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "share").rmdir()
    assert ship(config) == 1
    assert "is the share mounted?" in capsys.readouterr().err


def test_beside_one_that_ships_it_does_not_run(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = hold(config / "var" / "state")
    try:
        assert ship(config) == 1
    finally:
        os.close(held)
    assert "ships this log by itself" in capsys.readouterr().err


def test_without_a_place_to_ship_to_it_says_where_to_write_one(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config / "guard.yaml"
    content = json.loads(path.read_text())
    del content["storage"]["ship"]
    path.write_text(json.dumps(content))
    assert ship(config) == 1
    assert "`storage.ship`" in capsys.readouterr().err
