"""What each mode of a stop does for each kind of exchange, and that none ever does less where a file is silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards.mode import CASES, MILDEST_FIRST, Mode, case_of, cuts, effective, refuses, routes

RUNGS = frozenset({Mode.STRICTER, Mode.FALLBACK, Mode.DE_DEPLOYED})
cases = st.builds(
    case_of, investigator=st.booleans(), rungs=st.frozensets(st.sampled_from(Mode)), in_part=st.booleans()
)


@given(cases)
def test_a_case_is_one_of_so_many(case: int) -> None:
    assert 0 <= case < CASES


@pytest.mark.parametrize("mode", Mode)
def test_where_the_file_is_silent_a_mode_refuses_or_concerns_new_keys_alone(mode: Mode) -> None:
    nothing = case_of(investigator=False, rungs=())
    assert refuses(mode, nothing) is (mode is not Mode.NO_NEW_PRINCIPALS)
    assert cuts(mode, nothing) is (mode not in {Mode.NO_NEW_PRINCIPALS, Mode.DRAIN})
    assert not routes(mode, nothing)


def test_what_the_file_declares_decides_what_a_rung_does() -> None:
    case = case_of(investigator=False, rungs=RUNGS)
    assert (refuses(Mode.STRICTER, case), cuts(Mode.STRICTER, case)) == (False, False)
    assert (refuses(Mode.FALLBACK, case), cuts(Mode.FALLBACK, case)) == (True, False)
    assert (refuses(Mode.DE_DEPLOYED, case), cuts(Mode.DE_DEPLOYED, case)) == (True, True)
    assert [mode for mode in Mode if routes(mode, case)] == [Mode.FALLBACK, Mode.DE_DEPLOYED]


def test_a_fallback_of_some_categories_leaves_the_rest_to_the_model_itself() -> None:
    case = case_of(investigator=False, rungs=RUNGS, in_part=True)
    assert (refuses(Mode.FALLBACK, case), cuts(Mode.FALLBACK, case), routes(Mode.FALLBACK, case)) == (False,) * 3
    assert [mode for mode in Mode if routes(mode, case)] == [Mode.DE_DEPLOYED]
    undeclared = case_of(investigator=False, rungs=RUNGS - {Mode.FALLBACK}, in_part=True)
    assert refuses(Mode.FALLBACK, undeclared)


@given(cases, st.sampled_from(Mode))
def test_only_what_is_refused_is_answered_by_another(case: int, mode: Mode) -> None:
    assert refuses(mode, case) or not routes(mode, case)


@given(st.frozensets(st.sampled_from(Mode)), st.sampled_from(Mode))
def test_only_a_quarantine_is_milder_for_an_investigator(rungs: frozenset[Mode], mode: Mode) -> None:
    anyone, investigator = (case_of(investigator=each, rungs=rungs) for each in (False, True))
    assert refuses(mode, investigator) is (refuses(mode, anyone) and mode is not Mode.QUARANTINE)
    assert cuts(mode, investigator) is (cuts(mode, anyone) and mode is not Mode.QUARANTINE)


@given(st.frozensets(st.sampled_from(Mode)), st.sampled_from(Mode))
def test_a_rung_that_is_not_there_is_a_stop(rungs: frozenset[Mode], mode: Mode) -> None:
    expected = Mode.STOP if mode in {Mode.STRICTER, Mode.FALLBACK} - rungs else mode
    assert effective(mode, rungs) is expected


def test_every_mode_has_its_depth() -> None:
    assert sorted(MILDEST_FIRST) == sorted(Mode)
