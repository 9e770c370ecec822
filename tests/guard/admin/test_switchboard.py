"""The switchboard's own rules: whose stops count as in force, whose names fit, and what is left on a full disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guard.admin.switchboard import ResumeRefusedError, Switchboard
from guard.policy.load import load
from guard.state.directory import OrderDirectory
from guard.state.orders import MAX_WHO, Source, StopOrder
from guard.state.served import UnknownScopeError
from tests.parts.configuration import ModelSpec, write_configuration

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
