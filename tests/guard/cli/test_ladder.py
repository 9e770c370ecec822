"""Where a model stands and one step down, on a host where no guard runs; tests/journeys/test_ladder.py has a guard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.cli import main, switch
from guard.state.directory import OrderDirectory
from guard.state.orders import StopOrder
from safeguards.mode import Mode
from tests.parts.configuration import write_configuration
from tests.parts.ladders import write_ladder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "WAIT_SECONDS", 0.0)
    monkeypatch.delenv("GUARD_ADMIN_TOKEN", raising=False)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_configuration(tmp_path)
    write_ladder(tmp_path, "demo", {"stricter": {"enforce": ["tried"]}, "no_new_principals": True})
    return tmp_path


def given(config: Path) -> list[Mode]:
    orders = OrderDirectory(config / "var" / "state").read().fresh
    return [order.mode for order in orders if isinstance(order, StopOrder)]


def test_what_each_rung_would_do_is_told_before_anything_was_ordered(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ladder", "demo", "--config", str(config)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("demo: open; --down goes to stricter\n* open ")
    assert "  stricter           enforces tried, also on running answers\n" in told
    assert "  fallback           not declared: an order for it stops the model\n" in told
    assert not (config / "var" / "state").exists()


def test_each_step_is_one_order_and_the_orders_are_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, mode in enumerate((Mode.STRICTER, Mode.NO_NEW_PRINCIPALS, Mode.STOP), 1):
        assert main(["ladder", "demo", "--down", "--reason", "a finding", "--config", str(config)]) == 5  # no worker
        assert given(config)[number - 1 :] == [mode]
    capsys.readouterr()
    main(["stop", "key:app", "--config", str(config)])
    capsys.readouterr()
    assert main(["ladder", "demo", "--config", str(config)]) == 0
    told = capsys.readouterr().out
    assert "demo: stop; --down goes to stop\n" in told
    assert told.count(" of model:demo, ") == 3
    assert "a finding" in told
    assert "key:app" not in told


@pytest.mark.parametrize("fleet", [False, True])
def test_a_rung_of_a_key_is_wrong_usage_and_orders_nothing(
    fleet: bool, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if fleet:
        guard = json.loads((config / "guard.yaml").read_text())
        shared = {"engine": "folder", "replica": "r1", "folder": str(config / "shared")}
        (config / "guard.yaml").write_text(json.dumps({**guard, "fleet": shared}))
    assert main(["stop", "key:app", "--mode", "fallback", "--config", str(config)]) == 2
    assert "mode: fallback is for all, level:…, model:… or version:…" in capsys.readouterr().err
    assert given(config) == []


def test_without_a_configuration_or_its_model_it_says_what_is_wanted(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ladder", "demo"]) == 2
    assert main(["ladder", "nobody", "--config", str(config)]) == 2
    told = capsys.readouterr().err
    assert "give --config DIR" in told
    assert "there is no model of that name; there are: demo" in told
