"""The floor: which rows bind, every check both ways, and until when the evidence holds.

It is one file because its tests share what stands for the outside.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import inf
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.checks import CHECKS, DATED_CHECKS
from guard.policy.config import Config
from guard.policy.evidence import Approval
from guard.policy.fingerprint import of_classifiers
from guard.policy.floor import (
    Overdue,
    binding_rows,
    closing_claims,
    evidence_ends,
    overdue,
    required_claims,
    routable_until,
    unmet,
)
from guard.policy.invariants import Invariant
from guard.policy.load import load
from guard.policy.model import CheckName, Levels, Mode, ModelPolicy, Mount, SafeguardKind, Standard
from guard.policy.standard import Attested, AttestedRow, OnExpiry
from tests.bad_config.test_bad_config import BUILTIN, HERE

BASE = load(HERE / "base", BUILTIN)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
ISSUED, EXPIRES = datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 5, 1, tzinfo=UTC)


def with_policy(config: Config = BASE, **changes: Any) -> Config:
    """Change the model's policy without asking its types, so that the checks have something to find."""
    policy = config.models["demo"].model_copy(update=changes)
    return replace(config, models=MappingProxyType({"demo": policy}))


def with_row(check: str | None, parameters: dict[str, Any] | None = None, config: Config = BASE) -> Config:
    """Put a standard of one row in place of the model's own."""
    row = {"id": "R", "axis": "deployment", "level": 1, "requires": "it", "source": "us", "check": check}
    if parameters is not None:
        row["with"] = parameters
    standard = Standard.model_validate({"name": "house", "version": "1", "title": "t", "source": "s", "rows": (row,)})
    return replace(config, standards=MappingProxyType({("house", "1"): standard}))


def with_mount(config: Config, use: str, **changes: Any) -> Config:
    mounts = config.models["demo"].safeguards
    return with_policy(config, safeguards=tuple(m.model_copy(update=changes) if m.use == use else m for m in mounts))


def without_mount(config: Config, use: str) -> Config:
    return with_policy(config, safeguards=tuple(m for m in config.models["demo"].safeguards if m.use != use))


def with_evidence(config: Config, **changes: Any) -> Config:
    first, *rest = config.evidence["demo"]
    return replace(config, evidence=MappingProxyType({"demo": (first.model_copy(update=changes), *rest)}))


def with_tiers(config: Config, **changes: Any) -> Config:
    return replace(config, tiers=config.tiers.model_copy(update=changes))


def settings_of(config: Config, use: str) -> Any:
    mount: Mount = next(m for m in config.models["demo"].safeguards if m.use == use)
    return mount.settings  # type: ignore[union-attr]  # asked only of mounts that have some


def why(config: Config, at: datetime = NOW) -> str | None:
    found = unmet(config, "demo", at)
    assert len(found) <= 1
    return found[0].why if found else None


def test_the_base_meets_its_floor() -> None:
    assert unmet(BASE, "demo", NOW) == ()


def test_an_unmet_row_carries_the_rows_own_words() -> None:
    config = with_policy(asl=Levels(deployment=3, security=1))
    (row,) = unmet(config, "demo", NOW)
    assert (row.row, row.axis, row.level, row.requires) == ("D3.open", "deployment", 3, "Something nobody checks yet.")
    assert (row.why, row.source) == ("no check implements this row yet", "the tests")


@pytest.mark.parametrize(
    ("deployment", "security", "ids"),
    [
        (1, 1, ["D1.known", "D1.card"]),
        (2, 1, ["D1.known", "D1.card", "D2.card", "D2.policy", "D2.screens"]),
        (1, 2, ["D1.known", "D1.card", "S2.report"]),
        (1, 3, ["D1.known", "D1.card", "S2.report"]),
        (1, 4, ["D1.known", "D1.card", "S2.report", "S4.defined", "G1"]),
    ],
)
def test_levels_are_cumulative_and_the_axes_apart(deployment: int, security: int, ids: list[str]) -> None:
    config = with_policy(asl=Levels(deployment=deployment, security=security))
    assert [row.id for row in binding_rows(config, "demo")] == ids


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_raising_a_level_never_removes_a_row(a: int, b: int, c: int, d: int) -> None:
    low = with_policy(asl=Levels(deployment=min(a, b), security=min(c, d)))
    high = with_policy(asl=Levels(deployment=max(a, b), security=max(c, d)))
    assert {row.id for row in binding_rows(low, "demo")} <= {row.id for row in binding_rows(high, "demo")}


