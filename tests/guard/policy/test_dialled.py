"""Dials: what is declared of a model's classifiers, held against what a row asks for, and seen where it can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from guard.policy.dials import Coverage, Dialled, Dials
from guard.policy.explain import explain
from guard.policy.floor import routable_until
from tests.guard.policy.test_floor import NOW, why, with_mount, with_policy, with_row
from tests.guard.policy.test_lineage import ruled_out, with_thresholds

WIDE, SCREENED = {"coverage": "expanded"}, "not every path is screened on both sides; see guard coverage"
LAPSE = datetime(2027, 5, 1, tzinfo=UTC)


def dials(coverage: str = "expanded", robustness: int = 3) -> Dials:
    return Dials(coverage=Coverage(coverage), robustness=robustness)


@pytest.mark.parametrize(
    ("asked", "declared", "said"),
    [
        ({"robustness": 1}, None, "dials do not say how wide and how robust its classifiers are"),
        ({"robustness": 1}, dials("narrow", 1), None),
        ({"robustness": 3}, dials("narrow", 2), "dials.robustness is 2, and at least 3 is asked for"),
        ({"coverage": "narrow"}, dials("narrow", 1), None),
        ({"coverage": "narrow"}, dials("expanded", 1), None),
        (WIDE, dials("narrow"), "dials.coverage is narrow, and expanded is asked for"),
        ({**WIDE, "robustness": 3}, dials("expanded", 3), None),
    ],
)
def test_no_less_is_declared_than_a_row_asks_for(
    asked: dict[str, Any], declared: Dials | None, said: str | None
) -> None:
    assert why(with_policy(with_row("dials", asked), dials=declared)) == said


@pytest.mark.parametrize("asked", ["narrow", "expanded"])
@pytest.mark.parametrize("change", [{"mode": "shadow"}, {"on_failure": "pass"}])
def test_expanded_coverage_that_the_guard_does_not_see_does_not_count(asked: str, change: dict[str, str]) -> None:
    config = with_policy(with_row("dials", {"coverage": asked}), dials=dials())
    assert why(config) is None
    assert why(with_mount(config, "classifier", **change)) == f"dials.coverage is expanded, but {SCREENED}"


def test_a_row_about_a_threshold_asks_from_the_moment_on_at_which_it_is_no_longer_ruled_out() -> None:
    asking = {"id": "R", "check": "dials", "with": {**WIDE, "thresholds": ("CBRN-3",)}}
    config = with_policy(with_thresholds(asking), dials=dials("narrow"), thresholds=(ruled_out("CBRN-3"),))
    said = "dials.coverage is narrow, and expanded is asked for"
    assert why(config, LAPSE - timedelta(seconds=1)) is None
    assert why(config, LAPSE) == said
    assert routable_until(config, "demo", NOW) == LAPSE.timestamp()
    assert why(with_policy(config, thresholds=())) == said
    wide = with_policy(config, dials=dials())
    assert why(wide, LAPSE) is None
    assert routable_until(wide, "demo", NOW) == float("inf")
    (row,) = explain(config, "demo", NOW).rows
    assert row.met_by == ("dials in its file, or that thresholds are ruled out",)


def test_a_row_names_only_thresholds_of_its_standard_and_asks_for_something() -> None:
    with pytest.raises(ValueError, match="is no threshold of this standard"):
        with_thresholds({"id": "R", "check": "dials", "with": {**WIDE, "thresholds": ("CBRN-9",)}})
    with pytest.raises(ValidationError, match="must set coverage or robustness"):
        Dialled()
