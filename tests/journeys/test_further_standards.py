"""A model under a framework and a law beside it: both bind, both are named, and neither can be dropped unseen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from guard.cli import main as guard
from guard.policy.fingerprint import named
from guard.policy.load import builtin_standards, load
from guard.policy.source import ConfigError, parse
from guard.policy.standard import Standard
from guard.policy.validate import validate
from tests.parts.compiled import Compiled
from tests.parts.configuration import ModelSpec, write_configuration, write_people

NOW: Final = datetime(2026, 11, 23, tzinfo=UTC)
ACT: Final = {"name": "eu-ai-act", "version": "2024/1689"}
CLOCKS: Final = (
    {
        "name": "serious",
        "starts": "discovered",
        "hours": 360,
        "to": "the authority",
        "source": "Art. 73",
        "rows": ["H4.serious"],
    },
    {
        "name": "worst",
        "starts": "discovered",
        "hours": 48,
        "from_severity": 3,
        "to": "the same",
        "source": "Art. 73",
        "rows": ["H4.death", "H4.widespread"],
    },
)
PAPERS: Final = ("overseer_competence", "incident_plan")


def change(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def written(directory: Path, also: tuple[Mapping[str, str], ...] = (ACT,)) -> Path:
    """Write a model that the law binds and that meets it."""
    spec = ModelSpec(claims=(*ModelSpec().claims, *PAPERS))
    write_configuration(directory, models=[spec], now=NOW)
    write_people(directory, {"ana": ("responder", "approver"), "ben": ("approver",)})
    change(directory / "models" / "demo.yaml", also=also)
    change(directory / "guard.yaml", clocks=CLOCKS)
    return directory


def check(directory: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = guard(["check", "--config", str(directory), "--at", "2026-11-23"])
    return code, capsys.readouterr().out


def test_a_law_binds_beside_the_framework_and_is_named_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = written(tmp_path)
    code, said = check(directory, capsys)
    assert code == 0
    assert "and eu-ai-act 2024/1689" in said
    guard(["explain", "demo", "--config", str(directory), "--at", "2026-11-23", "--json"])
    rows = {each["row"]: each["standard"] for each in json.loads(capsys.readouterr().out)["rows"]}
    assert (rows["L1.authenticated"], rows["H1.recorded"]) == ("example-internal 1", "eu-ai-act 2024/1689")
    guard(["explain", "demo", "--config", str(directory), "--at", "2026-11-23"])
    told = capsys.readouterr().out
    for row in ("H1.recorded", "H2.kept", "H3.overseers", "H4.widespread", "L1.authenticated"):
        assert row in told
    config = load(directory)
    compiled = Compiled(config, NOW.timestamp())
    assert compiled.ask(key="app").status == 200
    framework = compiled.models.all()[0].framework
    assert framework == "; ".join(map(named, config.standards_of("demo")))
    assert [each.split()[0] for each in framework.split("; ")] == ["example-internal", "eu-ai-act"]


@pytest.mark.parametrize(
    ("file", "keys", "row"),
    [
        ("guard.yaml", {"clocks": CLOCKS[:1]}, "H4.widespread"),
        ("guard.yaml", {"clocks": CLOCKS[1:]}, "H4.serious"),
        ("guard.yaml", {"clocks": [CLOCKS[0], {**CLOCKS[1], "rows": ["H4.death"]}]}, "H4.widespread"),
        ("operators.yaml", {"persons": []}, "H3.overseers"),
    ],
)
def test_what_the_law_asks_for_and_the_framework_does_not_is_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, keys: Mapping[str, Any], row: str
) -> None:
    directory = written(tmp_path)
    if file == "operators.yaml":
        (directory / file).unlink()  # the tokens' persons are then nobody's business
    else:
        change(directory / file, **keys)
    code, said = check(directory, capsys)
    assert code == 1
    assert f"{row} (deployment 1)" in said
    guard(["check", "--config", str(directory), "--at", "2026-11-23", "--sarif"])
    rules = [each["ruleId"] for each in json.loads(capsys.readouterr().out)["runs"][0]["results"]]
    assert f"eu-ai-act/2024/1689/{row}" in rules
    assert Compiled(load(directory), NOW.timestamp()).ask(key="app").code == "not_routable"


def test_dropping_a_law_is_weaker_and_adding_one_stronger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bound, free = written(tmp_path / "bound"), tmp_path / "free"
    shutil.copytree(bound, free)
    change(free / "models" / "demo.yaml", also=())
    assert guard(["diff", str(bound), str(free)]) == 3
    assert "framework.rows" in capsys.readouterr().out
    assert guard(["diff", str(free), str(bound)]) == 1


def test_a_framework_with_thresholds_is_no_further_standard(tmp_path: Path) -> None:
    directory = written(tmp_path, also=({"name": "anthropic-rsp", "version": "2.2"},))
    with pytest.raises(ConfigError, match="has thresholds: only a framework can have them"):
        load(directory)


def test_two_standards_that_use_one_id_cannot_bind_one_model(tmp_path: Path) -> None:
    directory = written(tmp_path, also=({"name": "house", "version": "1"},))
    row = {"id": "L1.authenticated", "axis": "deployment", "level": 1, "requires": "it", "source": "us", "check": None}
    house = {"name": "house", "version": "1", "title": "t", "source": "https://example.com/", "rows": [row]}
    (directory / "standards").mkdir()
    (directory / "standards" / "house.yaml").write_text(json.dumps(house))
    with pytest.raises(ConfigError, match=r"has a row L1\.authenticated, as example-internal 1 has"):
        load(directory)


def test_no_two_rows_of_standards_that_may_stand_together_have_one_id() -> None:
    files = sorted(builtin_standards().glob("*.yaml"))
    shipped = [validate(parse(path.name, path.read_bytes()), Standard) for path in files]
    further = [each for each in shipped if not each.thresholds and each.name != "example-internal"]
    assert [each.name for each in further] == ["control-catalogues", "eu-ai-act", "eu-gpai-code", "us-frontier-laws"]
    for framework in shipped:
        if framework not in further:
            ids = [row.id for each in (framework, *further) for row in each.rows]
            shared = {each for each in ids if ids.count(each) > 1}
            assert not shared, (framework.name, shared)