@pytest.mark.parametrize("safeguard", ["request_log", "kill_switch", "limits", "classifier"])
def test_mounted_wants_the_safeguard_to_block_also_when_it_fails(safeguard: str) -> None:
    config = with_row("mounted", {"safeguard": safeguard})
    assert why(config) is None
    weak = f"{safeguard} is mounted, but not with mode enforce and on_failure block"
    assert why(with_mount(config, safeguard, mode="shadow")) == weak
    assert why(with_mount(config, safeguard, on_failure="pass")) == weak
    assert why(without_mount(config, safeguard)) == f"{safeguard} is not mounted"


def test_mounted_any_mode_wants_the_safeguard_in_any_mode() -> None:
    config = with_row("mounted_any_mode", {"safeguard": "limits"})
    assert why(with_mount(config, "limits", mode="shadow", on_failure="pass")) is None
    assert why(without_mount(config, "limits")) == "limits is not mounted"


def test_one_enforcing_classifier_is_enough_beside_one_in_shadow() -> None:
    config = with_row("screens", {"target": "input", "mode": "enforce"})
    first = config.models["demo"].safeguards[-1]
    second = first.model_copy(update={"name": "candidate", "mode": "shadow"})
    assert why(with_policy(config, safeguards=(second, first))) is None
    assert why(with_policy(config, safeguards=(second,))) is not None


@pytest.mark.parametrize("target", ["input", "output"])
def test_screens_wants_a_classifier_on_that_side(target: str) -> None:
    enforce = with_row("screens", {"target": target, "mode": "enforce"})
    either = with_row("screens", {"target": target, "mode": "any"})
    other = "output" if target == "input" else "input"
    assert why(enforce) is None
    missing = f"no classifier screens the {target}"
    for config, words in ((enforce, f"{missing} with mode enforce and on_failure block"), (either, missing)):
        elsewhere = settings_of(config, "classifier").model_copy(update={"screens": (other,)})
        assert why(with_mount(config, "classifier", settings=elsewhere)) == words
        assert why(without_mount(config, "classifier")) == words
    assert why(with_mount(enforce, "classifier", mode="shadow")) is not None
    assert why(with_mount(enforce, "classifier", on_failure="pass")) is not None
    assert why(with_mount(either, "classifier", mode="shadow", on_failure="pass")) is None


def test_durable_intent_wants_the_record_on_disk_before_the_request_is_forwarded() -> None:
    config = with_row("durable_intent")
    assert why(config) is None
    for change in ({"durable": "within_a_second"}, {"parts": False}):
        weaker = settings_of(config, "request_log").model_copy(update=change)
        words = "request_log is not set to durable before_forward and parts true"
        assert why(with_mount(config, "request_log", settings=weaker)) == words
    words = "request_log is not mounted with mode enforce and on_failure block"
    assert why(with_mount(config, "request_log", mode="shadow")) == words
    assert why(with_mount(config, "request_log", on_failure="pass")) == words
    assert why(without_mount(config, "request_log")) == words


def test_parts_on_two_devices_wants_both_devices_and_parts_that_are_durable() -> None:
    config = with_row("parts_on_two_devices")
    storage = config.guard.storage.model_copy(update={"audit_second": "/second"})
    durable = settings_of(config, "request_log").model_copy(update={"parts_durable": True})
    assert why(config) == "request_log is not set to parts_durable true"
    one = with_mount(config, "request_log", settings=durable)
    assert why(one) == "guard.yaml names no second device for the log (`storage.audit_second`)"
    both = replace(one, guard=one.guard.model_copy(update={"storage": storage}))
    assert why(both) is None
    words = "request_log is not mounted with mode enforce and on_failure block"
    assert why(with_mount(both, "request_log", mode="shadow")) == words
    assert why(without_mount(both, "request_log")) == words


