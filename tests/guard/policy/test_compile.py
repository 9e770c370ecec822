"""A policy becomes a pipeline (one file for all of compile), or is refused with the file and the key that forbid it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from guard.policy.compile import Models, Ports, check_compiles, first_moment
from guard.policy.load import load
from guard.policy.source import ConfigError
from guard.policy.tiers import Operation
from guard.wire.routes import DIALECTS, ROUTES
from tests.guard.road import Still
from tests.parts.configuration import ModelSpec, write_configuration


def changed(directory: Path, change: Callable[[dict[str, Any]], None], **spec: Any) -> str:
    """Change a model's file and return what compiling says about it."""
    write_configuration(directory, models=[ModelSpec(**spec)])
    path = directory / "models" / "demo.yaml"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))  # on one line
    config = load(directory)
    with pytest.raises(ConfigError) as caught:
        check_compiles(config)
    return str(caught.value)


def test_the_log_comes_first(tmp_path: Path) -> None:
    said = changed(tmp_path, lambda content: content["safeguards"].reverse())
    assert said == (
        "models/demo.yaml:1: safeguards[0].use: must be request_log: nothing is decided before it is recorded"
    )


def test_the_log_is_enforced(tmp_path: Path) -> None:
    said = changed(tmp_path, lambda content: content["safeguards"][0].update(mode="shadow"))
    assert said == "models/demo.yaml:1: safeguards[0].mode: must be enforce: a log in shadow may lose requests"


def test_a_log_that_fails_lets_nothing_pass(tmp_path: Path) -> None:
    said = changed(tmp_path, lambda content: content["safeguards"][0].update(on_failure="pass"), asl=1)
    assert said == (
        "models/demo.yaml:1: safeguards[0].on_failure: must be block: what cannot be recorded is not served, at any "
        "level (row I1)"
    )


def test_there_is_a_kill_switch(tmp_path: Path) -> None:
    said = changed(tmp_path, lambda _: None, without=("kill_switch",))
    assert said == (
        "models/demo.yaml:1: safeguards: must mount kill_switch: a model that cannot be stopped is not served"
    )


