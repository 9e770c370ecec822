"""What a model is: its levels against its thresholds, its weights against those of other aliases, its ancestry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import pytest

from guard.policy.config import Config
from guard.policy.evidence import Attestation
from guard.policy.floor import routable_until, unmet
from guard.policy.model import Levels
from guard.policy.standard import Standard
from guard.policy.thresholds import Assessment, ThresholdState
from tests.guard.policy.test_floor import BASE, NOW, why, with_policy, with_row

THRESHOLDS = (
    {"name": "CBRN-3", "capability": "it", "source": "us", "demands": {"deployment": 3, "security": 3}},
    {"name": "R&D-4", "capability": "it", "source": "us", "demands": {"security": 3}, "max_age_days": 90},
)
SPRING = datetime(2027, 3, 1, tzinfo=UTC)


def with_thresholds(*rows: dict[str, Any]) -> Config:
    """Put a standard with two thresholds in place; of its rows only the first binds, so that it is judged alone."""
    common = {"axis": "deployment", "level": 1, "requires": "it", "source": "us"}
    obligatory = {"id": "Z", "check": "thresholds_within_levels"}
    given = tuple({**common, **row} for row in (*rows, obligatory))
    house = {"name": "house", "version": "1", "title": "t", "source": "s", "thresholds": THRESHOLDS, "rows": given}
    standard = Standard.model_validate(house)
    alone = standard.model_copy(update={"rows": standard.rows[:1]})
    return replace(BASE, standards=MappingProxyType({("house", "1"): alone}))


def with_threshold(name: str) -> Config:
    return with_thresholds({"id": "R", "axis": "security", "check": "threshold", "with": {"thresholds": (name,)}})


def ruled_out(name: str, expires: str = "2027-05-01", state: str = "ruled_out") -> Assessment:
    return Assessment(
        threshold=name,
        state=ThresholdState(state),
        assessed=date(2026, 11, 1),
        expires=date.fromisoformat(expires),
    )


def levels(deployment: int, security: int) -> Levels:
    return Levels(deployment=deployment, security=security)


WITHIN = with_thresholds()


def test_a_threshold_nobody_assessed_demands_its_levels() -> None:
    config = with_policy(WITHIN, asl=levels(2, 2), thresholds=(ruled_out("R&D-4"),))
    assert why(config) == (
        "nobody assessed CBRN-3, so it needs deployment ASL-3; nobody assessed CBRN-3, so it needs security ASL-3"
    )


def test_levels_as_high_as_every_threshold_demands_need_no_assessment() -> None:
    assert why(with_policy(WITHIN, asl=levels(3, 3), thresholds=())) is None


def test_thresholds_that_are_ruled_out_demand_nothing_until_the_first_finding_lapses() -> None:
    config = with_policy(WITHIN, asl=levels(2, 2), thresholds=(ruled_out("CBRN-3"), ruled_out("R&D-4")))
    assert why(config) is None
    lapse = datetime(2027, 1, 30, tzinfo=UTC)  # 90 days after the first of November
    assert routable_until(config, "demo", NOW) == lapse.timestamp()
    assert (
        why(config, lapse) == "the finding that rules out R&D-4 lapsed less than a day ago, so it needs security ASL-3"
    )


def test_a_finding_whose_threshold_the_levels_meet_anyway_ends_nothing() -> None:
    config = with_policy(WITHIN, asl=levels(2, 3), thresholds=(ruled_out("CBRN-3"), ruled_out("R&D-4")))
    assert routable_until(config, "demo", NOW) == datetime(2027, 5, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("state", ["crossed", "cannot_rule_out"])
def test_a_row_of_one_threshold_asks_for_the_level_on_its_own_axis_alone(state: str) -> None:
    config = with_threshold("CBRN-3")
    found = (ruled_out("CBRN-3", state=state),)
    said = "is crossed" if state == "crossed" else "cannot be ruled out"
    assert why(with_policy(config, asl=levels(1, 2), thresholds=found)) == f"CBRN-3 {said}, so it needs security ASL-3"
    assert why(with_policy(config, asl=levels(1, 3), thresholds=found)) is None


def test_a_row_of_one_threshold_leaves_the_others_alone() -> None:
    config = with_threshold("R&D-4")
    config = with_policy(config, asl=levels(1, 2), thresholds=(ruled_out("R&D-4"),))
    assert why(config) is None
    assert routable_until(config, "demo", NOW) == datetime(2027, 1, 30, tzinfo=UTC).timestamp()
    assert why(config, SPRING) is not None


@pytest.mark.parametrize(("asl", "good"), [((1, 1), True), ((2, 2), True), ((2, 1), False), ((1, 3), False)])
def test_no_axis_stays_at_one_when_the_other_is_raised(asl: tuple[int, int], good: bool) -> None:
    said = why(with_policy(with_row("both_axes_raised"), asl=levels(*asl)))
    assert said == (None if good else "one axis is above ASL-1 and the other is not")


def test_a_model_must_say_which_model_answers() -> None:
    config = with_row("reported_model")
    assert why(config) == "upstream.expect_model does not say which model every answer must name"
    upstream = config.models["demo"].upstream.model_copy(update={"expect_model": "m-1.2"})
    assert why(with_policy(config, upstream=upstream)) is None


def test_a_variant_needs_an_evaluation_of_its_own_that_holds() -> None:
    config = with_row("variant_evaluated")
    assert why(config) is None
    variant = with_policy(config, variant_of="base-1")
    assert why(variant) == "it is a variant of base-1, and nobody attests variant_evaluation"
    evaluation = Attestation(
        claim="variant_evaluation",
        uri="https://models.example/evaluation",
        sha256="0" * 64,
        owner="team",
        issued=date(2026, 11, 1),
        expires=date(2027, 2, 1),
    )
    evaluated = replace(variant, evidence=MappingProxyType({"demo": (evaluation,)}))
    assert why(evaluated) is None
    assert routable_until(evaluated, "demo", NOW) == datetime(2027, 2, 1, tzinfo=UTC).timestamp()
    assert why(evaluated, SPRING) == "the attestation of variant_evaluation does not hold at this time"


def beside(**changes: Any) -> Config:
    """Serve a second alias from the same server."""
    config = with_row("same_weights_declared")
    mine = config.models["demo"]
    other = mine.model_copy(update={"model": "twin", **changes})
    models = MappingProxyType({"demo": mine, "twin": other})
    return replace(config, models=models, evidence=MappingProxyType({"demo": (), "twin": ()}))


def named(config: Config, *pairs: tuple[str, str]) -> Config:
    models = dict(config.models)
    for alias, other in pairs:
        models[alias] = models[alias].model_copy(update={"same_weights_as": (other,)})
    return replace(config, models=MappingProxyType(models))


def test_the_same_weights_under_two_aliases_are_declared_on_both_sides() -> None:
    config = beside()
    words = "the same model of the same server is also {}, and same_weights_as of both must say so"
    for config_, met in (
        (config, False),
        (named(config, ("demo", "twin")), False),
        (named(config, ("twin", "demo")), False),
        (named(config, ("demo", "twin"), ("twin", "demo")), True),
    ):
        for alias, other in (("demo", "twin"), ("twin", "demo")):
            found = unmet(config_, alias, NOW)
            assert [row.why for row in found] == ([] if met else [words.format(other)])


def test_a_slash_at_the_end_hides_nothing_and_another_model_is_another() -> None:
    upstream = beside().models["demo"].upstream
    same = beside(upstream=upstream.model_copy(update={"url": upstream.url.upper() + "/"}))
    assert len(unmet(same, "demo", NOW)) == 1
    assert unmet(beside(upstream=upstream.model_copy(update={"model": "another"})), "demo", NOW) == ()
