"""What is in force for a model: every part of the answer, by what a row is met, and that it agrees with the floor."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.config import Config, SignedStandard
from guard.policy.explain import MAX_ENDINGS, explain
from guard.policy.explanation import Explanation, Judged
from guard.policy.fingerprint import of_classifiers, of_standard
from guard.policy.floor import binding_rows, unmet
from guard.policy.load import load
from guard.policy.model import Axis, Framework, Levels, Mode, OperatorsFile, Upstream
from guard.policy.model import Role as Duty
from guard.policy.operators import Person
from guard.policy.standard import Demand, Threshold
from guard.policy.thresholds import Assessment, ThresholdState
from tests.parts.configuration import ModelSpec, write_configuration

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    directory = tmp_path_factory.mktemp("explain")
    shadow = {"patterns": {"mode": "shadow"}, "limits": {"on_failure": "pass"}}
    models = [ModelSpec(evidence_days=10), ModelSpec("strict", asl=3), ModelSpec("soft", asl=3, safeguards=shadow)]
    write_configuration(directory, models=models, now=NOW)
    return load(directory)


def changed(config: Config, **changes: Any) -> Config:
    policy = config.models["demo"].model_copy(update=changes)
    return replace(config, models=MappingProxyType({**config.models, "demo": policy}))


def row(found: Explanation, name: str) -> Judged:
    return next(each for each in found.rows if each.row == name)


def test_levels_standard_surfaces_and_operations_are_told(config: Config) -> None:
    found = explain(config, "demo", NOW)
    assert (found.model, found.deployment, found.security, found.audience) == ("demo", 2, 2, "general")
    assert found.routable
    assert found.until == datetime(2026, 6, 11, tzinfo=UTC)
    assert (found.standard.name, found.standard.version) == ("example-internal", "1")
    assert found.standard.sha256 == of_standard(config.standard("demo"))
    assert found.classifiers == of_classifiers(config, config.models["demo"])
    assert [(each.name, each.place, each.tls) for each in found.surfaces] == [("public", "127.0.0.1:0", False)]
    assert (found.operations, found.allow_keys, found.digest) == (("chat",), (), config.digest)


def test_no_secret_and_no_place_of_one_is_told_of_the_upstream(config: Config) -> None:
    upstream = Upstream.model_validate(
        {
            "url": "https://models.example/base",
            "kind": "vllm",
            "model": "tiny",
            "credential": {"file": "hidden/credential"},
            "tls": {"ca": "ca.pem", "client_certificate": "c.pem", "client_key": {"env": "HIDDEN_KEY"}},
        }
    )
    found = explain(changed(config, upstream=upstream), "demo", NOW)
    assert found.upstream.credential
    assert found.upstream.own_ca
    assert found.upstream.client_certificate
    assert "hidden" not in json.dumps(asdict(found), default=str).lower()
    assert not explain(config, "demo", NOW).upstream.credential


def test_each_safeguard_stands_in_its_order_with_the_rows_it_meets(config: Config) -> None:
    found = explain(config, "demo", NOW).safeguards
    assert [each.order for each in found] == [1, 2, 3, 4, 5, 6]
    assert {each.name: each.rows for each in found} == {
        "request_log": ("L1.request_log",),
        "kill_switch": ("L1.kill_switch",),
        "evidence": ("L2.evidence",),
        "access": ("L2.access",),
        "limits": ("L2.limits_per_key",),
        "patterns": ("L2.screens_input", "L2.screens_output"),
    }
    assert found[0].settings == ("durable within_a_second", "each text only at the end", "texts kept")
    assert found[5].settings == ("screens input and output", "patterns from rules/test.yaml")


def test_a_safeguard_in_shadow_or_failing_open_is_not_said_to_meet_what_it_does_not(config: Config) -> None:
    found = explain(config, "soft", NOW)
    by_name = {each.name: each for each in found.safeguards}
    assert by_name["patterns"].rows == ("L2.screens_input", "L2.screens_output")
    assert by_name["limits"].rows == ()
    assert (
        row(found, "L3.screens_input").why == "no classifier screens the input with mode enforce and on_failure block"
    )
    assert row(found, "L3.limits").met_by == ()
    assert not found.routable
    assert found.until is None


def test_a_met_row_says_by_what(config: Config) -> None:
    found = explain(config, "strict", NOW)
    assert row(found, "L1.request_log").met_by == ("safeguard request_log",)
    assert row(found, "L3.durable_intent").met_by == ("safeguard request_log",)
    assert row(found, "L3.screens_output").met_by == ("safeguard patterns",)
    assert row(found, "L2.model_card").met_by == ("evidence model_card of a team, until 2026-08-30",)
    assert row(found, "L1.authenticated").met_by == ("the owner and the last day of every key",)
    assert row(found, "L1.listed_operations").met_by == ("the model's list of operations",)
    assert row(found, "L1.declared_levels").met_by == ("the levels in its file",)


def test_two_classifiers_that_each_meet_a_row_are_both_named(config: Config) -> None:
    mounts = config.models["demo"].safeguards
    second = mounts[5].model_copy(update={"name": "second"})
    found = explain(changed(config, safeguards=(*mounts, second)), "demo", NOW)
    assert row(found, "L2.screens_input").met_by == ("safeguard patterns", "safeguard second")


@pytest.mark.parametrize(
    ("at", "days", "holds"),
    [
        (datetime(2026, 6, 1, tzinfo=UTC), 10, True),
        (datetime(2026, 6, 10, 23, tzinfo=UTC), 0, True),
        (datetime(2026, 6, 11, tzinfo=UTC), 0, False),
        (datetime(2026, 6, 12, tzinfo=UTC), -1, False),
        (datetime(2026, 5, 1, tzinfo=UTC), 41, False),
    ],
)
def test_evidence_counts_its_days_down(at: datetime, days: int, holds: bool, config: Config) -> None:
    card = explain(config, "demo", at).evidence[0]
    assert (card.claim, card.owner, card.issued, card.rows) == (
        "model_card",
        "a team",
        date(2026, 5, 2),
        ("L2.model_card",),
    )
    assert (card.days_left, card.holds) == (days, holds)


def test_evidence_that_grows_too_old_ends_then_and_not_at_its_expiry(config: Config) -> None:
    old = tuple(
        each.model_copy(update={"issued": date(2025, 7, 1), "expires": date(2027, 7, 1)})
        for each in config.evidence["demo"]
    )
    found = explain(replace(config, evidence=MappingProxyType({**config.evidence, "demo": old})), "demo", NOW)
    ends = {each.claim: each.until.date() for each in found.evidence}
    assert ends["model_card"] == date(2026, 7, 1)
    assert ends["threat_model"] == date(2027, 7, 1), "no row of this level asks for it"
    assert found.until == datetime(2026, 7, 1, tzinfo=UTC)


def test_tiers_are_told_with_their_rates_and_their_keys(config: Config) -> None:
    general, slow = explain(config, "demo", NOW).tiers
    assert (general.tier, general.operations, general.per_minute, general.burst) == ("general", ("chat",), 1e6, 100_000)
    assert (general.keys, general.live_keys) == (2, 1)
    assert (slow.tier, slow.keys, slow.live_keys, slow.burst) == ("slow", 1, 1, 1)


def test_what_ends_next_comes_first_and_the_list_is_bounded(config: Config) -> None:
    found = explain(config, "demo", NOW).endings
    assert [each.when for each in found] == sorted(each.when for each in found)
    assert found[0].when == datetime(2026, 6, 11, tzinfo=UTC)
    assert {each.what for each in found if each.what.startswith("key")} == {
        "key app of an application",
        "key slow of a slow application",
    }
    assert {each.then for each in found if each.what == "evidence threat_model"} == {"no row asks for it"}
    key = config.tiers.keys[0]
    many = config.tiers.model_copy(
        update={"keys": tuple(key.model_copy(update={"id": f"k{number}"}) for number in range(50))}
    )
    assert len(explain(replace(config, tiers=many), "demo", NOW).endings) == MAX_ENDINGS


def test_duties_and_signatures_that_end_are_told(config: Config) -> None:
    roles = (Duty.RESPONDER, Duty.APPROVER)
    people = (
        Person.model_construct(id="a", roles=roles, expires=date(2026, 6, 20)),
        Person.model_construct(id="b", roles=roles, expires=date(2026, 6, 25)),
    )
    file = OperatorsFile.model_construct(version=1, persons=people)
    found = explain(replace(config, operators=file), "demo", NOW).endings
    assert [each.when for each in found if "who may approve" in each.what] == [datetime(2026, 6, 20, tzinfo=UTC)]
    assert not any("who may approve" in each.what for each in explain(config, "demo", NOW).endings)
    end = datetime(2026, 6, 12, tzinfo=UTC)
    signed = {of_standard(config.standard("demo")): SignedStandard(("a", "b"), 0.0, end.timestamp())}
    high = changed(replace(config, signed=MappingProxyType(signed)), asl=Levels(deployment=4, security=4))
    endings = explain(high, "demo", NOW).endings
    assert [each.when for each in endings if each.what == "signatures of its standard"] == [end]


def test_an_unknown_model_and_an_instant_without_a_zone_are_refused(config: Config) -> None:
    with pytest.raises(KeyError):
        explain(config, "nobody", NOW)
    with pytest.raises(ValueError, match="time zone"):
        explain(config, "demo", datetime(2026, 6, 1))  # noqa: DTZ001 - without a zone is the point


@settings(max_examples=60, deadline=None)
@given(
    levels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    kept=st.sets(st.integers(0, 5)),
    shadow=st.sets(st.integers(0, 5)),
    days=st.integers(0, 500),
)
def test_it_never_disagrees_with_the_floor(
    config: Config, levels: tuple[int, int], kept: set[int], shadow: set[int], days: int
) -> None:
    mounts = tuple(
        mount.model_copy(update={"mode": Mode.SHADOW}) if index in shadow else mount
        for index, mount in enumerate(config.models["demo"].safeguards)
        if index in kept
    )
    asl = Levels(deployment=levels[0], security=levels[1])
    other = changed(config, asl=asl, safeguards=mounts)
    at = datetime.fromtimestamp(NOW.timestamp() + days * 86400, UTC)
    found = explain(other, "demo", at)
    assert [each.row for each in found.rows] == [each.id for each in binding_rows(other, "demo")]
    assert [(each.row, each.why) for each in found.rows if each.why] == [
        (each.row, each.why) for each in unmet(other, "demo", at)
    ]
    assert all(bool(each.met_by) is (each.why is None) for each in found.rows)
    assert found.routable is all(each.why is None for each in found.rows)


def test_every_row_of_the_long_standard_is_explained() -> None:
    config = load(Path(__file__).resolve().parents[3] / "config")
    framework = Framework(name="anthropic-rsp", version="2.2")
    other = changed(config, framework=framework, asl=Levels(deployment=3, security=3))
    found = explain(other, "demo", datetime(2026, 11, 23, tzinfo=UTC))
    assert len(found.rows) > 50
    assert any(each.why == "no check implements this row yet" for each in found.rows)
    assert any(each.met_by for each in found.rows)


def test_thresholds_are_told_with_what_they_demand_and_until_when_they_are_ruled_out(config: Config) -> None:
    house = config.standard("demo")
    demands = Demand(security=3)
    known = tuple(Threshold(name=name, capability="it", source="us", demands=demands) for name in ("R&D-4", "R&D-5"))
    own = replace(
        config,
        standards=MappingProxyType(
            {**config.standards, (house.name, house.version): house.model_copy(update={"thresholds": known})}
        ),
    )
    found = Assessment(
        threshold="R&D-4", state=ThresholdState.RULED_OUT, assessed=date(2026, 5, 1), expires=date(2026, 9, 1)
    )
    told = explain(changed(own, thresholds=(found,)), "demo", NOW)
    first, second = told.thresholds
    assert (first.threshold, first.crossed, first.demands) == ("R&D-4", False, ((Axis.SECURITY, 3),))
    assert first.until == datetime(2026, 9, 1, tzinfo=UTC)
    assert (second.crossed, second.why, second.until) == (True, "nobody assessed R&D-5", None)
    assert any(each.what == "assessment of R&D-4" for each in told.endings)


def test_what_asl_3_security_does_not_claim_is_said_from_that_level_on(config: Config) -> None:
    assert explain(config, "demo", NOW).limits == ()
    (limit,) = explain(config, "strict", NOW).limits
    assert "sophisticated insider" in limit
    assert "state" in limit
