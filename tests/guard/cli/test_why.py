"""``guard why``: its text, its exit codes, another day, and that it needs no guard that runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guard.cli import main
from guard.state.directory import OrderDirectory
from tests.guard.state.parts import rule
from tests.parts.configuration import ModelSpec, write_configuration

NOW = datetime(2026, 6, 1, tzinfo=UTC)
AT = ["--at", "2026-06-02"]


@pytest.fixture
def asking(tmp_path: Path) -> list[str]:
    write_configuration(tmp_path, now=NOW, models=[ModelSpec(evidence_days=10), ModelSpec("bare", claims=())])
    return ["why", "--config", str(tmp_path)]


def test_what_would_be_forwarded_is_0_and_every_safeguard_is_told(
    asking: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*asking, "--as", "app", "--model", "demo", *AT]) == 0
    out = capsys.readouterr().out
    for said in (
        "app asks demo for chat on public, at 2026-06-02T00:00:00Z\n",
        "  would be forwarded to http://127.0.0.1:9 as tiny, unless patterns objects to the text\n",
        "  passes       surface: public at 127.0.0.1:0\n",
        "  passes       route: POST /v1/chat/completions\n",
        "  passes       key: app of an application, tier general, until 2026-08-30\n",
        "  passes       floor: every row of example-internal 1 that binds it is met\n",
        "  passes       1. request_log [writes what is asked before anything else happens, ",
        "  judges text  6. patterns (classifier) [judges the prompt and every part of the answer by ",
        "Answers are watched by request_log, kill_switch, patterns.\n",
        "Not judged: the text itself",
    ):
        assert said in out
    assert max(len(line) for line in out.splitlines()) <= 110
    assert not (tmp_path / "var").exists(), "asking makes nothing"


def test_a_pushed_rule_is_named_by_its_order(
    asking: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order, other = rule("model:demo"), rule("model:bare", 2)
    for each in (order, other):
        OrderDirectory(tmp_path / "var" / "state").put(each)
    assert main([*asking, "--as", "app", "--model", "demo", *AT]) == 0
    out = capsys.readouterr().out
    assert f"patterns or rule order {order.id} objects to the text" in " ".join(out.split())
    assert f"7. rule order {order.id} (rapid_response) [judges the prompt and every part" in " ".join(out.split())
    assert "FORBIDDEN" not in out
    assert other.id not in out


def test_what_would_be_refused_is_1_with_its_code_and_its_rows(
    asking: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*asking, "--as", "app", "--model", "bare", *AT]) == 1
    out = capsys.readouterr().out
    assert "  would be REFUSED with not_routable (503)\n" in out
    assert "  REFUSES      floor: rows of example-internal 1 that bind it are unmet\n" in out
    assert "L2.model_card (deployment 2): nobody attests model_card\n" in out


@pytest.mark.parametrize(
    ("key", "model", "said"),
    [
        ("nobody", "demo", "REFUSES      key: no key has the id 'nobody'"),
        ("kéy \x1b[2J", "demo", "REFUSES      key: no key has the id 'k\\xe9y \\x1b[2J'"),
        ("lapsed", "demo", "REFUSES      key: lapsed of an old application has expired"),
        ("app", "nothing", "REFUSES      model: there is no model 'nothing'; there are: bare, demo"),
    ],
)
def test_who_or_what_is_unknown_is_told_with_what_there_is(
    key: str, model: str, said: str, asking: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*asking, "--as", key, "--model", model, *AT]) == 1
    out = capsys.readouterr().out
    assert said in out
    assert "\x1b" not in out


def test_another_day_is_judged_by_its_own_evidence(asking: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    codes = []
    for day in ("2026-06-10", "2026-06-11", "2026-12-01"):
        main([*asking, "--as", "app", "--model", "demo", "--at", day, "--json"])
        codes.append(json.loads(capsys.readouterr().out)["code"])
    assert codes == [None, "not_routable", "key_expired"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--surface", "nowhere"], "there is no surface 'nowhere'; there are: public"),
        (["--operation", "train"], "invalid Operation value: 'train'"),
    ],
)
def test_a_listener_or_an_operation_that_does_not_exist_is_2(
    wrong: list[str], said: str, asking: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([*asking, "--as", "app", "--model", "demo", *wrong])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert said in capsys.readouterr().err


def test_orders_that_may_not_be_read_cannot_be_judged(
    asking: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "state").write_text("not a folder")
    assert main([*asking, "--as", "app", "--model", "demo", *AT]) == 2
    assert "it cannot be judged: Not a directory" in capsys.readouterr().err


def test_an_invalid_configuration_is_2(asking: list[str], tmp_path: Path) -> None:
    (tmp_path / "tiers.yaml").unlink()
    assert main([*asking, "--as", "app", "--model", "demo"]) == 2