def test_limits_per_key_wants_limits_and_a_rate_in_every_tier_of_the_model() -> None:
    config = with_row("limits_per_key")
    assert why(config) is None
    assert why(without_mount(config, "limits")) == "limits is not mounted with mode enforce and on_failure block"
    assert why(with_mount(config, "limits", mode="shadow")) is not None
    tier = config.tiers.tiers["general"]
    still = tier.model_copy(update={"rate": tier.rate.model_copy(update={"per_minute": 0.0})})
    assert why(with_tiers(config, tiers={"general": tier, "slow": still})) == "no rate in the tiers slow"
    unconcerned = still.model_copy(update={"models": {}})
    assert why(with_tiers(config, tiers={"general": tier, "slow": unconcerned})) is None


def test_listed_operations_wants_grants_within_the_models_list() -> None:
    config = with_row("listed_operations")
    assert why(config) is None
    assert why(with_policy(config, operations=())) == "the model lists no operation"
    tier = config.tiers.tiers["general"].model_copy(update={"models": {"demo": ("chat", "train")}})
    words = "operations beyond the model's list are granted to the tiers general"
    assert why(with_tiers(config, tiers={"general": tier})) == words


@pytest.mark.parametrize("change", [{"owner": " "}, {"expires": None}])
def test_authenticated_wants_an_owner_and_an_expiry_of_every_key(change: dict[str, Any]) -> None:
    config = with_row("authenticated")
    assert why(config) is None
    first, second = config.tiers.keys
    anonymous = with_tiers(config, keys=(first, second.model_copy(update=change)))
    assert why(anonymous) == "no owner or no expiry for the keys second"
    elsewhere = with_tiers(config, keys=(first, second.model_copy(update={**change, "tier": "other"})))
    assert why(elsewhere) is None


def test_declared_levels_wants_both_levels_and_the_frameworks_version() -> None:
    config = with_row("declared_levels")
    assert why(config) is None
    words = "the model does not declare a level on both axes and its framework's version"
    assert why(with_policy(config, asl=Levels.model_construct(deployment=1, security=0))) == words


def test_level_defined_is_never_met() -> None:
    assert why(with_row("level_defined")) == "nobody has written down what this level contains, so nothing can meet it"


def test_a_row_without_a_check_is_never_met() -> None:
    assert why(with_row(None)) == "no check implements this row yet"


def test_every_check_without_parameters_is_implemented_and_no_other_is_registered() -> None:
    shaped = {
        CheckName.ATTESTED,
        CheckName.MOUNTED,
        CheckName.MOUNTED_ANY_MODE,
        CheckName.SCREENS,
        CheckName.THRESHOLD,
        CheckName.RETENTION,
        CheckName.COPIES,
        CheckName.DIALS,
        CheckName.DRILLS,
        CheckName.REPORTING_CLOCK,
        CheckName.BUILT_IN,
    }
    assert set(CHECKS) | set(DATED_CHECKS) == set(CheckName) - shaped
    assert set(CHECKS).isdisjoint(DATED_CHECKS)


@pytest.mark.parametrize("invariant", Invariant)
def test_what_the_guards_own_code_holds_is_met_by_every_model(invariant: Invariant) -> None:
    assert why(with_row("built_in", {"invariant": invariant.value})) is None


ATTESTED = with_row("attested", {"claim": "model_card"})
AGED = with_row("attested", {"claim": "model_card", "max_age_days": 100})


@pytest.mark.parametrize(
    ("config", "at", "words"),
    [
        (ATTESTED, ISSUED, None),
        (ATTESTED, EXPIRES - timedelta(seconds=1), None),
        (ATTESTED, EXPIRES, "the attestation of model_card expired less than a day ago (2027-05-01)"),
        (ATTESTED, EXPIRES + timedelta(days=1), "the attestation of model_card expired 1 day ago (2027-05-01)"),
        (ATTESTED, EXPIRES + timedelta(days=12.5), "the attestation of model_card expired 12 days ago (2027-05-01)"),
        (
            ATTESTED,
            ISSUED - timedelta(days=3),
            "the attestation of model_card is issued in the future: 3 days from now",
        ),
        (AGED, ISSUED + timedelta(days=100, seconds=-1), None),
        (
            AGED,
            ISSUED + timedelta(days=107),
            "the attestation of model_card passed its greatest age of 100 days 7 days ago",
        ),
        (with_row("attested", {"claim": "other"}), NOW, "nobody attests other"),
    ],
)
def test_attested_wants_evidence_that_holds_at_that_instant(config: Config, at: datetime, words: str | None) -> None:
    assert why(config, at) == words