def test_the_kill_switch_is_enforced(tmp_path: Path) -> None:
    said = changed(tmp_path, lambda content: content["safeguards"][1].update(mode="shadow"))
    assert said == "models/demo.yaml:1: safeguards[1].mode: must be enforce: a stop must stop"


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ({"ca": "none.pem"}, "models/demo.yaml:1: upstream.tls.ca: none.pem is missing"),
        ({"ca": "guard.yaml"}, "models/demo.yaml:1: upstream.tls.ca: guard.yaml is not a file of certificates in PEM"),
        (
            {"ca": "none.pem", "client_certificate": "no.pem", "client_key": {"file": "secrets/none"}},
            (
                "models/demo.yaml:1: upstream.tls.ca: none.pem is missing\n"
                "models/demo.yaml:1: upstream.tls.client_certificate: no.pem is missing\n"
                "models/demo.yaml:1: upstream.tls.client_key: secrets/none is missing"
            ),
        ),
        (
            {"server_name": "x" * 64},
            f"models/demo.yaml:1: upstream.tls.server_name: {'x' * 64} cannot be a name in a certificate",
        ),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused_with_its_file_and_its_key(
    tmp_path: Path, tls: dict[str, Any], said: str
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["upstream"] |= {"url": "https://models.example", "tls": tls}

    assert changed(tmp_path, change) == said


def test_an_expected_model_is_refused_where_nothing_would_check_it(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["upstream"]["expect_model"] = "m-1.2"
        content["operations"] = ["chat", "count_tokens"]

    assert changed(tmp_path, change) == (
        "models/demo.yaml:1: upstream.expect_model: cannot be checked in answers to count_tokens, which name no model: "
        "leave out one or the other"
    )


def test_an_expected_model_is_taken_for_every_operation_whose_answers_name_one(tmp_path: Path) -> None:
    operations = tuple(dialect.operation for dialect in DIALECTS if dialect.names_model)
    write_configuration(tmp_path, models=[ModelSpec(operations=operations)])
    path = tmp_path / "models" / "demo.yaml"
    content = json.loads(path.read_text())
    content["upstream"]["expect_model"] = "m-1.2"
    path.write_text(json.dumps(content))
    check_compiles(load(tmp_path))


def test_a_credential_that_no_header_carries_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    secret = tmp_path / "secrets" / "upstream"
    secret.write_text("schlüssel\n")
    secret.chmod(0o600)
    said = changed(tmp_path, lambda content: content["upstream"].update(credential={"file": "secrets/upstream"}))
    assert said == "models/demo.yaml:1: upstream.credential: must be ASCII: it is sent in a header"


def test_a_credential_that_is_not_there_is_refused_at_the_key_that_refers_to_it(tmp_path: Path) -> None:
    said = changed(tmp_path, lambda content: content["upstream"].update(credential={"file": "secrets/none"}))
    assert said == "models/demo.yaml:1: upstream.credential: secrets/none is missing"


def test_the_line_of_a_problem_is_where_its_key_stands(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    path = tmp_path / "models" / "demo.yaml"
    content = json.loads(path.read_text())
    content["upstream"] |= {"credential": {"file": "secrets/none"}, "expect_model": "m"}
    content["operations"] = ["chat", "count_tokens"]
    content["safeguards"][0]["mode"] = "shadow"
    path.write_text(json.dumps(content, indent=1))
    lines = path.read_text().splitlines()
    with pytest.raises(ConfigError) as caught:
        check_compiles(load(tmp_path))
    stated = {problem.path: lines[problem.line - 1].split('"')[1] for problem in caught.value.problems}
    assert stated == {
        "safeguards[0].mode": "mode",
        "upstream.credential": "credential",
        "upstream.expect_model": "expect_model",
    }
    shadow = next(problem for problem in caught.value.problems if problem.path == "safeguards[0].mode")
    assert "shadow" in lines[shadow.line - 1]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("pattern: a{2", "rules/test.yaml:9: rules[1].pattern: the pattern has a '{' that is no quantifier; "),
        ('phrase: "\\u200b"', "rules/test.yaml:9: rules[1].phrase: the phrase must have 1 to "),
    ],
)
def test_a_rule_that_does_not_compile_is_refused_once_with_its_own_line(tmp_path: Path, rule: str, said: str) -> None:
    write_configuration(tmp_path, models=[ModelSpec("one"), ModelSpec("two")])
    (tmp_path / "rules" / "test.yaml").write_text(
        "version: 1\nname: test\nrelease: '1'\nrules:\n"
        "  - {id: good, category: other, phrase: fine}\n\n"
        f"  - id: bad\n    category: other\n    {rule}\n"
    )
    with pytest.raises(ConfigError) as caught:
        check_compiles(load(tmp_path))
    (problem,) = caught.value.problems
    assert str(problem).startswith(said)


def test_a_pepper_that_no_worker_could_read_is_refused_and_can_be_left_out(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    pepper = tmp_path / "secrets" / "pepper"
    words = r"^guard\.yaml:[1-9][0-9]*: keys\.pepper: secrets/pepper "
    pepper.chmod(0o644)
    with pytest.raises(ConfigError, match=words + "is open to every user"):
        check_compiles(load(tmp_path))
    pepper.unlink()
    with pytest.raises(ConfigError, match=words + "is missing$"):
        check_compiles(load(tmp_path))
    check_compiles(load(tmp_path), secrets=False)


def test_a_signing_key_that_is_named_must_be_there(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    path = tmp_path / "guard.yaml"
    content = json.loads(path.read_text())
    content["audit"] = {"signing_key": {"file": "secrets/log.pem"}}
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"^guard\.yaml:1: audit\.signing_key: secrets/log\.pem is missing$"):
        check_compiles(load(tmp_path))
    check_compiles(load(tmp_path), secrets=False)
    (tmp_path / "secrets" / "log.pem").write_text("a key that is read when the guard begins")
    (tmp_path / "secrets" / "log.pem").chmod(0o600)
    check_compiles(load(tmp_path))


def test_without_secrets_the_rest_of_an_upstream_is_still_judged(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    path = tmp_path / "models" / "demo.yaml"
    content = json.loads(path.read_text())
    tls = {"client_certificate": "guard.yaml", "client_key": {"file": "secrets/none"}}
    content["upstream"] |= {"url": "https://models.example", "credential": {"file": "secrets/no"}, "tls": tls}
    path.write_text(json.dumps(content, indent=1))
    with pytest.raises(ConfigError, match="secrets/none is missing"):
        check_compiles(load(tmp_path))
    check_compiles(load(tmp_path), secrets=False)
    tls["client_certificate"] = "none.pem"
    path.write_text(json.dumps(content, indent=1))
    with pytest.raises(ConfigError, match=r"upstream\.tls\.client_certificate: none\.pem is missing$"):
        check_compiles(load(tmp_path), secrets=False)


def test_problems_of_all_models_are_gathered(tmp_path: Path) -> None:
    models = [ModelSpec(name, without=("kill_switch",)) for name in ("one", "two")]
    write_configuration(tmp_path, models=models)
    with pytest.raises(ConfigError) as caught:
        check_compiles(load(tmp_path))
    assert [problem.file for problem in caught.value.problems] == ["models/one.yaml", "models/two.yaml"]


def test_every_operation_has_one_dialect_and_every_route_its_own() -> None:
    assert {dialect.operation for dialect in DIALECTS} == {operation.value for operation in Operation}
    assert len(set(ROUTES)) == len(ROUTES)


def test_mounts_keep_their_order_modes_and_postures(tmp_path: Path) -> None:
    changes: dict[str, dict[str, Any]] = {
        "limits": {"mode": "shadow"},
        "patterns": {"on_failure": "pass", "deadline_seconds": 0.5},
    }
    write_configuration(tmp_path, models=[ModelSpec(asl=1, safeguards=changes)])
    absent: Any = None
    models = Models(load(tmp_path), Ports(absent, absent, absent, Still()))
    (serving,) = models.all()
    names = ["request_log", "kill_switch", "evidence", "access", "limits", "patterns"]
    assert [mount.name for mount in serving.pipeline.mounts] == names
    assert [mount.enforce for mount in serving.pipeline.mounts] == [True, True, True, True, False, True]
    assert [mount.block_on_failure for mount in serving.pipeline.mounts] == [True] * 5 + [False]
    assert serving.pipeline.mounts[-1].deadline == 0.5


def test_what_the_stricter_rung_enforces_blocks_when_it_fails(tmp_path: Path) -> None:
    changes: dict[str, dict[str, Any]] = {"patterns": {"mode": "shadow", "on_failure": "pass"}}
    write_configuration(tmp_path, models=[ModelSpec(asl=1, safeguards=changes)])
    path = tmp_path / "models" / "demo.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "ladder": {"stricter": {"enforce": ["patterns"]}}}))
    absent: Any = None
    (serving,) = Models(load(tmp_path), Ports(absent, absent, absent, Still())).all()
    assert serving.stricter is not None
    tried, enforced = serving.pipeline.mounts[-1], serving.stricter.mounts[-1]
    assert (tried.enforce, tried.block_on_failure) == (False, False)
    assert (enforced.enforce, enforced.block_on_failure) == (True, True)


@pytest.mark.parametrize(("deployment", "security"), [(1, 3), (3, 1)])
def test_the_higher_of_two_levels_counts(tmp_path: Path, deployment: int, security: int) -> None:
    write_configuration(tmp_path, models=[ModelSpec(asl=3)])
    path = tmp_path / "models" / "demo.yaml"
    content = json.loads(path.read_text())
    content["asl"] = {"deployment": deployment, "security": security}
    path.write_text(json.dumps(content))
    absent: Any = None
    (serving,) = Models(load(tmp_path), Ports(absent, absent, absent, Still())).all()
    assert serving.asl == 3


def test_a_model_is_judged_again_when_its_evidence_lapses_and_when_it_begins_to_hold(tmp_path: Path) -> None:
    config_now = 1_800_000_000.0
    from_day = first_moment_of(config_now)
    write_configuration(tmp_path, models=[ModelSpec(evidence_days=10)], now=from_day)
    clock = Still(config_now - 40 * 86_400)  # before the evidence was issued
    absent: Any = None
    models = Models(load(tmp_path), Ports(absent, absent, absent, clock))

    def unmet() -> tuple[str, ...]:
        found = models.find("demo")
        assert found is not None
        return found.unmet

    rows = ("L2.model_card", "L2.usage_policy")
    assert unmet() == rows
    clock.at = config_now
    assert unmet() == ()
    clock.at = first_moment((from_day + timedelta(days=10)).date()) - 1
    assert unmet() == ()
    clock.at += 1
    assert unmet() == rows
    assert models.find("nobody") is None


def first_moment_of(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def test_what_is_the_same_as_before_is_not_made_again(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec(), ModelSpec("other", upstream="http://127.0.0.1:10")])
    absent: Any = None
    ports = Ports(absent, absent, absent, Still(datetime.now(UTC).timestamp()))
    first = Models(load(tmp_path), ports)
    path = tmp_path / "models" / "other.yaml"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "upstream": {**content["upstream"], "url": "http://127.0.0.1:11"}}))
    second = Models(load(tmp_path), ports, first)
    assert second.made.classifiers["rules/test.yaml"][1] is first.made.classifiers["rules/test.yaml"][1]
    assert second.made.reaches["demo"] is first.made.reaches["demo"]
    assert second.made.reaches["other"] is not first.made.reaches["other"]
    found = second.find("demo")
    assert found is not None
    assert found.policy == load(tmp_path).digest
    rules = tmp_path / "rules" / "test.yaml"
    rules.write_text(json.dumps({**json.loads(rules.read_text()), "release": "2"}))
    third = Models(load(tmp_path), ports, second)
    assert third.made.classifiers["rules/test.yaml"][1] is not second.made.classifiers["rules/test.yaml"][1]
