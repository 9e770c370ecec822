"""The record of what a resume counted for: of exactly that order, and only for those who began afterwards."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from guard.state.accepted import Accepted
from guard.state.merge import Judged
from guard.state.shown import Shown
from tests.guard.state.parts import resume, stop

SHOWN = Shown.of(stop())
STATEMENT = json.dumps({"lifts": [asdict(SHOWN)]})
LIFT = replace(resume(stop()), approval=STATEMENT)
GOOD = Judged(LIFT, below=True, approved=frozenset({SHOWN}), people=("ana", "ben"), kinds=("ssh", "passkey"))


def test_what_counted_counts_for_processes_that_begin_later(tmp_path: Path) -> None:
    before = Accepted(tmp_path)
    before.keep(GOOD, "digest", 5.0)
    assert before.before(LIFT) is None
    assert Accepted(tmp_path).before(LIFT) == GOOD
    note = json.loads((tmp_path / "accepted" / f"{LIFT.id}.json").read_text())
    assert (note["policy"], note["people"], note["at"]) == ("digest", ["ana", "ben"], 5.0)
    assert [each.name for each in (tmp_path / "accepted").iterdir()] == [f"{LIFT.id}.json"]
    assert GOOD.approved_by == "ana (ssh), ben (passkey)"


def test_what_a_guard_that_knew_one_kind_put_on_record_counts_too(tmp_path: Path) -> None:
    Accepted(tmp_path).keep(GOOD, "digest", 5.0)
    (path,) = (tmp_path / "accepted").iterdir()
    note = json.loads(path.read_text())
    del note["kinds"]
    path.write_text(json.dumps(note))
    found = Accepted(tmp_path).before(LIFT)
    assert found is not None
    assert found.approved_by == "ana, ben"


def test_it_is_of_exactly_one_order(tmp_path: Path) -> None:
    Accepted(tmp_path).keep(GOOD, "digest", 5.0)
    assert Accepted(tmp_path).before(replace(LIFT, reason="another")) is None
    assert Accepted(tmp_path).before(resume(stop(number=2), number=901)) is None


def test_what_was_shown_is_read_from_the_statement_itself(tmp_path: Path) -> None:
    first = {key: value for key, value in asdict(SHOWN).items() if key in {"order", "sha256", "scope"}}
    order = replace(LIFT, approval=json.dumps({"lifts": [first, {**first, "order": "another"}]}))
    Accepted(tmp_path).keep(replace(GOOD, order=order), "digest", 5.0)
    found = Accepted(tmp_path).before(order)
    assert found is not None
    assert found.approved == {replace(SHOWN, mode="", who="")}


@pytest.mark.parametrize("approval", ["x", "[]", '{"lifts": 1}', '{"lifts": [1]}'])
def test_a_statement_that_cannot_be_read_is_none(approval: str, tmp_path: Path) -> None:
    order = replace(LIFT, approval=approval)
    Accepted(tmp_path).keep(replace(GOOD, order=order), "digest", 5.0)
    assert Accepted(tmp_path).before(order) is None


def test_the_first_record_stays(tmp_path: Path) -> None:
    Accepted(tmp_path).keep(GOOD, "first", 5.0)
    Accepted(tmp_path).keep(replace(GOOD, people=()), "second", 6.0)
    assert Accepted(tmp_path).before(LIFT) == GOOD


def test_a_record_lifts_only_what_its_order_names(tmp_path: Path) -> None:
    Accepted(tmp_path).keep(replace(GOOD, approved=frozenset({replace(SHOWN, order="x")})), "digest", 5.0)
    found = Accepted(tmp_path).before(LIFT)
    assert found is not None
    assert found.approved == frozenset()


@pytest.mark.parametrize("content", ["", "[]", "{}", "null", '{"order": 1}', "[" * 100_000])
def test_a_damaged_record_is_none(content: str, tmp_path: Path) -> None:
    Accepted(tmp_path).keep(GOOD, "digest", 5.0)
    (tmp_path / "accepted" / f"{LIFT.id}.json").write_text(content)
    assert Accepted(tmp_path).before(LIFT) is None


def test_where_nothing_can_be_written_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "accepted").write_text("a file in its place")
    Accepted(tmp_path).keep(GOOD, "digest", 5.0)
    assert Accepted(tmp_path).before(LIFT) is None
