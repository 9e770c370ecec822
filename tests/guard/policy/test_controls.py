"""The controls in force against those that a risk report described."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.config import Config
from guard.policy.controls import Deviation, controls, describing, deviations
from guard.policy.described import Controls, fingerprint, read, render
from guard.policy.diff_rules import Effect
from guard.policy.floor import unmet
from guard.policy.ladder import NO_LADDER, Ladder
from guard.policy.model import Mode, OnFailure
from guard.policy.monitoring import Monitoring
from guard.policy.report import report
from guard.policy.response import Response
from tests.guard.policy.test_floor import (
    NOW,
    settings_of,
    why,
    with_evidence,
    with_mount,
    with_policy,
    with_row,
    with_tiers,
)

BASE = with_row("controls_as_reported")
LINES = controls(BASE, BASE.models["demo"])


def describing_these(lines: str, claim: str = "risk_report") -> Config:
    return with_evidence(BASE, claim=claim, controls=Controls(sha256=fingerprint(lines), lines=lines))


AS_REPORTED = describing_these(LINES)


def found(config: Config) -> tuple[Deviation, ...]:
    return deviations(config, config.models["demo"])


def test_what_is_as_described_has_no_deviation() -> None:
    assert found(AS_REPORTED) == ()
    assert why(AS_REPORTED) is None


def test_the_controls_name_what_decides_and_no_text_of_a_rule_no_key_and_no_place() -> None:
    tree = read(LINES)
    assert set(tree) == {"models", "tiers", "guard"}
    assert {"asl", "framework", "safeguards", "order", "operations"} <= set(tree["models"]["demo"])
    rules = tree["models"]["demo"]["safeguards"]["patterns"]["settings"]["rules"]["rules"].values()
    assert [len(rule) for rule in rules] == [64, 64]
    assert tree["tiers"]["general"]["rate"]
    policy = BASE.models["demo"]
    for hidden in (policy.upstream.url, BASE.tiers.keys[0].digest, BASE.tiers.keys[0].owner):
        assert hidden not in LINES


def test_a_report_is_asked_for_that_describes_the_controls_of_this_model() -> None:
    assert why(BASE) == "nobody attests risk_report"
    words = "the attestation of risk_report describes no controls of demo; see guard explain demo --controls"
    assert why(with_evidence(BASE, claim="risk_report")) == words
    other = describing_these(LINES.replace("models/demo/", "models/other/"))
    assert why(other) == words
    assert (found(other), describing(other, other.models["demo"])) == ((), ())


def test_one_report_may_describe_several_models() -> None:
    both = describing_these(LINES.replace("models/demo", "models/other") + LINES)
    assert found(both) == ()
    assert why(both) is None


def test_a_weaker_control_is_named_with_what_was_and_what_is() -> None:
    config = with_mount(AS_REPORTED, "limits", mode=Mode.SHADOW)
    assert why(config) == "weaker than risk_report describes: model demo safeguards.limits.mode: enforce, now shadow"
    (one,) = found(config)
    assert (one.claim, one.effect, one.described, one.now) == ("risk_report", Effect.WEAKER, "enforce", "shadow")


def test_many_weaker_controls_are_cut_with_their_number() -> None:
    config = AS_REPORTED
    for mount in ("kill_switch", "limits", "classifier"):
        config = with_mount(config, mount, mode=Mode.SHADOW, on_failure=OnFailure.PASS)
    log = settings_of(config, "request_log").model_copy(update={"parts": False, "content": False})
    said = why(with_mount(config, "request_log", settings=log))
    assert said is not None
    assert said.count(", now ") == 5
    assert said.endswith("; and 3 more")


@pytest.mark.parametrize(
    ("config", "effect", "key"),
    [
        (with_policy(AS_REPORTED, surfaces=()), Effect.STRONGER, "surfaces"),
        (with_mount(AS_REPORTED, "limits", deadline_seconds=0.5), Effect.NEUTRAL, "safeguards.limits.deadline_seconds"),
    ],
)
def test_what_is_stronger_or_neutral_is_shown_and_lets_the_model_be_served(
    config: Config, effect: Effect, key: str
) -> None:
    assert why(config) is None
    assert [(each.effect, each.key) for each in found(config)] == [(effect, key)]
    text, routable = report(config, NOW)
    assert routable
    assert f"  not as risk_report describes ({effect}): model demo {key}: " in text


RESPONSE = Response(max_hours=48, trip_from_severity=3)
BAND = {"value": "block_rate", "window_seconds": 60, "max": 0.1, "at_least": 10, "then": "step_down"}
BANDS = Monitoring.model_validate({"bands": (BAND,), "reviewed": "2026-06-01", "review_every_days": 30})
LAW = BASE.models["demo"].framework
LADDER = Ladder.model_validate({"fallback": {"model": "small"}})


@pytest.mark.parametrize(
    ("described", "weaker", "key"),
    [
        ({"response": RESPONSE}, {"response": None}, "response"),
        (
            {"response": RESPONSE},
            {"response": RESPONSE.model_copy(update={"trip_from_severity": None})},
            "response.trip_from_severity",
        ),
        ({"monitoring": BANDS}, {"monitoring": None}, "monitoring"),
        (
            {"monitoring": BANDS},
            {"monitoring": BANDS.model_copy(update={"review_every_days": 60})},
            "monitoring.review_every_days",
        ),
        ({"also": (LAW,)}, {"also": ()}, "also"),
        ({}, {"ladder": LADDER}, "ladder.fallback"),
        ({"ladder": LADDER}, {"ladder": NO_LADDER}, "ladder.fallback"),
    ],
)
def test_times_to_answer_bands_and_rungs_are_controls(
    described: dict[str, Any], weaker: dict[str, Any], key: str
) -> None:
    before = with_policy(BASE, **described)
    lines = controls(before, before.models["demo"])
    reported = with_evidence(before, claim="risk_report", controls=Controls(sha256=fingerprint(lines), lines=lines))
    assert found(reported) == ()
    assert [(each.effect, each.key) for each in found(with_policy(reported, **weaker))] == [(Effect.WEAKER, key)]


def test_that_people_looked_at_the_bands_again_is_no_deviation() -> None:
    watched = with_policy(BASE, monitoring=BANDS)
    later = with_policy(BASE, monitoring=BANDS.model_copy(update={"reviewed": date(2026, 6, 2)}))
    assert controls(watched, watched.models["demo"]) == controls(later, later.models["demo"])


def test_what_was_described_without_a_ladder_had_none() -> None:
    """Lines that an earlier release printed go on describing a model that has none of it."""
    new = ("models/demo/ladder/", "models/demo/also=", "models/demo/response=")
    earlier = describing_these("".join(f"{line}\n" for line in LINES.splitlines() if not line.startswith(new)))
    assert found(earlier) == ()
    assert [each.key for each in found(with_policy(earlier, ladder=LADDER))] == ["ladder.fallback"]


def test_a_fallback_that_was_described_before_it_had_categories_was_of_everything() -> None:
    before = with_policy(BASE, ladder=LADDER)
    lines = controls(before, before.models["demo"]).replace("categories", "of-no-such-name")
    assert "of-no-such-name" in lines
    lines = "".join(line for line in lines.splitlines(keepends=True) if "of-no-such-name" not in line)
    earlier = with_evidence(before, claim="risk_report", controls=Controls(sha256=fingerprint(lines), lines=lines))
    assert [each.effect for each in found(earlier)] == [Effect.NEUTRAL]
    some = Ladder.model_validate({"fallback": {"model": "small", "categories": ("other",)}})
    (changed,) = found(with_policy(earlier, ladder=some))
    assert (changed.effect, changed.key) == (Effect.WEAKER, "ladder.fallback.categories")


def test_another_rule_under_the_same_name_is_weaker_and_one_more_is_stronger() -> None:
    ((file, rules),) = BASE.rules.items()
    first, *rest = rules.rules
    other = first.model_copy(update={"phrase": "something else", "pattern": None})
    more = first.model_copy(update={"id": "one-more"})
    for changed, effect in (((other, *rest), Effect.WEAKER), ((first, *rest, more), Effect.STRONGER)):
        ruleset = rules.model_copy(update={"rules": changed})
        config = replace(AS_REPORTED, rules=MappingProxyType({file: ruleset}))
        assert [each.effect for each in found(config)] == [effect]
        assert not any("something else" in f"{each.described}{each.now}" for each in found(config))


def test_a_tier_more_and_a_higher_rate_are_weaker_and_keys_are_no_control() -> None:
    tiers = BASE.tiers.tiers
    general = tiers["general"]
    faster = general.model_copy(update={"rate": general.rate.model_copy(update={"burst": 99_999})})
    for changed in ({"general": faster}, {"general": general, "another": general}):
        assert [each.effect for each in found(with_tiers(AS_REPORTED, tiers=changed))] == [Effect.WEAKER]
    elsewhere = general.model_copy(update={"models": {}})
    assert found(with_tiers(AS_REPORTED, tiers={"general": general, "unconcerned": elsewhere})) == ()
    assert found(with_tiers(AS_REPORTED, keys=())) == ()


def test_any_attestation_that_describes_controls_is_compared_but_only_the_risk_report_binds() -> None:
    config = with_mount(describing_these(LINES, "safety_case"), "limits", mode=Mode.SHADOW)
    assert [each.claim for each in found(config)] == ["safety_case"]
    assert why(config) == "nobody attests risk_report"


def _leaves(tree: Any) -> int:
    return sum(map(_leaves, tree.values())) if isinstance(tree, dict) else 1


@settings(deadline=None)
@given(st.data())
def test_a_description_of_any_shape_is_judged_and_never_breaks_the_check(data: st.DataObject) -> None:
    """Any line replaced by any other value, or cut off above it: the model is served or it is not."""
    lines = LINES.splitlines()
    index = data.draw(st.integers(0, len(lines) - 1))
    path = lines[index].partition("=")[0].split("/")
    kept = path[: data.draw(st.integers(1, len(path)))]
    at = "/".join(kept)
    value = data.draw(st.sampled_from(["null", "true", "7", "1.5", '"x"', '["x"]', "[]"]))
    rest = [line for line in lines if not line.startswith((f"{at}/", f"{at}="))]
    config = describing_these("\n".join([*rest, f"{at}={value}", ""]))
    rows = unmet(config, "demo", NOW)
    compared = describing(config, config.models["demo"]) == ("risk_report",)
    assert bool(rows) == (not compared or any(each.effect is Effect.WEAKER for each in found(config)))


def test_the_text_is_what_is_rendered_from_what_is_read() -> None:
    assert render(read(LINES)) == LINES
    assert _leaves(read(LINES)) == len(LINES.splitlines())
