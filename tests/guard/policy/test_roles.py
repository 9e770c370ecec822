"""Who may do what, row by row: the table is repeated here in words, so that a change of it is a change of two files."""

from __future__ import annotations

import pytest

from guard.policy.roles import DOES, Act, entitled, may, may_any, told
from guard.policy.roles import OperatorRole as Role

EXPECTED = {
    Role.VIEWER: "see_status",
    Role.RESPONDER: "see_status stop push_rule resume reload open_incident handle_incident read_records ask_why",
    Role.APPROVER: "see_status stop push_rule open_incident approve",
    Role.SAFEGUARDS_ENGINEER: "see_status stop push_rule reload open_incident handle_incident read_records ask_why",
    Role.INVESTIGATOR: (
        "see_status stop push_rule open_incident handle_incident read_records ask_why read_texts hold_texts"
    ),
    Role.AUDITOR: "see_status read_records ask_why hold_texts",
    Role.OPERATOR: "see_status stop push_rule resume reload open_incident handle_incident",
    Role.RESPONSIBLE_SCALING_OFFICER: (
        "see_status stop push_rule resume open_incident handle_incident approve read_records ask_why hold_texts "
        "release_hold delete_texts"
    ),
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("act", Act)
def test_a_role_may_do_what_its_name_says_and_nothing_else(role: Role, act: Act) -> None:
    assert may(role, act) is (act.value in EXPECTED[role].split())


def test_every_act_is_described_and_somebody_may_do_it() -> None:
    assert set(DOES) == set(Act)
    assert all(entitled(act) for act in Act)


def test_whoever_acts_on_the_guard_may_stop_it() -> None:
    assert set(Role) - entitled(Act.STOP) == {Role.VIEWER, Role.AUDITOR}
    assert entitled(Act.OPEN_INCIDENT) == entitled(Act.STOP)  # it may take a model down


def test_no_role_both_reads_texts_and_destroys_them() -> None:
    assert entitled(Act.READ_TEXTS).isdisjoint(entitled(Act.DELETE_TEXTS))


def test_a_person_may_what_any_of_the_roles_may() -> None:
    assert may_any((Role.AUDITOR, Role.APPROVER), Act.APPROVE)
    assert not may_any((Role.AUDITOR, Role.VIEWER), Act.STOP)
    assert not may_any((), Act.SEE_STATUS)


def test_the_roles_are_named_in_words() -> None:
    assert told(Act.READ_TEXTS) == "investigator"
    assert told(Act.APPROVE) == "approver or responsible_scaling_officer"
    assert told(Act.RELOAD) == "responder, safeguards_engineer or operator"
