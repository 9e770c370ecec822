"""``guard approval``: what it prints is what approvers run, and what they signed is what is told."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from guard.approval.port import Approvals, used_orders
from guard.approval.verify import NotApproved
from guard.cli import main
from guard.policy.fingerprint import of_standard
from guard.policy.load import builtin_standards, load
from guard.policy.lowering import lowerings
from tests.parts import ssh_keygen
from tests.parts.configuration import ModelSpec, write_configuration, write_operators
from tests.parts.debian import command

NOW = datetime.now(UTC)
HOW = {"ana": ("-t", "ed25519"), "ben": ("-t", "ecdsa", "-b", "384"), "cara": ("-t", "rsa", "-b", "3072")}
ROLES = {"ana": "approver", "ben": "responsible_scaling_officer", "cara": "approver", "vic": "viewer"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key files of the real ssh-keygen, named after their persons."""
    folder = tmp_path_factory.mktemp("keys of people")
    for name in ROLES:
        ssh_keygen.make_key(folder / name, *HOW.get(name, ("-t", "ed25519")))
    return folder


@pytest.fixture
def old(tmp_path: Path, keys: Path) -> Path:
    directory = tmp_path / "in force"
    write_configuration(directory, now=NOW, models=[ModelSpec(asl=3)])
    persons = [
        {
            "id": name,
            "name": name.title(),
            "roles": [role],
            "keys": [(keys / f"{name}.pub").read_text().strip()],
            "expires": str((NOW + timedelta(days=30)).date()),
        }
        for name, role in ROLES.items()
    ]
    write_operators(directory, persons, NOW)
    return directory


@pytest.fixture
def new(old: Path, tmp_path: Path) -> Path:
    directory = Path(shutil.copytree(old, tmp_path / "next"))
    edit(directory / "models" / "demo.yaml", '"security": 3', '"security": 2')
    return directory


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> str:
    capsys.readouterr()
    assert main([str(each) for each in arguments]) == code
    return capsys.readouterr().out


def sign(printed: str, keys: Path, *people: str) -> None:
    """Run what was printed, as each of these people does: only KEY and PERSON are theirs to fill in."""
    lines = [line for line in printed.splitlines() if line.startswith("  ")]
    ssh_keygen_there = Path(command("ssh-keygen", "openssh-client")).parent
    for person in people:
        script = "\n".join(lines).replace(" KEY ", f" '{keys / person}' ").replace(".PERSON.", f".{person}.")
        whole = ["/bin/sh", "-e", "-c", f"PATH=$PATH:{ssh_keygen_there}\n{script}"]
        subprocess.run(whole, check=True, timeout=60, capture_output=True)


def check(capsys: pytest.CaptureFixture[str], directory: Path, code: int, *more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        run(capsys, "approval", "check", "--config", directory, "--json", *more, code=code)
    )
    return found


