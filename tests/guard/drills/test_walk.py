"""The full walk names every kind of scope, operation and path, goes on after a failure, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from guard.drills import walk as walking
from guard.drills.drill import drill_stop
from guard.drills.folder import DrillFolder
from guard.drills.forms import EVERY_FORM, FORMS
from guard.drills.result import Failure, Times
from guard.drills.walk import Case, Walked, cases, slowest, walk
from guard.drills.ways import by_order
from guard.policy.drills import DrillPath
from guard.policy.hooks import HookKind
from guard.state.scope import Scope
from safeguards.scope import Operation, ScopeKind
from tests.guard.drills.stage import standing


def test_every_kind_of_scope_is_walked_on_every_operation_by_every_path_that_can_be() -> None:
    found = list(cases("r0", fleet=True))
    assert not any(each.path is DrillPath.ENGINE for each in cases("host", fleet=False))
    assert {case.scope.kind for case in found} == set(ScopeKind)
    assert {case.scope.subject for case in found if case.scope.kind is ScopeKind.OPERATION} == set(Operation)
    for kind in ScopeKind:
        mine = [case for case in found if case.scope.kind is kind]
        assert {form.operation for case in mine for form in case.covered} >= {Operation.CHAT}
        paths = {case.path for case in mine}
        beyond = set() if kind is ScopeKind.VERSION else {DrillPath.ENGINE}
        assert paths == ({DrillPath.ORDER, DrillPath.FILE} if mine[0].rehearsed else set(DrillPath) - beyond)
        ways = {case.way for case in mine}
        assert mine[0].rehearsed or ways >= {f"webhook:{sender}" for sender in HookKind}
    for case in found:
        assert case.rehearsed is not case.scope.of_self_test
        assert {form.name for form in (*case.covered, *case.spared)} == {form.name for form in EVERY_FORM}


def some(*wanted: tuple[str, DrillPath]) -> list[Case]:
    return [case for case in cases("host", fleet=False) if (str(case.scope), case.path) in wanted]


def run(directory: Path) -> tuple[bool, list[Walked], list[str]]:
    """Walk at a real worker; returns whether it succeeded, the cases, and what the next finds stopped."""

    async def main() -> tuple[bool, list[Walked], list[str]]:
        told: list[Walked] = []
        async with standing(directory) as here:
            result, found = await walk(here.ground, told.append)
            assert list(found) == told
            assert (await here.caller.ask(FORMS[Operation.CHAT])).served
        state = directory / "var" / "state"
        assert DrillFolder(state).results() == (result,)
        left = [path.name for path in (state / "run" / "rehearsal" / "orders").iterdir()]
        return result.succeeded, told, left

    return asyncio.run(main())


def test_a_walk_cuts_what_each_stop_covers_and_spares_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = (
        ("tier:guard-selftest", DrillPath.ORDER),
        ("attribute:guard-selftest=yes", DrillPath.FILE),
        ("all", DrillPath.FILE),
        ("level:3", DrillPath.ORDER),
        ("capability:streaming", DrillPath.ORDER),
        ("operation:embeddings", DrillPath.FILE),
    )
    chosen = some(*wanted)
    assert len(chosen) == len(wanted)
    monkeypatch.setattr(walking, "cases", lambda *_, **__: iter(chosen))
    succeeded, told, left = run(tmp_path)
    assert succeeded
    assert [(each.scope, each.failure) for each in told] == [(str(case.scope), None) for case in chosen]
    assert [len(each.covered) for each in told] == [11, 11, 11, 0, 4, 1]
    assert all(each.workers[0].cut is not None for each in told if each.covered)
    assert left == []


def test_a_case_that_fails_is_told_and_the_next_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = some(("operation:chat", DrillPath.FILE))[0]
    # A stop of one operation that is said to cover all: what it spares is not cut, and that is the failure.
    wrong = Case(Scope.parse("operation:chat"), DrillPath.ORDER, "order", tuple(FORMS.values()), rehearsed=True)
    monkeypatch.setattr(walking, "cases", lambda *_, **__: iter([wrong, good]))
    monkeypatch.setattr("tests.guard.drills.stage.DEADLINE", 1.0)
    succeeded, told, left = run(tmp_path)
    assert not succeeded
    assert [each.failure for each in told] == [Failure.NOT_CUT, None]
    assert "completions: not within 1 s" in told[0].why
    assert left != []  # a worker that has not seen the resume must still find it


def test_the_longest_of_each_workers_times_count() -> None:
    one = (Times("0", 1.0, None, 3.0), Times("1", None, None, None))
    two = (Times("0", 0.5, 2.0, 4.0),)
    assert slowest([one, two]) == (Times("0", 1.0, 2.0, 4.0), Times("1"))
    assert slowest([]) == ()
    versions = [each.scope.subject for each in cases("r0", fleet=True) if each.scope.kind is ScopeKind.VERSION]
    assert set(versions) == {"guard-selftest/r0"}


def test_what_a_killed_walk_left_rehearsed_is_lifted_before_the_next_drill(tmp_path: Path) -> None:
    async def main() -> None:
        async with standing(tmp_path) as here:
            left = await by_order(replace(here.ground.bench, rehearsal=True), Scope.parse("all"), "drill")
            told = await here.caller.ask(FORMS[Operation.CHAT])
            assert (told.code, left in told.body.decode()) == ("stopped", True)
            assert (await drill_stop(here.ground, DrillPath.FILE)).succeeded

    asyncio.run(main())
