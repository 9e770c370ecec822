"""Who may read, hold and destroy texts from the command line: by role, where people are named, and never unnamed."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from guard.cli import main
from guard.cli.audit_access import RefusedError, person
from guard.policy.bundle import read_bundle
from guard.policy.config import Config
from guard.policy.load import load
from guard.policy.roles import NEVER_UNNAMED, Act, OperatorRole, may
from guard.state.snapshots import Current, Snapshots
from tests.parts.configuration import write_configuration, write_operators, write_people

NOT_BEN = "no role of ben in operators.yaml may do this; it takes investigator"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A configuration with a person of each role by its name, and an investigator of days gone by."""
    write_configuration(tmp_path)
    people = [(role.value.replace("_", "-"), role, "2999-01-01") for role in OperatorRole]
    people.append(("late", OperatorRole.INVESTIGATOR, "2020-01-01"))
    persons = [
        {"id": who, "name": who, "roles": [role], "keys": [], "expires": end}
        for who, role, end in people
        if not may(role, Act.APPROVE)
    ]
    write_operators(tmp_path, persons)
    return tmp_path


@pytest.fixture
def config(directory: Path) -> Config:
    return load(directory)


def asked(who: str | None = "somebody", reason: str | None = "case 7") -> Namespace:
    return Namespace(who=who, reason=reason)


@pytest.mark.parametrize("missing", [asked(who=None), asked(reason=None)])
def test_nobody_acts_without_a_name_and_a_reason(missing: Namespace, config: Config) -> None:
    with pytest.raises(RefusedError, match=r"^to read kept prompts .* takes --who NAME and --reason TEXT$"):
        person(config, missing, Act.READ_TEXTS)


@pytest.mark.parametrize("act", Act)
def test_without_operators_any_name_is_taken_and_goes_on_record_but_for_texts_and_why(act: Act, tmp_path: Path) -> None:
    write_configuration(tmp_path)
    if act in NEVER_UNNAMED:
        with pytest.raises(RefusedError, match=r"^there is no operators\.yaml in force, and this takes "):
            person(load(tmp_path), asked(), act)
    else:
        assert person(load(tmp_path), asked(), act).named.startswith("somebody (uid ")


@pytest.mark.parametrize("act", Act)
@pytest.mark.parametrize("role", [role for role in OperatorRole if not may(role, Act.APPROVE)])
def test_where_people_are_named_the_role_decides(role: OperatorRole, act: Act, config: Config) -> None:
    who = asked(role.value.replace("_", "-"))
    if may(role, act):
        assert person(config, who, act).reason == "case 7"
    else:
        with pytest.raises(RefusedError, match=r"^--who: no role of .* may do this; it takes "):
            person(config, who, act)


def test_who_is_not_named_or_has_expired_is_nobody(config: Config) -> None:
    with pytest.raises(RefusedError, match=r"^--who: is nobody in operators.yaml, and this takes inv"):
        person(config, asked("eve"), Act.READ_TEXTS)
    with pytest.raises(RefusedError, match=r"^--who: the entry of late in operators.yaml has expired$"):
        person(config, asked("late"), Act.READ_TEXTS)


DAYS = ("--since", "2020-01-01", "--until", "2020-01-02")
COMMANDS = [
    (("show", "a-request", "--content"), "auditor", "investigator"),
    (("tail", "--content"), "auditor", "investigator"),
    (("search", "--content"), "responder", "investigator"),
    (("export", "--out", "out", "--content"), "auditor", "investigator"),
    (("export", "--out", "out"), "operator", "responder, safeguards_engineer, investigator, auditor or "),
    (("hold", "--everything"), "operator", "investigator, auditor or responsible_scaling_officer"),
    (("hold", "--release", "hold-1"), "investigator", "responsible_scaling_officer"),
    (("shred", "--everybody", *DAYS), "investigator", "responsible_scaling_officer"),
]


@pytest.mark.parametrize(("command", "who", "takes"), COMMANDS)
def test_every_command_asks_and_does_nothing_for_another_role(
    command: tuple[str, ...],
    who: str,
    takes: str,
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(directory)
    (directory / "var" / "audit").mkdir(parents=True)
    assert main(["audit", *command, "--who", who, "--reason", "x", "--config", str(directory)]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"guard: --who: no role of {who} in operators.yaml may do this; it takes {takes}")
    assert list((directory / "var" / "audit").iterdir()) == []
    assert not (directory / "out").exists()


def test_nobody_gives_himself_the_role_by_a_file_that_is_not_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    (tmp_path / "var" / "audit").mkdir(parents=True)
    write_people(tmp_path, {"ana": ["investigator"], "ben": ["auditor"]})
    bundle, snapshots = read_bundle(tmp_path), Snapshots(tmp_path / "var" / "state")
    place = snapshots.put(bundle.digest, bundle.files)
    snapshots.choose(Current(bundle.digest, 5.0, "start", frozenset()))
    write_people(tmp_path, {"ben": ["investigator"]})

    def tail(who: str) -> tuple[int, str]:
        asking = ["audit", "tail", "--content", "--who", who, "--reason", "x", "--config", str(tmp_path)]
        return main(asking), capsys.readouterr().err

    assert tail("ben") == (4, f"guard: --who: {NOT_BEN}\n")
    assert tail("ana") == (0, "")
    (place / "operators.yaml").write_bytes((tmp_path / "operators.yaml").read_bytes())
    assert tail("ben") == (
        4,
        f"guard: it cannot be known who may do this: {place} is not the policy that is in force\n",
    )
    (tmp_path / "var" / "state" / "policy" / "current").write_text("damaged")
    assert tail("ana")[0] == 4
