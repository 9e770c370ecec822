"""What runs is counted in bounded groups, and what a stop would cut is a sum over them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.admin.running import Running, by_model, covered, grouped, total
from guard.state.scope import EVERYTHING, Scope
from guard.state.served import Principal, Served, ServedModel
from safeguards.scope import ScopeKind

NAMES = st.sampled_from(["a", "b", "c", "d"])
SERVED = Served(
    {name: ServedModel(asl, release="1") for asl, name in enumerate("abcd", 1)},
    dict.fromkeys("abcd", ()),
    {name: Principal("t", owner=f"owner {name}", attributes=("plan=free",) if name < "c" else ()) for name in "abcdk"},
    ["plan=free"],
)
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
            cut = covered(Scope(kind, name), found, SERVED)
            assert cut is not None
            assert total(cut) == sum(each[place] == name for each in exchanges)
        keyed = covered(Scope(ScopeKind.KEY, name), found, SERVED)
        assert keyed is not None
        assert total(keyed) <= sum(each[2] == name for each in exchanges)
    assert covered(EVERYTHING, found, SERVED) == found


def test_a_key_of_few_is_counted_whole() -> None:
    found = grouped([("m", "t", "k")] * 3 + [("m", "t", "other")])
    assert covered(Scope(ScopeKind.KEY, "k"), found, SERVED) == (Running("m", "t", "k", 3),)
    assert by_model(found) == (("m", 4),)


def test_what_a_stop_of_any_kind_would_cut_is_known_where_it_can_be() -> None:
    found = grouped([(model, "t", key) for model in "abcd" for key in "abcd"])

    def cut(scope: str) -> int | None:
        covers = covered(Scope.parse(scope), found, SERVED)
        return None if covers is None else total(covers)

    assert cut("all") == 16
    assert cut("level:3") == 8
    assert cut("version:a/1") == 4
    assert cut("version:a/2") == 0
    assert cut("org:owner b") == 4
    assert cut("attribute:plan=free") == 8
    assert cut("operation:chat") is None
    assert cut("capability:tools") is None