LATE = EXPIRES + timedelta(days=12, hours=5)
CLOSING = with_row("attested", {"claim": "model_card", "on_expiry": "stop_new_principals"})
WARNING = with_row("attested", {"claim": "model_card", "on_expiry": "warn"})


def with_evidence_mounted(config: Config, **changes: Any) -> Config:
    limits = next(mount for mount in config.models["demo"].safeguards if mount.use == "limits")
    evidence = limits.model_copy(update={"use": SafeguardKind.EVIDENCE, "name": "evidence", **changes})
    return with_policy(config, safeguards=(*config.models["demo"].safeguards, evidence))


def test_evidence_that_only_warns_lets_the_model_be_served_and_counts_the_days() -> None:
    assert why(WARNING, LATE) is None
    assert routable_until(WARNING, "demo", NOW) == inf
    assert overdue(WARNING, "demo", LATE) == (Overdue("R", "model_card", 12, OnExpiry.WARN),)
    assert overdue(WARNING, "demo", EXPIRES - timedelta(seconds=1)) == ()
    assert required_claims(WARNING, "demo") == closing_claims(WARNING, "demo") == {}


def test_evidence_that_stops_newcomers_needs_somebody_to_turn_them_away() -> None:
    config = with_evidence_mounted(CLOSING)
    assert why(config, LATE) is None
    assert routable_until(config, "demo", NOW) == inf
    assert closing_claims(config, "demo") == {"model_card": EXPIRES.timestamp()}
    assert overdue(config, "demo", LATE) == (Overdue("R", "model_card", 12, OnExpiry.STOP_NEW_PRINCIPALS),)
    words = "no safeguard evidence with mode enforce and on_failure block turns new principals away"
    for weak in (CLOSING, with_evidence_mounted(CLOSING, mode=Mode.SHADOW)):
        assert why(weak, LATE) == f"model_card has lapsed, and {words}"
        assert routable_until(weak, "demo", NOW) == EXPIRES.timestamp()


@pytest.mark.parametrize("then", OnExpiry)
def test_evidence_that_nobody_ever_gave_is_unmet_whatever_its_lapse_would_do(then: OnExpiry) -> None:
    assert why(with_row("attested", {"claim": "other", "on_expiry": then.value})) == "nobody attests other"


def test_days_of_grace_put_the_lapse_off() -> None:
    config = with_row("attested", {"claim": "model_card", "max_age_days": 100, "grace_days": 30})
    end = ISSUED + timedelta(days=130)
    assert why(config, end - timedelta(seconds=1)) is None
    assert required_claims(config, "demo") == {"model_card": end.timestamp()}
    assert evidence_ends(config, "demo")["model_card"] == end.timestamp()
    words = "the attestation of model_card passed its greatest age of 100 days less than a day ago"
    assert why(config, end) == f"{words}, after 30 days of grace"


def test_evidence_about_other_classifiers_than_those_mounted_does_not_count() -> None:
    config = with_row("attested", {"claim": "model_card", "of_classifiers": True})
    about = "the attestation of model_card is about"
    assert why(config) == f"{about} no classifiers; see the fingerprint in guard explain"
    tested = with_evidence(config, tested=of_classifiers(config, config.models["demo"]))
    assert why(tested) is None
    changed = with_mount(tested, "classifier", mode=Mode.SHADOW)
    assert why(changed) == f"{about} other classifiers than those mounted; see the fingerprint in guard explain"


def test_evidence_names_every_role_that_must_approve_it_each_with_another_person() -> None:
    config = with_row("attested", {"claim": "model_card", "approved_by": ("chief_executive", "officer")})
    chief = Approval(role="chief_executive", person="A", on=date(2026, 10, 1))
    officer = Approval(role="officer", person="B", on=date(2026, 10, 2))
    named = "the attestation of model_card names"
    assert why(config) == f"{named} nobody as chief_executive, officer"
    assert why(with_evidence(config, approvals=(chief,))) == f"{named} nobody as officer"
    both = officer.model_copy(update={"person": "A"})
    assert why(with_evidence(config, approvals=(chief, both))) == f"{named} one person in two roles"
    assert why(with_evidence(config, approvals=(chief, officer))) is None


