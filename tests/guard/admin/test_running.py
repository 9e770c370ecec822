"""What runs is counted in bounded groups, and what a stop would cut is a sum over them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.admin.running import Running, by_model, covered, grouped, total
from guard.state.scope import EVERYTHING, Scope
from safeguards.scope import ScopeKind

NAMES = st.sampled_from(["a", "b", "c", "d"])
EXCHANGES = st.lists(st.tuples(NAMES, NAMES, NAMES), max_size=60)


@given(EXCHANGES, st.integers(min_value=0, max_value=6))
def test_sums_over_everything_models_and_tiers_are_right_however_few_groups_there_are(
    exchanges: list[tuple[str, str, str]], most: int
) -> None:
    found = grouped(exchanges, most)
    assert total(found) == len(exchanges)
    assert sum(each.key != "" for each in found) <= most
    for name in "abcd":
        for kind, place in ((ScopeKind.MODEL, 0), (ScopeKind.TIER, 1)):
            cut = covered(Scope(kind, name), found)
            assert cut is not None
            assert total(cut) == sum(each[place] == name for each in exchanges)
        keyed = covered(Scope(ScopeKind.KEY, name), found)
        assert keyed is not None
        assert total(keyed) <= sum(each[2] == name for each in exchanges)
    assert covered(EVERYTHING, found) == found


def test_a_key_of_few_is_counted_whole() -> None:
    found = grouped([("m", "t", "k")] * 3 + [("m", "t", "other")])
    assert covered(Scope(ScopeKind.KEY, "k"), found) == (Running("m", "t", "k", 3),)
    assert by_model(found) == (("m", 4),)
