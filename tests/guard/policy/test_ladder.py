"""The way down a ladder: only over rungs that are declared, never up, and a stop at its end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.policy.ladder import NO_LADDER, DeDeployed, Fallback, Ladder, Stricter, deepest, step_below
from safeguards.mode import MILDEST_FIRST, Mode

WHOLE = Ladder(
    stricter=Stricter(enforce=("tried",)),
    fallback=Fallback(model="small"),
    no_new_principals=True,
    de_deployed=DeDeployed(replacement="small"),
)
ladders = st.builds(
    Ladder,
    stricter=st.sampled_from([None, WHOLE.stricter]),
    fallback=st.sampled_from([None, WHOLE.fallback]),
    no_new_principals=st.booleans(),
    de_deployed=st.sampled_from([None, WHOLE.de_deployed, DeDeployed(replacement="small", route=True)]),
)
in_force = st.frozensets(st.sampled_from(Mode))


def test_a_whole_ladder_is_walked_rung_by_rung() -> None:
    walked: list[Mode] = []
    for _ in range(6):
        walked.append(step_below(WHOLE, walked))
    assert walked == [Mode.STRICTER, Mode.FALLBACK, Mode.NO_NEW_PRINCIPALS, *[Mode.STOP] * 3]


def test_without_a_ladder_the_first_step_is_a_stop() -> None:
    assert step_below(NO_LADDER, ()) is Mode.STOP


def test_a_rung_that_is_not_declared_is_skipped() -> None:
    ladder = Ladder(fallback=Fallback(model="small"))
    assert step_below(ladder, ()) is Mode.FALLBACK
    assert step_below(ladder, {Mode.FALLBACK}) is Mode.STOP
    # An order for a rung that is not there holds as a stop, and below a stop there is nothing milder.
    assert step_below(ladder, {Mode.STRICTER}) is Mode.STOP


@given(ladders, in_force)
def test_a_step_goes_below_everything_in_force_and_is_never_the_last_one(
    ladder: Ladder, modes: frozenset[Mode]
) -> None:
    step = step_below(ladder, modes)
    now = deepest(ladder, modes)
    assert step is not Mode.DE_DEPLOYED
    assert step is Mode.STOP or now is None or MILDEST_FIRST.index(step) > MILDEST_FIRST.index(now)
    assert step is Mode.STOP or ladder.declares(step)


@given(ladders, in_force)
def test_the_deepest_mode_counts_as_the_model_takes_it(ladder: Ladder, modes: frozenset[Mode]) -> None:
    now = deepest(ladder, modes)
    assert (now is None) is (not modes)
    if modes & ({Mode.STRICTER, Mode.FALLBACK} - ladder.rungs):
        assert now in {Mode.STOP, Mode.DE_DEPLOYED}


def test_a_model_answers_for_one_that_is_withdrawn_only_if_it_is_to() -> None:
    assert WHOLE.rungs == {Mode.STRICTER, Mode.FALLBACK}
    assert Ladder(de_deployed=DeDeployed(replacement="small", route=True)).rungs == {Mode.DE_DEPLOYED}
