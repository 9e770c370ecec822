"""``guard rule`` without a running guard: what is given, where it is read from, and what is told of it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from guard.cli import main, switch
from guard.policy.source import MAX_BYTES
from guard.state.directory import OrderDirectory
from guard.state.orders import RuleOrder
from guard.state.rule_text import MAX_RULES
from safeguards.decision import Target
from tests.guard.state.parts import of_a_known_host
from tests.parts.configuration import write_configuration

ONE = {"id": "one", "category": "cyber", "phrase": "FIRST-MARKER"}
TWO = {"id": "two", "category": "cbrn", "pattern": "second-[0-9]{1,3}-marker"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will confirm, so do not wait; nothing comes from outside."""
    monkeypatch.setattr(switch, "WAIT_SECONDS", 0.02)
    for name in ("GUARD_CONFIG", "GUARD_ADMIN_TOKEN", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_configuration(tmp_path / "config")
    return tmp_path / "config"


def pushed(config: Path) -> list[RuleOrder]:
    """The rule orders that lie there."""
    state = OrderDirectory(config / "var" / "state").snapshot(of_a_known_host)
    return sorted(state.rules, key=lambda order: order.id)


def given(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def push(config: Path, *arguments: str) -> int:
    return main(["rule", "push", *arguments, "--config", str(config)])


def test_a_file_of_rules_becomes_one_order(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = config.parent / "night.yaml"
    rules.write_text(json.dumps({"version": 1, "name": "night", "release": "1", "rules": [ONE, TWO]}))
    assert push(config, "version:demo/7", "--file", str(rules)) == 2
    assert "version" in capsys.readouterr().err
    assert push(config, "model:demo", "--file", str(rules), "--screens", "output", "--reason", "INC-1") == 5
    said = capsys.readouterr()
    assert said.out.startswith("pushed 2 rules on model:demo: applied on 0/1 workers")
    assert "refuse all that the rule covers: see guard rule list" in said.err
    (order,) = pushed(config)
    assert [each.record() for each in order.rules] == [ONE, TWO]
    assert (order.screens, order.reason) == ((Target.OUTPUT,), "INC-1")
    assert "(on the host" in order.who
    assert order.signature


def test_a_bad_file_is_told_by_its_line_and_key(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = config.parent / "night.yaml"
    head = "version: 1\nname: night\nrelease: '1'\nrules:\n"
    rules.write_text(f"{head}  - {{id: one, category: rumour, phrase: X-MARKER}}\n")
    assert push(config, "all", "--file", str(rules)) == 2
    said = capsys.readouterr().err
    assert f"{rules}:5" in said
    assert "rules[0].category" in said
    assert "X-MARKER" not in said
    assert push(config, "all", "--file", str(config.parent / "none.yaml")) == 2
    assert push(config, "all", "--file", str(rules), "--category", "cyber") == 2
    rules.write_bytes(b" " * (MAX_BYTES + 1))
    assert push(config, "all", "--file", str(rules)) == 2
    assert pushed(config) == []


def test_each_line_of_stdin_is_a_rule_by_a_name_of_its_own(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, b"FIRST-MARKER\r\n\n  SECOND \xc3\xbc-MARKER\n")
    assert push(config, "all", "--phrase", "-", "--category", "other", "--id", "night") == 5
    (order,) = pushed(config)
    assert [(each.id, each.phrase) for each in order.rules] == [
        ("night-1", "FIRST-MARKER"),
        ("night-2", "  SECOND \u00fc-MARKER"),
    ]
    given(monkeypatch, b"first-[0-9]-marker")
    assert push(config, "all", "--pattern", "-", "--category", "other") == 5
    assert [(each.id, each.pattern) for each in pushed(config)[1].rules] == [("pushed", "first-[0-9]-marker")]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\n", b"x\n" * (MAX_RULES + 1), b"x" * 100_000])
def test_what_stdin_may_hold_is_bounded(content: bytes, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, content)
    assert push(config, "all", "--phrase", "-", "--category", "other") == 2
    assert pushed(config) == []


def test_the_list_shows_texts_only_when_asked_and_obeys_no_terminal_code(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rule", "list", "--config", str(config)]) == 0
    assert capsys.readouterr().out == "no rule is pushed\n"
    assert push(config, "all", "--phrase", "A-MARKER \x1b[2J", "--category", "other", "--reason", "\x1b[2J") == 5
    capsys.readouterr()
    assert main(["rule", "list", "--config", str(config)]) == 0
    said = capsys.readouterr().out
    assert "MARKER" not in said
    assert "NOT IN FORCE on 0" in said
    assert main(["rule", "list", "--show", "--config", str(config)]) == 0
    said += capsys.readouterr().out
    assert "pushed: phrase A-MARKER ?[2J" in said
    assert "\x1b" not in said


def test_only_a_rule_is_lifted_as_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert push(config, "all", "--phrase", "A-MARKER", "--category", "other") == 5
    assert main(["stop", "all", "--config", str(config)]) == 5
    state = OrderDirectory(config / "var" / "state").snapshot(of_a_known_host)
    (stop,), (order,) = state.stops, state.rules
    options = ["--reason", "over", "--config", str(config)]
    for wrong in (stop.id, "all", "01ARYZ6S410000000000000000"):
        assert main(["rule", "lift", wrong, *options]) == 2
    assert main(["rule", "lift", order.id, "--config", str(config)]) == 2  # no reason
    assert main(["rule", "lift", *options]) == 2
    assert main(["rule", "lift", order.id, *options]) == 5
    assert f"lifted {order.id}: " in capsys.readouterr().out
    assert main(["rule", "list", "--config", str(config)]) == 0
    assert capsys.readouterr().out == "no rule is pushed\n"
    assert main(["status", "--config", str(config)]) == 3
    assert main(["resume", "all", *options]) == 5


def test_without_a_configuration_or_a_token_there_is_no_path(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["push", "all", "--phrase", "x", "--category", "other"],
        ["list"],
        ["lift", "01ARYZ6S410000000000000000", "--reason", "x"],
    ):
        assert main(["rule", *arguments]) == 2
        assert "give --config DIR, or a token and --admin URL" in capsys.readouterr().err