def test_a_weaker_change_goes_from_the_order_over_two_signatures_to_its_use(
    old: Path, new: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run(capsys, "approval", "new", "change", old, new, "--reason", "RISK-17: found safe")
    orders = re.findall(r"^(\S.*/(?:weaker-policy|lower-level)-[0-9a-f]{8}\.json): ", printed, re.MULTILINE)
    assert len(orders) == 2
    for path in orders:
        assert f"  ssh-keygen -Y sign -f KEY -n order@asl-guard {path}\n" in printed
    assert "PERSON your id: ana, ben, cara\n" in printed
    looks = [shlex.split(line)[1:] for line in printed.splitlines() if line.startswith("guard ")]
    assert looks == [["diff", str(old), str(new)], ["approval", "check", "--in-force", str(old), "--config", str(new)]]
    assert [main(look) for look in looks] == [3, 1]

    assert [each["missing"] for each in check(capsys, new, 1)] == ["2 more of: ana, ben, cara"] * 2
    sign(printed, keys, "ben")
    assert [each["missing"] for each in check(capsys, new, 1)] == ["1 more of: ana, cara"] * 2
    sign(printed, keys, "vic")
    assert [each["status"] for each in check(capsys, new, 1)] == ["missing"] * 2
    sign(printed, keys, "cara")
    found = check(capsys, new, 0)
    assert [(each["act"], each["status"], each["people"]) for each in found] == [
        ("lower_level", "approved", ["ben", "cara"]),
        ("weaker_policy", "approved", ["ben", "cara"]),
    ]
    assert all("vic has no role" in each["refused"][0] for each in found)

    before, after = load(old), load(new)
    approvals = Approvals(before.operators, new / "approvals", used_orders(before))
    at = datetime.now(UTC).timestamp()
    assert approvals.weaker_change(before.digest, after.digest, at, lowerings(before, after)) == ("ben", "cara")
    assert [each["status"] for each in check(capsys, new, 0, "--in-force", str(old))] == ["used"] * 2
    with pytest.raises(NotApproved, match="used before"):
        approvals.weaker_change(before.digest, after.digest, at)


def test_the_text_says_who_what_until_when_and_what_does_not_count(
    old: Path, new: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sign(run(capsys, "approval", "new", "change", old, new, "--reason", "RISK-17"), keys, "ana", "vic")
    text = run(capsys, "approval", "check", "--config", new, code=1)
    name = re.search(r"approvals/(lower-level-[0-9a-f]{8})\.json", text)
    assert name is not None
    order = json.loads((new / "approvals" / f"{name[1]}.json").read_text())
    assert text.startswith(
        f"approvals/{name[1]}.json: MISSING by ana (ssh), until {order['expires']}\n"
        "  lower_level: model demo: deployment 3, security 3 -> deployment 3, security 2 (here: deployment 3, "
        "security 2)\n"
        "  reason: RISK-17\n"
        "  missing: 1 more of: ben, cara\n"
        f"  does not count: approvals/{name[1]}.vic.sig does not count: vic has no role that may approve this\n"
        "approvals/weaker-policy-"
    )
    assert f"  weaker_policy: this configuration, in place of {load(old).digest[:12]}…\n" in text


def test_a_change_after_the_order_was_written_is_told(
    old: Path, new: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sign(run(capsys, "approval", "new", "change", old, new, "--reason", "x"), keys, "ana", "ben")
    edit(new / "tiers.yaml", '"burst": 1\n', '"burst": 2\n')
    level, policy = check(capsys, new, 1)
    assert level["status"] == "approved"
    assert (policy["status"], policy["people"]) == ("elsewhere", ["ana", "ben"])


def test_the_persons_of_the_configuration_in_force_judge_its_replacement(
    old: Path, new: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(new / "operators.yaml", '"viewer"', '"approver"')
    printed = run(capsys, "approval", "new", "change", old, new, "--reason", "x")
    assert "PERSON your id: ana, ben, cara\n" in printed
    sign(printed, keys, "ana", "vic")
    assert [each["status"] for each in check(capsys, new, 0)] == ["approved"] * 2
    in_force = ("--in-force", str(old))
    assert [each["missing"] for each in check(capsys, new, 1, *in_force)] == ["1 more of: ben, cara"] * 2
    sign(printed, keys, "ben")
    check(capsys, new, 0, *in_force)
    text = run(capsys, "approval", "check", "--config", new, *in_force)
    assert "  weaker_policy: this configuration, in place of the one in force\n" in text
    edit(old / "guard.yaml", '"workers": 1', '"workers": 2')
    assert [each["status"] for each in check(capsys, new, 1, *in_force)] == ["approved", "elsewhere"]
    assert [each["status"] for each in check(capsys, new, 1, "--in-force", str(new))] == ["elsewhere"] * 2


def own_standard(directory: Path) -> None:
    """Put a standard of the operator's own into a configuration."""
    text = (builtin_standards() / "example-internal.yaml").read_text()
    (directory / "standards").mkdir()
    (directory / "standards" / "ours.yaml").write_text(text.replace("name: example-internal", "name: ours"))


def test_a_built_in_standard_is_no_profile(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["approval", "new", "profile", "example-internal", "1", "--config", str(old), "--reason", "x"]
    assert main(words) == 2
    assert "example-internal 1 is built in; a profile is your own" in capsys.readouterr().err


def test_a_profile_and_a_bundle_are_approved_and_stay_so(
    old: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--config", old, "--reason", "x")
    own_standard(old)
    profile = run(capsys, "approval", "new", "profile", "ours", "1", *arguments, "--days", "30")
    bundle = run(capsys, "approval", "new", "bundle", *arguments)
    sign(profile + bundle, keys, "ana", "ben")
    config = load(old)
    approvals, at = Approvals.of(config), datetime.now(UTC).timestamp()
    for _ in range(2):
        assert approvals.bundle(config.digest, at).people == ("ana", "ben")
        assert approvals.profile(of_standard(config.standards["ours", "1"]), at) == ("ana", "ben")
    text = run(capsys, "approval", "check", "--config", old)
    assert "  custom_profile: standard ours 1\n" in text
    assert "  bundle: this configuration\n" in text
    later = str((NOW + timedelta(days=29)).date())
    assert [each["status"] for each in check(capsys, old, 0, "--at", later)] == ["approved", "approved"]
    lapsed = str((NOW + timedelta(days=35)).date())  # the profile's order has expired, and for the bundle the persons
    found = check(capsys, old, 1, "--at", lapsed)
    assert [(each["status"], each["missing"]) for each in found] == [
        ("missing", "2 more of: nobody"),
        ("expired", f"the order has expired at {found[1]['expires']}"),
    ]


def test_an_order_that_holds_later_is_told(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "approval", "new", "bundle", "--config", old, "--reason", "x")
    yesterday = str((NOW - timedelta(days=1)).date())
    assert [each["status"] for each in check(capsys, old, 1, "--at", yesterday)] == ["early"]


def test_a_changed_order_and_a_stray_file_are_invalid(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "approval", "new", "change", old, new, "--reason", "x")
    (path,) = (new / "approvals").glob("weaker-policy-*.json")
    path.write_text(path.read_text().replace('"x"', '"y "').replace(": ", ":"))
    (new / "approvals" / "notes.txt").write_text("")
    run(capsys, "approval", "check", "--config", new, code=2)
    main(["approval", "check", "--config", str(new)])
    assert capsys.readouterr().err == (
        "approvals/notes.txt: is neither NAME.json nor NAME.PERSON.sig\n"
        f"approvals/{path.name}: order: not in the form that `guard approval new` writes; sign that file as it is\n"
    )


def test_what_is_not_weaker_needs_no_order(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for pair in ((old, old), (new, old)):
        assert run(capsys, "approval", "new", "change", *pair, "--reason", "x", code=1) == ""
    assert not (old / "approvals").exists()


def test_a_change_that_lowers_no_level_is_one_order(old: Path, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(old / "models" / "demo.yaml", new / "models")
    edit(new / "tiers.yaml", '"burst": 1\n', '"burst": 2\n')
    run(capsys, "approval", "new", "change", old, new, "--reason", "x")
    (path,) = (new / "approvals").iterdir()
    order = json.loads(path.read_text())
    assert (order["act"], order["before"], order["after"]) == ("weaker_policy", load(old).digest, load(new).digest)


def test_without_orders_there_is_nothing_to_check(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "approval", "check", "--config", old) == "there is no order in approvals/\n"
    assert check(capsys, old, 0) == []


def test_without_operators_an_order_is_written_and_nobody_can_approve_it(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (old / "operators.yaml").unlink()
    assert main(["approval", "new", "bundle", "--config", str(old), "--reason", "x"]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("PERSON your id: nobody\n")
    assert err == "guard: operators.yaml names fewer than 2 persons who may approve this\n"
    (found,) = check(capsys, old, 1)
    assert found["missing"] == "operators.yaml is missing, so nobody is known who could approve"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--days", "0"], "--days: 1 to 366"),
        (["--days", "367"], "--days: 1 to 366"),
        (["--reason", ""], "--reason: 1 to 500 printable characters"),
        (["--reason", "two\nlines"], "--reason: 1 to 500 printable characters"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_written(
    arguments: list[str], words: str, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["approval", "new", "bundle", "--config", str(old), "--reason", "x", *arguments])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
    assert not (old / "approvals").exists()


def test_an_unknown_standard_is_named_with_those_there_are(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approval", "new", "profile", "own", "1", "--config", str(old), "--reason", "x"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("guard: there is no standard own 1; there are: anthropic-rsp 2.2, ")


def test_a_broken_side_of_a_change_is_named_with_its_directory(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (new / "tiers.yaml").unlink()
    assert main(["approval", "new", "change", str(old), str(new), "--reason", "x"]) == 2
    assert f"{new}/tiers.yaml: is missing\n" in capsys.readouterr().err
