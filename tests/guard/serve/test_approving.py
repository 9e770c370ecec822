"""Orders that people signed let a weaker policy in, once, and only by those whom the policy in force names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guard.approval.order import Act, Order, canonical
from guard.policy.acceptance import Asked, NotAcceptedError, NotApprovedError, accept
from guard.policy.config import Config
from guard.policy.load import load
from guard.serve.approving import SignedApprovals
from tests.guard.approval.persons import ANA, ANAS, BEN, CARA, NOW, PAGES, PERSONS, STRANGER, order
from tests.parts.configuration import ModelSpec, write_configuration, write_operators
from tests.parts.passkeys import SoftPasskey
from tests.parts.ssh_keys import SoftKey

TWO = {"ana": ANA, "ben": BEN}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_configuration(tmp_path, models=[ModelSpec(asl=3)], now=datetime.fromtimestamp(NOW, UTC))
    write_operators(tmp_path, PERSONS, datetime.fromtimestamp(NOW, UTC), webauthn=PAGES)
    return tmp_path


def edit(directory: Path, name: str, change: Callable[[Any], Any]) -> Config:
    content = json.loads((directory / name).read_text())
    change(content)
    (directory / name).write_text(json.dumps(content))
    return load(directory)


def more(directory: Path) -> Config:
    """A weaker configuration: a higher rate."""
    return edit(directory, "tiers.yaml", lambda tiers: tiers["tiers"]["slow"]["rate"].update(burst=9))


def change(before: Config | None, after: Config) -> Asked:
    return Asked(before, after, frozenset(), NOW, running=False)


def sign(directory: Path, name: str, what: Order, keys: Mapping[str, SoftKey | SoftPasskey] = TWO) -> None:
    folder = directory / "approvals"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_bytes(canonical(what))
    for person, key in keys.items():
        (folder / f"{name}.{person}.sig").write_bytes(key.sign(canonical(what)))


def weaker(before: Config, after: Config, nonce: int = 1) -> Order:
    return order(Act.WEAKER_POLICY, {"before": before.digest, "after": after.digest}, nonce=nonce)


def test_a_weaker_policy_comes_in_by_two_signatures_and_its_order_is_used_once(directory: Path) -> None:
    before, people = load(directory), SignedApprovals()
    after = more(directory)
    with pytest.raises(NotAcceptedError, match="no order in approvals/ states it"):
        accept(change(before, after), people)
    sign(directory, "x", weaker(before, after))
    found = accept(change(before, after), people)
    assert found.approved_by == ("ana (ssh)", "ben (ssh)")
    assert accept(change(before, after), people).approved_by == ("ana (ssh)", "ben (ssh)")  # asking uses nothing up
    assert found.wanted is not None
    people.use(found.wanted)
    with pytest.raises(NotAcceptedError, match="the order was used before"):
        accept(change(before, after), people)
    with pytest.raises(NotApprovedError, match="the order was used before"):
        people.use(found.wanted)


def test_a_passkey_signs_for_a_policy_too_and_the_record_says_so(directory: Path) -> None:
    before = load(directory)
    after = more(directory)
    sign(directory, "x", weaker(before, after), {"ana": ANAS, "ben": BEN})
    assert accept(change(before, after), SignedApprovals()).approved_by == ("ana (passkey)", "ben (ssh)")


@pytest.mark.parametrize("keys", [{"ana": ANA}, {"ana": ANA, "ben": STRANGER}], ids=["one", "a stranger's key"])
def test_one_person_is_not_enough(directory: Path, keys: dict[str, SoftKey]) -> None:
    before = load(directory)
    after = more(directory)
    sign(directory, "x", weaker(before, after), keys)
    with pytest.raises(NotAcceptedError, match="1 of 2 approvals"):
        accept(change(before, after), SignedApprovals())


def test_a_new_configuration_does_not_name_who_approves_it(directory: Path) -> None:
    before = load(directory)
    persons = json.loads((directory / "operators.yaml").read_text())
    persons["persons"][2]["keys"] = [STRANGER.line]
    (directory / "operators.yaml").write_text(json.dumps(persons))
    after = more(directory)
    sign(directory, "x", weaker(before, after), {"ana": ANA, "cara": STRANGER})
    with pytest.raises(NotAcceptedError, match="is not made with a key of cara"):
        accept(change(before, after), SignedApprovals())
    sign(directory, "x", weaker(before, after), {"ana": ANA, "cara": CARA})
    assert accept(change(before, after), SignedApprovals()).approved_by == ("ana (ssh)", "cara (ssh)")


def test_a_lowered_level_takes_an_order_about_the_level_besides(directory: Path) -> None:
    before = load(directory)
    after = edit(directory, "models/demo.yaml", lambda model: model["asl"].update(deployment=2))
    sign(directory, "x", weaker(before, after))
    with pytest.raises(NotAcceptedError, match="lower_level of demo: no order"):
        accept(change(before, after), SignedApprovals())
    sign(directory, "y", order(Act.LOWER_LEVEL, nonce=2))
    assert accept(change(before, after), SignedApprovals()).approved_by == ("ana (ssh)", "ben (ssh)")


def test_a_whole_configuration_is_signed_again_and_again_by_standing_orders(directory: Path) -> None:
    signed = edit(directory, "guard.yaml", lambda guard: guard.update(signed_bundle=True))
    people = SignedApprovals()
    with pytest.raises(NotAcceptedError, match=r"asks for signed_bundle: .*: bundle of configuration: no order"):
        accept(change(None, signed), people)
    sign(directory, "b", order(Act.BUNDLE, {"after": signed.digest}))
    for _ in range(2):
        assert accept(change(None, signed), people).approved_by == ("ana (ssh)", "ben (ssh)")
    other = edit(directory, "tiers.yaml", lambda tiers: tiers["tiers"]["general"]["rate"].update(burst=10))
    with pytest.raises(NotAcceptedError, match="signed_bundle"):
        accept(change(signed, other), people)


def test_a_broken_folder_of_approvals_approves_nothing(directory: Path) -> None:
    before = load(directory)
    after = more(directory)
    sign(directory, "x", weaker(before, after))
    (directory / "approvals" / "stray.txt").write_text("what is this")
    with pytest.raises(NotAcceptedError, match=r"is neither NAME\.json nor NAME\.PERSON\.sig"):
        accept(change(before, after), SignedApprovals())


ATTACKS: dict[str, Callable[[Path], Config]] = {
    "another credential under an old key": lambda directory: edit(
        directory, "tiers.yaml", lambda tiers: tiers["keys"][0].update(digest="b" * 64)
    ),
    "another credential of a responder": lambda directory: edit(
        directory, "guard.yaml", lambda guard: guard["admin"]["tokens"][0].update(digest="b" * 64)
    ),
    "other people to approve": lambda directory: edit(
        directory, "operators.yaml", lambda file: file["persons"][0].update(keys=[STRANGER.line])
    ),
    "the same server by another spelling": lambda directory: another_model(directory, "http://2130706433:9/v1"),
}


def another_model(directory: Path, url: str) -> Config:
    """A second, laxer alias, granted to nobody."""
    model = json.loads((directory / "models" / "demo.yaml").read_text())
    model.update(model="lax", asl={"deployment": 1, "security": 1})
    model["upstream"]["url"] = url
    (directory / "models" / "lax.yaml").write_text(json.dumps(model))
    return load(directory)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_change_that_looks_harmless_and_is_not_takes_two_people(directory: Path, attack: str) -> None:
    before = load(directory)
    after = ATTACKS[attack](directory)
    with pytest.raises(NotAcceptedError, match="it takes the approval of two people"):
        accept(change(before, after), SignedApprovals())


def test_the_people_who_approve_are_not_replaced_once_the_strict_model_is_gone(directory: Path) -> None:
    before = load(directory)
    for tier in ("general", "slow"):
        content = json.loads((directory / "tiers.yaml").read_text())
        del content["tiers"][tier]["models"]["demo"]
        (directory / "tiers.yaml").write_text(json.dumps(content))
    write_small(directory)
    (directory / "models" / "demo.yaml").unlink()
    without = load(directory)
    assert accept(change(before, without), SignedApprovals()).approved_by == ()
    others = ATTACKS["other people to approve"](directory)
    with pytest.raises(NotAcceptedError, match="operator ana"):
        accept(change(without, others), SignedApprovals())


def write_small(directory: Path) -> None:
    """A model at ASL-2 on another server."""
    model = json.loads((directory / "models" / "demo.yaml").read_text())
    model.update(model="small", asl={"deployment": 2, "security": 2})
    model["upstream"]["url"] = "http://10.9.9.9:1"
    (directory / "models" / "small.yaml").write_text(json.dumps(model))


def test_a_threshold_of_an_own_standard_is_not_weakened_unseen(directory: Path) -> None:
    row = {"id": "T", "axis": "deployment", "level": 1, "requires": "it", "source": "us"}
    found = {"name": "T-1", "capability": "it", "source": "us", "demands": {"deployment": 4}}
    standard = {"name": "house", "version": "1", "title": "t", "source": "s", "thresholds": [found],
                "rows": [row | {"check": "thresholds_within_levels"}]}  # fmt: skip
    (directory / "standards").mkdir()
    (directory / "standards" / "house.yaml").write_text(json.dumps(standard))
    before = edit(directory, "models/demo.yaml", lambda file: file.update(framework={"name": "house", "version": "1"}))
    found["demands"] = {"deployment": 3}
    (directory / "standards" / "house.yaml").write_text(json.dumps(standard))
    with pytest.raises(NotAcceptedError, match=r"framework\.thresholds: is weaker"):
        accept(change(before, load(directory)), SignedApprovals())
