"""What a resume counts for, judged by the policy of the process that asks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guard.approval.resume import Lift, ResumeApproval, canonical
from guard.policy.config import Config
from guard.policy.load import load
from guard.resuming import ResumeJudge
from guard.state.issuer import Issuer
from guard.state.merge import Judged, State, met
from guard.state.orders import Approver, ResumeOrder
from guard.state.shown import Shown
from tests.guard.approval.persons import ANA, BEN, NOW, OPERATORS
from tests.guard.state.parts import exchange, resume, stop
from tests.parts.configuration import write_configuration

STOP = stop("all")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_configuration(tmp_path)
    return replace(load(tmp_path), operators=OPERATORS)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def judge(config: Config, state: Path, *, keep: bool = True, at: float = NOW + 10.0) -> ResumeJudge:
    return ResumeJudge(config, state, lambda: at, keep=keep)


def approved(*people: str, at: float = NOW + 5.0, scope: str = "", who: str = "") -> ResumeOrder:
    shown = Shown.of(STOP)
    lifts = (Lift(STOP.id, scope or shown.scope, shown.sha256, shown.mode, who or shown.who),)
    raw = canonical(ResumeApproval(lifts, "mended", NOW, NOW + 60, "0" * 32))
    keys = {"ana": ANA, "ben": BEN}
    approvers = tuple(Approver(person, keys[person].sign(raw).decode()) for person in people)
    return replace(resume(STOP), created=at, approval=raw.decode(), approvers=approvers)


def lifted(judged: Judged, asl: int) -> bool:
    return State(frozenset({STOP}), frozenset({judged})).covering(exchange(asl=asl)) is None


def test_two_people_lift_at_every_level(config: Config, state: Path) -> None:
    found = judge(config, state)(Issuer.open(state).signed(approved("ana", "ben")))
    assert (found.why, found.people) == ("", ("ana", "ben"))
    assert lifted(found, 2)
    assert lifted(found, 4)


def test_one_person_lifts_below_asl_3(config: Config, state: Path) -> None:
    found = judge(config, state)(Issuer.open(state).signed(resume(STOP)))
    assert found.why == ""
    assert lifted(found, 2)
    assert not lifted(found, 3)


def test_half_an_approval_lifts_what_none_would_and_says_what_is_missing(config: Config, state: Path) -> None:
    found = judge(config, state)(Issuer.open(state).signed(approved("ana")))
    assert "1 of 2 approvals (ana)" in found.why
    assert lifted(found, 2)
    assert not lifted(found, 3)


def test_without_a_known_issuer_nothing_is_lifted_at_any_level(config: Config, state: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    stranger = Issuer.open(tmp_path / "elsewhere")
    for order in (approved("ana", "ben"), stranger.signed(approved("ana", "ben"))):
        found = judge(config, state)(order)
        assert found.why
        assert not lifted(found, 1)


def test_a_host_that_the_configuration_names_is_known(config: Config, state: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = Issuer.open(tmp_path / "elsewhere")
    line = (tmp_path / "elsewhere" / "issuer.pub").read_text().strip()
    wider = replace(config, guard=config.guard.model_copy(update={"issuers": (line,)}))
    assert lifted(judge(config, state).under(wider)(other.signed(approved("ana", "ben"))), 3)


def test_a_stop_that_was_changed_under_its_id_is_not_what_was_approved(config: Config, state: Path) -> None:
    found = judge(config, state)(Issuer.open(state).signed(approved("ana", "ben")))
    other = replace(STOP, reason="another")
    assert State(frozenset({other}), frozenset({found})).covering(exchange(asl=3)) is not None


@pytest.mark.parametrize("shown", [{"scope": "model:other"}, {"who": "somebody else"}])
def test_whoever_has_the_hosts_key_cannot_have_people_sign_what_reads_otherwise(
    shown: dict[str, Any], config: Config, state: Path
) -> None:
    order = Issuer.open(state).signed(approved("ana", "ben", **shown))
    for found in (judge(config, state)(order), judge(replace(config, operators=None), state)(order)):
        assert not lifted(found, 3)
        assert "this order is" in met(found, {STOP.id: STOP}).why or not found.approved


@pytest.mark.parametrize(("at", "why"), [(NOW + 60.0, "has expired"), (NOW - 1.0, "holds only from")])
def test_an_approval_is_judged_as_of_when_the_order_was_issued(
    at: float, why: str, config: Config, state: Path
) -> None:
    found = judge(config, state)(Issuer.open(state).signed(approved("ana", "ben", at=at)))
    assert why in found.why
    assert not lifted(found, 3)


def test_an_order_of_the_future_lifts_nothing(config: Config, state: Path) -> None:
    late = Issuer.open(state).signed(approved("ana", "ben", at=NOW + 50.0))
    assert not lifted(judge(config, state, at=NOW - 11.0)(late), 1)
    assert lifted(judge(config, state, at=NOW - 9.0)(late), 3)  # a clock may be a little off


def test_an_order_of_version_1_lifts_below_asl_3_by_its_files_permission(config: Config, state: Path) -> None:
    found = judge(config, state)(replace(resume(STOP), version=1))
    assert lifted(found, 2)
    assert not lifted(found, 3)


def test_what_counted_goes_on_counting_for_those_that_begin_later(config: Config, state: Path) -> None:
    order = Issuer.open(state).signed(approved("ana", "ben"))
    without = replace(config, operators=None)
    assert not lifted(judge(without, state)(order), 3)
    running = judge(without, state)
    assert lifted(judge(config, state)(order), 3)
    (note,) = (state / "accepted").iterdir()
    assert json.loads(note.read_text())["policy"] == config.digest
    assert not lifted(running(order), 3)  # which began before it was accepted, and judges for itself
    assert lifted(judge(without, state)(order), 3)
    assert not lifted(judge(without, state)(Issuer.open(state).signed(replace(order, reason="another"))), 3)


def test_who_only_asks_puts_nothing_on_record(config: Config, state: Path) -> None:
    judge(config, state, keep=False)(Issuer.open(state).signed(approved("ana", "ben")))
    assert not (state / "accepted").exists()


def test_a_public_key_that_cannot_be_read_lifts_nothing_and_says_so(config: Config, state: Path) -> None:
    order = Issuer.open(state).signed(approved("ana", "ben"))
    (state / "issuer.pub").write_text("x")
    found = judge(config, state)(order)
    assert "is not the public key that was put there" in found.why
    assert not lifted(found, 1)


def test_whatever_goes_wrong_in_judging_lifts_nothing_and_ends_nobody(
    config: Config, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("guard.resuming.genuine", fails)
    found = judge(config, state)(Issuer.open(state).signed(approved("ana", "ben")))
    assert "ZeroDivisionError" in found.why
    assert not lifted(found, 1)
