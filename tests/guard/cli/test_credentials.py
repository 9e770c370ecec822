"""``guard key new`` and ``guard token new``: what they print works when pasted, and nothing else is printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.cli import demo, main
from guard.credentials import digest
from guard.policy.load import load, read_secret
from tests.parts.configuration import write_configuration, write_operators

NEW = {"key": ["--owner", "an owner", "--tier", "general"], "token": ["--person", "dan", "--role", "responder"]}


@dataclass(frozen=True, slots=True)
class Made:
    """The secret that was printed, and the entry."""

    secret: str
    entry: str


def make(capsys: pytest.CaptureFixture[str], config: Path, command: str, *arguments: str) -> Made:
    capsys.readouterr()
    assert main([command, "new", *arguments, "--config", str(config)]) == 0
    out, err = capsys.readouterr()
    head, _, entry = err.partition(":\n")
    assert "not stored and not shown again" in head
    assert out.count("\n") == 1
    return Made(out.strip(), entry)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example as `guard demo` sets it up: files as people write them."""
    demo.prepare(tmp_path, {"data": 8080, "admin": 9090, "model": 8081}, datetime.now(UTC))
    return tmp_path


def paste(config: Path, command: str, entry: str) -> None:
    """Put an entry where the command says."""
    file = config / ("tiers.yaml" if command == "key" else "guard.yaml")
    lines = file.read_text().splitlines(keepends=True)
    start = next(
        n for n, line in enumerate(lines) if line.strip().startswith("keys:" if command == "key" else "tokens:")
    )
    file.write_text("".join([*lines[: start + 1], entry, *lines[start + 1 :]]))


@pytest.mark.parametrize("command", NEW)
def test_the_printed_entry_holds_the_printed_credential_once_pasted(
    command: str, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(capsys, example, command, "fresh", *NEW[command])
    paste(example, command, made.entry)
    config = load(example)
    entries = {each.id: each for each in (config.tiers.keys if command == "key" else config.guard.admin.tokens)}
    pepper = read_secret(config.guard.keys.pepper, config.directory).encode()
    assert entries["fresh"].digest == digest(pepper, made.secret.encode())
    assert entries["fresh"].expires == (datetime.now(UTC) + timedelta(days=91)).date()
    assert made.secret not in made.entry
    assert re.fullmatch(r"(sk|at)-guard-fresh-[A-Za-z0-9_-]{43}", made.secret)
    if command == "key":
        assert (config.tiers.keys[0].owner, config.tiers.keys[0].tier) == ("an owner", "general")
    else:
        assert (config.guard.admin.tokens[0].person, config.guard.admin.tokens[0].role) == ("dan", "responder")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    owner=st.one_of(st.text(max_size=260), st.sampled_from(["yes", "null", "a: b", "- a", "#x", "007", "'", '"', "{}"]))
)
def test_any_owner_is_either_refused_or_read_back_as_it_was_given(
    owner: str, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (example / "tiers.yaml").read_text()
    capsys.readouterr()
    code = main(["key", "new", "fresh", f"--owner={owner}", "--tier", "general", "--config", str(example)])
    err = capsys.readouterr().err
    if code == 2:
        assert err.startswith("guard: who answers for it")
        return
    paste(example, "key", err.partition(":\n")[2])
    try:
        assert load(example).tiers.keys[0].owner == owner
    finally:
        (example / "tiers.yaml").write_text(before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["key", "new", "app", *NEW["key"]], "app is taken"),
        (["token", "new", "viewer", *NEW["token"]], "viewer is taken"),
        (["key", "new", "../x", *NEW["key"]], "ID: "),
        (["key", "new", "a b", *NEW["key"]], "ID: "),
        (["key", "new", "fresh\n", *NEW["key"]], "ID: "),
        (["key", "new", "fresh", "--owner", "x", "--tier", "gold"], "there are: general, nothing, slow"),
        (["key", "new", "fresh", *NEW["key"], "--days", "0"], "--days: 1 to 3650"),
        (["key", "new", "fresh", *NEW["key"], "--days", "99999999"], "--days: 1 to 3650"),
        (["key", "new", "fresh", "--owner", "", "--tier", "general"], "who answers for it"),
        (["token", "new", "fresh", "--person", "\x1b[2J"], "who answers for it"),
    ],
)
def test_what_no_entry_could_hold_is_refused_before_a_secret_is_made(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    assert main([*arguments, "--config", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_without_the_pepper_no_credential_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path)
    (tmp_path / "secrets" / "pepper").chmod(0o644)
    assert main(["key", "new", "fresh", *NEW["key"], "--config", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "secrets/pepper: is open to every user" in err


def test_two_credentials_are_never_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_configuration(tmp_path)
    assert len({make(capsys, tmp_path, "key", "fresh", *NEW["key"]).secret for _ in range(5)}) == 5


def test_where_people_are_named_a_token_is_only_made_for_one_of_them_in_a_role_of_hers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    ana = {"id": "ana", "name": "Ana", "roles": ["auditor", "responder"], "keys": [], "expires": "2999-01-01"}
    write_operators(tmp_path, [ana])
    wrong = {
        ("Ana", "auditor"): "--person: is the id of nobody in operators.yaml; there are: ana, ",
        ("ana", "viewer"): "--role: is no role of ana in operators.yaml, which says: auditor, responder",
    }
    for (who, role), words in wrong.items():
        assert main(["token", "new", "x", "--person", who, "--role", role, "--config", str(tmp_path)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"guard: {words}")
    assert "role: auditor" in make(capsys, tmp_path, "token", "x", "--person", "ana", "--role", "auditor").entry
