"""The switchboard's own rules: whose stops count as in force, whose names fit, and what is left on a full disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path

import pytest

from guard.admin.switchboard import Resumed, ResumeRefusedError, Switchboard
from guard.policy.load import load
from guard.state.directory import OrderDirectory, Reading
from guard.state.issuer import genuine, own_issuer
from guard.state.merge import mode_of
from guard.state.orders import MAX_WHO, Approver, Source, StopOrder, decode
from guard.state.scope import OrderError
from guard.state.served import UnknownScopeError
from safeguards.mode import RUNGS, Mode
from tests.guard.approval.persons import ANA, BEN, NOW, OPERATORS
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.ladders import write_ladder
from tests.parts.ssh_keys import SoftKey

Boards = Callable[..., Switchboard]


@pytest.fixture
def board_of(tmp_path: Path) -> Boards:
    def make(*models: ModelSpec) -> Switchboard:
        write_configuration(tmp_path, models=models or [ModelSpec("demo", 2)])
        state = tmp_path / "var" / "state"
        numbers = iter(range(1, 1_000))
        return Switchboard(
            load(tmp_path), OrderDirectory(state), state, lambda: 1_800_000_000.0, lambda n: next(numbers).to_bytes(n)
        )

    return make


def scopes(board: Switchboard) -> list[tuple[str, bool]]:
    return [(str(each.stop.scope), each.lifted_below) for each in board.in_force()]


def test_a_lifted_stop_is_over_where_every_model_is_below_asl_3(board_of: Boards) -> None:
    board = board_of(ModelSpec("demo", 2))
    for scope in ("all", "model:demo", "tier:general", "key:app"):
        board.stop(scope, "", "ana", Source.CLI)
    assert len(board.in_force()) == 4
    for scope in ("all", "model:demo", "tier:general", "key:app"):
        board.resume(scope, "done", "ana", Source.CLI)
    assert board.in_force() == ()
    assert board.models_held() == {}


def test_a_lifted_stop_goes_on_holding_only_where_it_covers_an_asl_3_model(board_of: Boards) -> None:
    board = board_of(ModelSpec("demo", 2), ModelSpec("strict", 3))
    for scope in ("all", "model:demo", "tier:general", "key:app", "tier:nothing", "key:stranger"):
        board.stop(scope, "", "ana", Source.CLI)
    for scope in ("all", "model:demo", "tier:general", "key:app"):
        board.resume(scope, "done", "ana", Source.CLI)
    assert scopes(board) == [
        ("all", True),
        ("tier:general", True),
        ("key:app", True),
        ("tier:nothing", False),
        ("key:stranger", False),
    ]
    assert list(board.models_held()) == ["strict"]


def test_a_model_that_is_gone_from_the_configuration_holds_nothing(board_of: Boards) -> None:
    board = board_of(ModelSpec("demo", 2), ModelSpec("other", 2))
    with pytest.raises(UnknownScopeError, match="there are: demo, other"):
        board.stop("model:third", "", "ana", Source.CLI)
    with pytest.raises(ResumeRefusedError, match="no stop order of exactly this scope"):
        board.resume("model:demo", "x", "ana", Source.CLI)


@pytest.mark.parametrize("who", ["", "x" * 1000, "\x1b[2Jana\n", "\u202eana", "\udcff"])
def test_a_stop_is_never_refused_for_the_name_of_its_giver(who: str, board_of: Boards) -> None:
    board = board_of()
    placed = board.stop("all", "", who, Source.ADMIN)
    (standing,) = board.in_force()
    assert isinstance(standing.stop, StopOrder)
    assert standing.stop.who == placed.who
    assert placed.who.isprintable()
    assert 1 <= len(placed.who) <= MAX_WHO
    assert board.resume("all", "x", who, Source.ADMIN).plan.freed == ("demo",)


def _approved(board: Switchboard, refused: ResumeRefusedError, *keys: tuple[str, SoftKey]) -> Resumed:
    approvers = [Approver(person, key.sign(refused.approval.encode()).decode()) for person, key in keys]
    return board.resume_approved(refused.approval, approvers, "ana", Source.CLI)


@pytest.fixture
def strict(tmp_path: Path) -> Switchboard:
    write_configuration(tmp_path, models=[ModelSpec("demo", 2), ModelSpec("strict", 3)])
    state = tmp_path / "var" / "state"
    config = replace(load(tmp_path), operators=OPERATORS)
    return Switchboard(config, OrderDirectory(state), state, lambda: float(NOW), os.urandom)


def refusal(board: Switchboard, target: str = "model:strict") -> ResumeRefusedError:
    with pytest.raises(ResumeRefusedError, match="two people") as caught:
        board.resume(target, "mended", "ana", Source.CLI)
    return caught.value


def test_what_two_people_approved_is_lifted_once(strict: Switchboard) -> None:
    strict.stop("model:strict", "", "ana", Source.CLI)
    asked = refusal(strict)
    found = _approved(strict, asked, ("ana", ANA), ("ben", BEN))
    assert (found.people, found.plan.freed, found.reason) == (("ana", "ben"), ("strict",), "mended")
    assert strict.in_force() == ()
    with pytest.raises(ResumeRefusedError, match="already lifted"):
        _approved(strict, asked, ("ana", ANA), ("ben", BEN))
    strict.stop("model:strict", "", "ana", Source.CLI)
    with pytest.raises(ResumeRefusedError, match="already lifted"):
        _approved(strict, asked, ("ana", ANA), ("ben", BEN))
    assert list(strict.models_held()) == ["strict"]


def test_half_an_approval_writes_nothing(strict: Switchboard, tmp_path: Path) -> None:
    strict.stop("model:strict", "", "ana", Source.CLI)
    before = sorted((tmp_path / "var" / "state" / "orders").iterdir())
    with pytest.raises(ResumeRefusedError, match="1 of 2 approvals"):
        _approved(strict, refusal(strict), ("ana", ANA))
    with pytest.raises(OrderError, match="not JSON"):
        strict.resume_approved("nonsense", [], "ana", Source.CLI)
    assert sorted((tmp_path / "var" / "state" / "orders").iterdir()) == before


def test_a_resume_of_both_kinds_of_model_lifts_the_one_and_asks_for_approval_of_the_other(strict: Switchboard) -> None:
    strict.stop("all", "", "ana", Source.CLI)
    found = strict.resume("all", "mended", "ana", Source.CLI)
    assert found.plan.freed == ("demo",)
    assert '"scope": "all"' in found.approval
    assert [each.lifted_below for each in strict.in_force()] == [True]
    after = _approved(strict, ResumeRefusedError("", found.approval), ("ana", ANA), ("ben", BEN))
    assert after.plan.freed == ("demo", "strict")
    assert strict.in_force() == ()


def test_the_policy_that_is_taken_says_who_may_approve(strict: Switchboard, tmp_path: Path) -> None:
    strict.stop("model:strict", "", "ana", Source.CLI)
    asked = refusal(strict)
    strict.take(load(tmp_path))
    with pytest.raises(ResumeRefusedError, match=r"operators\.yaml is missing"):
        _approved(strict, asked, ("ana", ANA), ("ben", BEN))


@pytest.mark.parametrize("spoiled", ["issuer.key", "issuer.pub"])
def test_a_stop_does_not_depend_on_the_hosts_key_and_a_resume_does(
    spoiled: str, strict: Switchboard, tmp_path: Path
) -> None:
    state = tmp_path / "var" / "state"
    (state / spoiled).mkdir()
    placed = strict.stop("model:demo", "", "ana", Source.CLI)
    order = decode((state / "orders" / f"{placed.order}.json").read_bytes())
    assert (order.issuer, order.signature) == ("", "")
    assert "demo" in strict.models_held()
    with pytest.raises(OSError, match=r"regular file|directory"):
        strict.resume("model:demo", "x", "ana", Source.CLI)
    assert "demo" in strict.models_held()


def test_orders_are_signed_by_the_host_that_issues_them(strict: Switchboard, tmp_path: Path) -> None:
    state = tmp_path / "var" / "state"
    placed = strict.stop("model:demo", "", "ana", Source.CLI, Mode.DRAIN)
    lifted = strict.resume("model:demo", "x", "ana", Source.CLI)
    for identity in (placed.order, lifted.order):
        order = decode((state / "orders" / f"{identity}.json").read_bytes())
        assert genuine(order, own_issuer(state))


def test_a_model_steps_down_its_own_ladder(board_of: Boards, tmp_path: Path) -> None:
    board = board_of(ModelSpec("demo", 2), ModelSpec("small", 1, upstream="http://127.0.0.1:8"))
    write_ladder(tmp_path, "demo", {"stricter": {"enforce": ["tried"]}, "fallback": {"model": "small"}})
    board.take(load(tmp_path))
    for mode, held in ((Mode.STRICTER, False), (Mode.FALLBACK, False), (Mode.STOP, True), (Mode.STOP, True)):
        placed = board.step_down("demo", "late", "guard", Source.CLI)
        assert (placed.mode, str(placed.scope)) == (mode, "model:demo")
        assert ("demo" in board.models_held()) is held
    assert [mode_of(each) for each in board.over("demo")] == [Mode.STRICTER, Mode.FALLBACK, Mode.STOP, Mode.STOP]
    assert board.over("small") == board.over("nobody") == ()
    with pytest.raises(UnknownScopeError):
        board.step_down("nobody", "", "guard", Source.CLI)


def test_the_step_of_a_model_whose_orders_cannot_be_read_is_a_stop(tmp_path: Path) -> None:
    class Unlisted(OrderDirectory):
        def read(self, known: Container[str] = ()) -> Reading:
            raise OSError(5, "Input/output error")

    write_configuration(tmp_path)
    write_ladder(tmp_path, "demo", {"stricter": {"enforce": ["tried"]}})
    state = tmp_path / "var" / "state"
    board = Switchboard(load(tmp_path), Unlisted(state), state, lambda: float(NOW), os.urandom)
    assert board.step_down("demo", "", "guard", Source.CLI).mode is Mode.STOP


def test_what_holds_for_all_counts_for_the_step_of_a_model(board_of: Boards, tmp_path: Path) -> None:
    board = board_of(ModelSpec("demo", 2))
    write_ladder(tmp_path, "demo", {"stricter": {"enforce": ["tried"]}, "no_new_principals": True})
    board.take(load(tmp_path))
    board.stop("level:1", "", "ana", Source.CLI, Mode.STRICTER)
    board.stop("key:app", "", "ana", Source.CLI)  # not of the whole model
    assert board.step_down("demo", "", "guard", Source.CLI).mode is Mode.NO_NEW_PRINCIPALS
    assert board.models_held() == {}


def test_an_order_for_a_rung_that_the_file_does_not_have_holds_as_a_stop(board_of: Boards) -> None:
    board = board_of(ModelSpec("demo", 2), ModelSpec("other", 2))
    placed = board.stop("model:demo", "", "ana", Source.CLI, Mode.FALLBACK)
    assert board.models_held() == {"demo": (placed.order,)}


def test_a_resume_says_on_which_rung_a_model_stays(board_of: Boards) -> None:
    board = board_of(ModelSpec("demo", 2))
    stays = board.stop("all", "", "ana", Source.CLI, Mode.NO_NEW_PRINCIPALS)
    board.stop("model:demo", "", "ana", Source.CLI)
    resumed = board.resume("model:demo", "fixed", "ana", Source.CLI)
    assert [each.why for each in resumed.plan.held] == [f"also no_new_principals by {stays.order} (all)"]
    assert board.models_held() == {}


@pytest.mark.parametrize("mode", sorted(RUNGS))
def test_from_asl_3_on_a_rung_is_left_by_two_people(mode: Mode, strict: Switchboard) -> None:
    strict.stop("model:strict", "", "ana", Source.CLI, mode)
    asked = refusal(strict)
    assert [mode_of(each) for each in strict.over("strict")] == [mode]
    _approved(strict, asked, ("ana", ANA), ("ben", BEN))
    assert strict.over("strict") == ()


def test_a_drain_and_a_quarantine_are_told_as_such(strict: Switchboard) -> None:
    strict.stop("model:demo", "", "ana", Source.CLI, Mode.DRAIN)
    strict.stop("level:2", "", "ana", Source.CLI, Mode.QUARANTINE)
    assert {each.fields()["mode"] for each in strict.in_force()} == {"drain", "quarantine"}
    assert sorted(strict.models_held()) == ["demo", "strict"]


def test_a_drill_stops_the_self_test_model_alone_and_is_no_stop_of_anybodys(board_of: Boards) -> None:
    board = board_of(ModelSpec("demo", 2), ModelSpec("strict", 3))
    for scope in ("all", "model:demo", "level:1", "operation:chat"):
        with pytest.raises(OrderError, match="a drill stops the self-test model and nothing else"):
            board.drill(scope, "", "drill")
    placed = board.drill("model:guard-selftest", "", "drill")
    assert [each.id for each in board.state().still_held(0)] == [placed.order]
    assert board.in_force() == ()
    assert board.models_held() == {}
    with pytest.raises(UnknownScopeError):
        board.stop("model:guard-selftest", "", "ana", Source.CLI)
