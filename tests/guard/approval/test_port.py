"""What the guard asks: changes are approved once, standing statements again and again, and never by anything else."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guard.approval.order import Act, Order, canonical
from guard.approval.port import Approvals
from guard.approval.used import UsedOrders
from guard.approval.verify import NotApproved
from guard.policy.load import load
from guard.policy.lowering import Lowering, lowerings
from guard.policy.standard import Levels
from tests.guard.approval.persons import ANA, BEN, CARA, DAY, NEW, NOW, OLD, OPERATORS, PAGES, PERSONS, order
from tests.parts.configuration import ModelSpec, write_configuration, write_operators
from tests.parts.ssh_keys import SoftKey

DOWN = Lowering("demo", Levels(deployment=3, security=3), Levels(deployment=2, security=3))
OTHER = Lowering("other", Levels(deployment=2, security=2), Levels(deployment=1, security=1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "approvals").mkdir()
    return tmp_path / "approvals"


@pytest.fixture
def approvals(folder: Path, tmp_path: Path) -> Approvals:
    return Approvals(OPERATORS, folder, UsedOrders(tmp_path / "used"))


def put(folder: Path, name: str, what: Order, keys: dict[str, SoftKey]) -> None:
    (folder / f"{name}.json").write_bytes(canonical(what))
    for person, key in keys.items():
        (folder / f"{name}.{person}.sig").write_bytes(key.sign(canonical(what)))


TWO = {"ana": ANA, "ben": BEN}


def test_a_weaker_change_is_approved_once(folder: Path, approvals: Approvals) -> None:
    put(folder, "x", order(), TWO)
    assert approvals.weaker_change(OLD, NEW, NOW) == ("ana", "ben")
    with pytest.raises(NotApproved) as caught:
        approvals.weaker_change(OLD, NEW, NOW + 1)
    assert str(caught.value) == "weaker_policy of configuration: approvals/x.json: the order was used before"


def test_going_back_and_forth_takes_another_order(folder: Path, approvals: Approvals) -> None:
    put(folder, "x", order(), TWO)
    put(folder, "y", order(nonce=2), {"ana": ANA, "cara": CARA})
    assert approvals.weaker_change(OLD, NEW, NOW) == ("ana", "ben")
    assert approvals.weaker_change(OLD, NEW, NOW) == ("ana", "cara")
    with pytest.raises(NotApproved, match=r"x\.json: the order was used before; .*y\.json: the order was used before"):
        approvals.weaker_change(OLD, NEW, NOW)


def test_no_order_no_approval(approvals: Approvals) -> None:
    with pytest.raises(NotApproved) as caught:
        approvals.weaker_change(OLD, NEW, NOW)
    assert str(caught.value) == "weaker_policy of configuration: no order in approvals/ states it"


def test_an_order_for_the_way_back_or_for_another_change_is_none(folder: Path, approvals: Approvals) -> None:
    put(folder, "back", order(changes={"before": NEW, "after": OLD}), TWO)
    put(folder, "bundle", order(Act.BUNDLE, nonce=2), TWO)
    with pytest.raises(NotApproved, match="no order"):
        approvals.weaker_change(OLD, NEW, NOW)


def test_an_order_that_lacks_a_signature_is_not_used_up(folder: Path, approvals: Approvals) -> None:
    put(folder, "x", order(), {"ana": ANA})
    with pytest.raises(NotApproved, match=r"1 of 2 approvals \(ana\)"):
        approvals.weaker_change(OLD, NEW, NOW)
    put(folder, "x", order(), TWO)
    assert approvals.weaker_change(OLD, NEW, NOW) == ("ana", "ben")


def test_an_expired_order_beside_a_good_one_does_no_harm(folder: Path, approvals: Approvals) -> None:
    put(folder, "a", order(days=1), TWO)
    put(folder, "b", order(nonce=2), TWO)
    assert approvals.weaker_change(OLD, NEW, NOW + 2 * DAY) == ("ana", "ben")


def test_a_lowered_level_takes_an_order_of_its_own(folder: Path, approvals: Approvals) -> None:
    put(folder, "x", order(), TWO)
    with pytest.raises(NotApproved, match="lower_level of demo: no order"):
        approvals.weaker_change(OLD, NEW, NOW, [DOWN])
    put(folder, "y", order(Act.LOWER_LEVEL, nonce=2), {"ana": ANA, "cara": CARA})
    # The first refusal used nothing up.
    assert approvals.weaker_change(OLD, NEW, NOW, [DOWN]) == ("ana", "ben", "cara")
    with pytest.raises(NotApproved, match="used before"):
        approvals.lower_levels([DOWN], NOW)


def test_levels_alone_are_approved_model_by_model(folder: Path, approvals: Approvals) -> None:
    put(folder, "x", order(Act.LOWER_LEVEL), TWO)
    with pytest.raises(NotApproved, match="lower_level of other: no order"):
        approvals.lower_levels([DOWN, OTHER], NOW)
    assert approvals.lower_levels([DOWN], NOW) == ("ana", "ben")


def test_an_order_for_other_levels_is_none(folder: Path, approvals: Approvals) -> None:
    put(folder, "x", order(Act.LOWER_LEVEL, {"after": "deployment 1, security 3"}), TWO)
    with pytest.raises(NotApproved, match="no order"):
        approvals.lower_levels([DOWN], NOW)


def test_standing_statements_are_asked_again_and_again_until_they_expire(folder: Path, approvals: Approvals) -> None:
    put(folder, "p", order(Act.CUSTOM_PROFILE, days=366), TWO)
    put(folder, "b", order(Act.BUNDLE, days=30, nonce=2), TWO)
    for at in (NOW, NOW, NOW + DAY):
        assert approvals.profile(NEW, at) == ("ana", "ben")
        assert approvals.bundle(NEW, at).people == ("ana", "ben")
    with pytest.raises(NotApproved, match="expired"):
        approvals.bundle(NEW, NOW + 30 * DAY)
    for ask in (approvals.profile, approvals.bundle):
        with pytest.raises(NotApproved, match="no order"):
            ask(OLD, NOW)


def test_a_folder_that_breaks_the_layout_approves_nothing(folder: Path, approvals: Approvals) -> None:
    put(folder, "x", order(), TWO)
    (folder / "stray").write_text("")
    with pytest.raises(NotApproved, match="approvals/stray: is neither"):
        approvals.weaker_change(OLD, NEW, NOW)


def test_what_cannot_be_recorded_as_used_is_not_approved(folder: Path, tmp_path: Path) -> None:
    put(folder, "x", order(), TWO)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotApproved, match=r"cannot be seen \(Not a directory\)"):
        Approvals(OPERATORS, folder, UsedOrders(tmp_path / "file")).weaker_change(OLD, NEW, NOW)
    with pytest.raises(NotApproved, match=r"cannot be recorded \("):
        Approvals(OPERATORS, folder, UsedOrders(Path("/proc/nothing/here"))).weaker_change(OLD, NEW, NOW)


def test_without_operators_nothing_is_approved(folder: Path, tmp_path: Path) -> None:
    put(folder, "x", order(), TWO)
    with pytest.raises(NotApproved, match=r"operators\.yaml is missing"):
        Approvals(None, folder, UsedOrders(tmp_path / "used")).weaker_change(OLD, NEW, NOW)


def test_those_of_a_configuration_are_its_own_persons_folder_and_state(tmp_path: Path) -> None:
    directory = tmp_path / "config"
    write_configuration(directory, now=datetime(2026, 6, 1, tzinfo=UTC))
    write_operators(directory, PERSONS, webauthn=PAGES)
    (directory / "approvals").mkdir()
    config = load(directory)
    put(directory / "approvals", "x", order(changes={"before": config.digest}), TWO)
    assert load(directory).digest == config.digest  # the folder is no part of it
    assert Approvals.of(config).weaker_change(config.digest, NEW, NOW) == ("ana", "ben")
    assert [path.name for path in (directory / "var" / "state" / "approvals").iterdir()] == [order().nonce]


def test_who_is_named_by_the_new_configuration_does_not_approve_it(tmp_path: Path) -> None:
    old = tmp_path / "old"
    write_configuration(old, now=datetime(2026, 6, 1, tzinfo=UTC))
    shutil.copytree(old, tmp_path / "new")
    write_operators(tmp_path / "new", PERSONS, webauthn=PAGES)
    (tmp_path / "new" / "approvals").mkdir()
    before, after = load(old), load(tmp_path / "new")
    put(tmp_path / "new" / "approvals", "x", order(changes={"before": before.digest, "after": after.digest}), TWO)
    in_force = Approvals(before.operators, tmp_path / "new" / "approvals", UsedOrders(tmp_path / "used"))
    with pytest.raises(NotApproved, match=r"operators\.yaml is missing"):
        in_force.weaker_change(before.digest, after.digest, NOW)


def test_a_lowering_is_a_lower_level_on_some_axis_also_of_the_same_weights_under_a_new_name(tmp_path: Path) -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    write_configuration(
        tmp_path / "old", now=now, models=[ModelSpec("a", asl=3), ModelSpec("b", asl=2), ModelSpec("c")]
    )
    write_configuration(
        tmp_path / "new", now=now, models=[ModelSpec("a", asl=2), ModelSpec("b", asl=3), ModelSpec("d")]
    )
    old, new = load(tmp_path / "old"), load(tmp_path / "new")
    assert lowerings(old, new) == (
        Lowering("a", old.models["a"].asl, new.models["a"].asl),
        Lowering("d", old.models["a"].asl, new.models["d"].asl),
    )
    assert lowerings(old, old) == ()