def test_the_same_instant_in_another_zone_is_judged_the_same() -> None:
    tokyo = datetime.fromisoformat("2027-05-01T09:00:00+09:00")
    assert why(ATTESTED, tokyo) is not None
    assert why(ATTESTED, tokyo - timedelta(seconds=1)) is None


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        unmet(BASE, "demo", datetime(2026, 11, 23))  # noqa: DTZ001 - what is tried here


def test_an_unknown_model_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        unmet(BASE, "other", NOW)


def test_the_claims_of_binding_rows_end_at_the_earliest_bound() -> None:
    both = with_policy(asl=Levels(deployment=2, security=2))
    assert required_claims(both, "demo") == {
        "model_card": (ISSUED + timedelta(days=100)).timestamp(),
        "usage_policy": EXPIRES.timestamp(),
        "security_report": None,
    }
    standard = both.standard("demo")
    turned = standard.model_copy(update={"rows": standard.rows[::-1]})
    reversed_rows = replace(both, standards=MappingProxyType({("house", "1"): turned}))
    assert required_claims(reversed_rows, "demo") == required_claims(both, "demo")
    assert required_claims(with_policy(asl=Levels(deployment=1, security=1)), "demo") == {
        "model_card": EXPIRES.timestamp()
    }


def test_a_model_is_routable_until_its_first_evidence_lapses() -> None:
    end = ISSUED + timedelta(days=100)
    assert routable_until(BASE, "demo", NOW) == end.timestamp()
    assert unmet(BASE, "demo", end - timedelta(seconds=1)) == ()
    assert [row.row for row in unmet(BASE, "demo", end)] == ["D2.card"]
    assert routable_until(BASE, "demo", end) is None
    assert routable_until(with_row("authenticated"), "demo", NOW) == inf


@settings(deadline=None)  # the machine may be busy
@given(st.dates(date(2026, 1, 1), date(2028, 1, 1)), st.integers(1, 400), st.integers(-400, 400))
def test_the_floor_and_the_claims_agree_at_every_instant(issued: date, lasts: int, offset: int) -> None:
    config = with_evidence(AGED, issued=issued, expires=issued + timedelta(days=lasts))
    at = NOW + timedelta(days=offset)
    end = required_claims(config, "demo")["model_card"]
    assert end is not None
    begun = at.date() >= issued
    assert (unmet(config, "demo", at) == ()) == (begun and at.timestamp() < end)


EXAMPLE = HERE.parents[1] / "config"


@pytest.mark.parametrize("version", ["2.2", "3.4"])
def test_the_published_standard_serves_no_model_yet(version: str) -> None:
    """Rows that nothing verifies are unmet; when the last of them is checked, this test is to change."""
    example = load(EXAMPLE)
    framework = example.models["demo"].framework.model_copy(update={"name": "anthropic-rsp", "version": version})
    policy = example.models["demo"].model_copy(update={"framework": framework})
    assert isinstance(policy, ModelPolicy)
    config = replace(example, models=MappingProxyType({"demo": policy}))
    assert any(row.why == "no check implements this row yet" for row in unmet(config, "demo", NOW))


def test_a_row_that_two_versions_share_asks_for_the_same_thing() -> None:
    """Only the source may differ, so that a check written for one version is not forgotten in the other."""
    standards = load(EXAMPLE).standards
    older, newer = (
        {row.id: row.model_copy(update={"source": ""}) for row in standards["anthropic-rsp", version].rows}
        for version in ("2.2", "3.4")
    )
    shared = older.keys() & newer.keys()
    assert len(shared) > 100
    assert {row: newer[row] for row in shared} == {row: older[row] for row in shared}


def test_a_risk_report_counts_for_six_months_after_its_day() -> None:
    standard = load(EXAMPLE).standards["anthropic-rsp", "3.4"]
    (row,) = [row for row in standard.rows if row.id == "E13.report"]
    assert isinstance(row, AttestedRow)
    assert row.parameters == Attested(claim="risk_report", max_age_days=183)
    config = with_row("attested", row.parameters.model_dump())
    config = with_evidence(config, claim="risk_report", issued=date(2026, 8, 1), expires=date(2027, 8, 1))
    end = datetime(2026, 8, 1, tzinfo=UTC) + timedelta(days=183)
    assert why(config, end - timedelta(seconds=1)) is None
    assert why(config, end) is not None
