"""The standards after OpenAI's and Google DeepMind's frameworks: whom they serve, whom they refuse, what they cite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Final

import pytest

from guard.policy.config import Config
from guard.policy.floor import unmet
from guard.policy.load import load
from guard.policy.model import Framework, Levels, Standard
from guard.policy.standard import AttestedRow, Axis, CheckName
from guard.policy.thresholds import Assessment, ThresholdState
from tests.bad_config.test_bad_config import HERE

NOW: Final = datetime(2026, 11, 23, tzinfo=UTC)
EXAMPLE: Final = load(HERE.parents[1] / "config")
OPENAI, GOOGLE = ("openai-preparedness", "2"), ("google-fsf", "3.1")
NONE: Final[Mapping[str, str]] = MappingProxyType({})
NO_CHECK: Final = "no check implements this row yet"
both = pytest.mark.parametrize("name", [OPENAI, GOOGLE], ids=lambda name: name[0])


def under(name: tuple[str, str], deployment: int, security: int, states: Mapping[str, str] = NONE) -> Config:
    """The example's model under a standard: a threshold is ruled out unless its state is given."""
    given = {each.name: states.get(each.name, "ruled_out") for each in EXAMPLE.standards[name].thresholds}
    assert states.keys() <= given.keys()
    findings = tuple(
        Assessment(threshold=each, state=ThresholdState(state), assessed=date(2026, 11, 1), expires=date(2027, 3, 1))
        for each, state in given.items()
        if state != "missing"
    )
    policy = EXAMPLE.models["demo"].model_copy(
        update={
            "framework": Framework(name=name[0], version=name[1]),
            "asl": Levels(deployment=deployment, security=security),
            "thresholds": findings,
        }
    )
    return replace(EXAMPLE, models=MappingProxyType({"demo": policy}))


def rows(config: Config) -> dict[str, str]:
    return {each.row: each.why for each in unmet(config, "demo", NOW)}


@both
def test_a_model_below_every_threshold_can_be_served(name: tuple[str, str]) -> None:
    """Nothing is asked of it that nobody can check, so that only evidence is wanting."""
    assert rows(under(name, 1, 1)) == {}
    found = rows(under(name, 2, 2))
    assert all(why.startswith("nobody attests ") or "evidence is not mounted" in why for why in found.values())


@both
def test_a_model_that_needs_level_3_is_not_served_yet(name: tuple[str, str]) -> None:
    """Rows that nothing verifies are unmet; when the last of them is checked, this test is to change."""
    assert NO_CHECK in rows(under(name, 3, 3)).values()


@both
@pytest.mark.parametrize("levels", [(4, 1), (1, 4), (4, 4)])
def test_level_4_is_refused(name: tuple[str, str], levels: tuple[int, int]) -> None:
    checks = {row.check for row in EXAMPLE.standards[name].rows if row.level == 4}
    assert checks <= {CheckName.LEVEL_DEFINED, CheckName.CUSTOM_PROFILE}
    wanted = {
        row.id for row in EXAMPLE.standards[name].rows if row.level == 4 and levels[list(Axis).index(row.axis)] == 4
    }
    assert wanted
    assert wanted <= set(rows(under(name, *levels)))


@pytest.mark.parametrize(
    ("name", "states", "needs"),
    [
        (OPENAI, {"Biological and Chemical High": "crossed"}, (3, 3)),
        (OPENAI, {"Cybersecurity High": "cannot_rule_out"}, (3, 3)),
        (OPENAI, {"AI Self-improvement High": "crossed"}, (1, 3)),
        (OPENAI, {"Biological and Chemical Critical": "crossed"}, (4, 4)),
        (OPENAI, {"Cybersecurity Critical": "crossed"}, (4, 4)),
        (OPENAI, {"AI Self-improvement Critical": "missing"}, (4, 4)),
        (GOOGLE, {"CBRN uplift TCL": "crossed"}, (2, 2)),
        (GOOGLE, {"Stealth and Situational Awareness TCL": "cannot_rule_out"}, (2, 2)),
        (GOOGLE, {"Cyber uplift level 1": "cannot_rule_out"}, (3, 3)),
        (GOOGLE, {"Harmful manipulation level 1": "missing"}, (3, 3)),
        (GOOGLE, {"ML R&D automation level 1": "crossed"}, (3, 4)),
    ],
)
def test_a_threshold_demands_its_levels(name: tuple[str, str], states: dict[str, str], needs: tuple[int, int]) -> None:
    row = "H13.states" if name == OPENAI else "H14.states"
    assert row not in rows(under(name, *needs, states))
    for lower in ((needs[0] - 1, needs[1]), (needs[0], needs[1] - 1)):
        if min(lower) > 0:
            assert row in rows(under(name, *lower, states))


def test_whoever_rules_out_only_high_has_left_critical_in_doubt() -> None:
    critical = [each.name for each in EXAMPLE.standards[OPENAI].thresholds if each.name.endswith(" Critical")]
    assert len(critical) == 3
    assert "H13.states" in rows(under(OPENAI, 3, 3, dict.fromkeys(critical, "missing")))


def test_a_safety_case_and_a_safeguards_report_are_asked_for_with_who_decided() -> None:
    for name, row, claim, roles in (
        (GOOGLE, "H14.safety_case", "safety_case", ("governance_function",)),
        (OPENAI, "H13.safeguards_report", "safeguards_report", ("safety_advisory_group", "leadership")),
    ):
        assert rows(under(name, 3, 3))[row] == f"nobody attests {claim}"
        assert row not in rows(under(name, 2, 3))
        (found,) = [each for each in EXAMPLE.standards[name].rows if each.id == row]
        assert isinstance(found, AttestedRow)
        assert found.parameters.approved_by == roles


def _published() -> dict[str, set[str]]:
    """What each row of the two versions of anthropic-rsp is checked by."""
    found: dict[str, set[str]] = {}
    for version in ("2.2", "3.4"):
        for row in EXAMPLE.standards["anthropic-rsp", version].rows:
            found.setdefault(row.id, set()).add(str(row.check))
    return found


@both
def test_every_row_says_where_it_comes_from(name: tuple[str, str]) -> None:
    entry, document = ("H13", "PF 2, ") if name == OPENAI else ("H14", "FSF 3.1, ")
    standard: Standard = EXAMPLE.standards[name]
    for row in standard.rows:
        assert row.id.startswith(f"{entry}.")
        assert document.removesuffix(", ") in row.source or row.source.startswith("Our mapping"), row.id
    assert all(each.source.startswith(document) for each in standard.thresholds)


@both
def test_a_row_that_points_to_another_standards_row_is_checked_by_the_same(name: tuple[str, str]) -> None:
    """So that a check written for one framework is not forgotten in the others."""
    published, pointed = _published(), 0
    for row in EXAMPLE.standards[name].rows:
        for ids in re.findall(r"\(as ([^)]+)\)", row.source):
            for other in ids.split(", "):
                assert str(row.check) in published[other], f"{row.id} and {other}"
                pointed += 1
    assert pointed > 15
