"""What the rows of a standard claim, on the compiled guard: a named test for each check, invariant and safeguard.

``guard/policy/proof.py`` names these tests, and ``tests/mutations`` shows that each fails when what it proves is
switched off. A check decides whether a model is served at all; a safeguard decides about a request.
It is one file because it is one table, row by row.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from guard.cli import main as guard
from guard.cli.incident_export import write as write_bundle
from guard.incidents.bundle import bundle
from guard.policy.acceptance import Asked, NotAcceptedError, accept
from guard.policy.config import Config, SignedStandard
from guard.policy.controls import controls
from guard.policy.described import Controls
from guard.policy.dials import Coverage, Dials
from guard.policy.drills import DrillConfig
from guard.policy.explain import explain
from guard.policy.fingerprint import of_standard
from guard.policy.ladder import DeDeployed, Ladder
from guard.policy.load import builtin_standards, load
from guard.policy.lowering import levels_in
from guard.policy.model import Levels, Mode, OpaqueKey, Operation, OperatorsFile, Role, Target
from guard.policy.monitoring import Monitoring
from guard.policy.mount import CopySettings
from guard.policy.operators import Person
from guard.policy.response import LegalClock, OnOverdue, Response
from guard.policy.source import ConfigError
from guard.policy.stoppable import stoppable
from guard.policy.storage import Shipping
from guard.pushed_rules import PushedRules, screen_of
from guard.state.orders import StopOrder
from guard.state.reloads import Outcome
from guard.state.rule_text import PushedRule
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from guard.witness import Witness
from safeguards.category import Category
from safeguards.decision import Ending
from safeguards.mode import Mode as Rung
from safeguards.rapid_response import RapidResponse
from tests.guard.incidents.stories import Story
from tests.guard.policy.test_floor import (
    NOW,
    settings_of,
    with_evidence,
    with_mount,
    with_policy,
    with_row,
    with_tiers,
    without_mount,
)
from tests.guard.policy.test_lineage import beside, named, ruled_out, with_threshold, with_thresholds
from tests.guard.road import Still
from tests.guard.serve.test_handling import Desk
from tests.guard.serve.test_reloading import Stand
from tests.guard.state.parts import merged, rule, stop
from tests.parts.approvals import NobodyApproves
from tests.parts.compiled import CHAT, SAID, Compiled
from tests.parts.configuration import MARKER, ModelSpec, write_configuration
from tests.parts.ladders import write_ladder


def ordered(mode: Rung) -> StopOrder:
    """An order of this mode for ``demo``, given now."""
    return replace(stop("model:demo"), mode=mode, created=NOW.timestamp())


def is_served(config: Config, at: datetime = NOW) -> bool:
    """Whether a harmless request of the first key is answered; if not, the model was not asked, and that is why."""
    compiled = Compiled(config, at.timestamp())
    got = compiled.ask(key=config.tiers.keys[0].id)
    if got.status == 200:
        assert got.forwarded
        assert SAID.encode() in got.body
        return True
    assert (got.code, got.forwarded, compiled.timeline.count("intent")) == ("not_routable", False, 0)
    return False


# Checks


def test_a_model_without_its_evidence_is_not_served() -> None:
    config = with_row("attested", {"claim": "model_card", "max_age_days": 100})
    assert is_served(config)
    assert not is_served(with_row("attested", {"claim": "other"}))
    assert not is_served(with_evidence(config, expires=NOW.date()))
    assert not is_served(with_evidence(config, issued=date(2026, 1, 1)))
    assert not is_served(with_evidence(config, issued=date(2026, 11, 24)))


def test_a_model_whose_safeguard_may_not_block_is_not_served() -> None:
    config = with_row("mounted", {"safeguard": "limits"})
    assert is_served(config)
    assert not is_served(with_mount(config, "limits", mode="shadow"))
    assert not is_served(with_mount(config, "limits", on_failure="pass"))
    assert not is_served(without_mount(config, "limits"))


def test_a_model_without_its_safeguard_is_not_served() -> None:
    config = with_row("mounted_any_mode", {"safeguard": "limits"})
    assert is_served(with_mount(config, "limits", mode="shadow"))
    assert not is_served(without_mount(config, "limits"))


def test_a_model_with_a_side_that_no_classifier_screens_is_not_served() -> None:
    for side, other in ((Target.INPUT, Target.OUTPUT), (Target.OUTPUT, Target.INPUT)):
        config = with_row("screens", {"target": side, "mode": "enforce"})
        assert is_served(config)
        one_sided = settings_of(config, "classifier").model_copy(update={"screens": (other,)})
        assert not is_served(with_mount(config, "classifier", settings=one_sided))
        assert not is_served(with_mount(config, "classifier", mode="shadow"))
        reported = with_row("screens", {"target": side, "mode": "any"})
        assert is_served(with_mount(reported, "classifier", mode="shadow"))
        assert not is_served(without_mount(reported, "classifier"))


def test_a_model_whose_requests_may_be_forwarded_before_they_are_on_disk_is_not_served() -> None:
    config = with_row("durable_intent")
    compiled = Compiled(config, NOW.timestamp())
    assert compiled.ask(key="first").forwarded
    assert compiled.timeline == ["intent", "on disk", "sent", "part", "outcome", "on disk", "left", "left"]
    for change in ({"durable": "within_a_second"}, {"parts": False}):
        weaker = settings_of(config, "request_log").model_copy(update=change)
        assert not is_served(with_mount(config, "request_log", settings=weaker))


def test_a_model_whose_answers_are_not_on_two_devices_before_they_are_sent_is_not_served() -> None:
    config = with_row("parts_on_two_devices")
    assert not is_served(config)
    durable = settings_of(config, "request_log").model_copy(update={"parts_durable": True})
    one = with_mount(config, "request_log", settings=durable)
    assert not is_served(one)
    storage = one.guard.storage.model_copy(update={"audit_second": "/second"})
    both = replace(one, guard=one.guard.model_copy(update={"storage": storage}))
    compiled = Compiled(both, NOW.timestamp())
    assert compiled.ask(key="first").forwarded
    assert compiled.timeline == ["intent", "on disk", "sent", "part", "on disk", "outcome", "on disk", "left", "left"]


def test_a_model_without_limits_for_each_key_is_not_served() -> None:
    config = with_row("limits_per_key")
    assert is_served(config)
    assert not is_served(with_mount(config, "limits", mode="shadow"))
    assert not is_served(without_mount(config, "limits"))


def test_a_model_of_which_more_is_granted_than_it_lists_is_not_served() -> None:
    config = with_row("listed_operations")
    assert is_served(config)
    granted = {"demo": (Operation.CHAT, Operation.EMBEDDINGS)}
    tier = config.tiers.tiers["general"].model_copy(update={"models": granted})
    assert not is_served(with_tiers(config, tiers={"general": tier}))


def test_a_model_that_a_key_of_nobody_may_use_is_not_served() -> None:
    config = with_row("authenticated")
    assert is_served(config)
    first, second = config.tiers.keys
    for change in ({"owner": " "}, {"expires": None}):
        assert not is_served(with_tiers(config, keys=(first, second.model_copy(update=change))))


def test_a_model_that_declares_no_level_is_not_served() -> None:
    config = with_row("declared_levels")
    assert is_served(config)
    assert not is_served(with_policy(config, asl=Levels.model_construct(deployment=1, security=0)))


def test_a_model_at_a_level_that_nobody_has_defined_is_not_served() -> None:
    assert not is_served(with_row("level_defined"))


def test_a_model_raised_on_one_axis_alone_is_not_served() -> None:
    config = with_row("both_axes_raised")
    assert is_served(with_policy(config, asl=Levels(deployment=2, security=2)))
    assert not is_served(with_policy(config, asl=Levels(deployment=2, security=1)))


def test_a_model_below_the_level_of_one_threshold_is_not_served() -> None:
    config = with_policy(with_threshold("CBRN-3"), asl=Levels(deployment=1, security=2))
    assert is_served(with_policy(config, thresholds=(ruled_out("CBRN-3"),)))
    for state in ("crossed", "cannot_rule_out"):
        assert not is_served(with_policy(config, thresholds=(ruled_out("CBRN-3", state=state),)))
    assert not is_served(config)


def test_a_model_below_the_levels_of_all_its_thresholds_is_not_served() -> None:
    config = with_policy(with_thresholds(), asl=Levels(deployment=2, security=2))
    found, lapsed = (ruled_out("CBRN-3"), ruled_out("R&D-4")), (ruled_out("R&D-4", expires="2026-11-23"),)
    assert is_served(with_policy(config, thresholds=found))
    assert not is_served(with_policy(config, thresholds=found[:1]))
    assert not is_served(with_policy(config, thresholds=found[:1] + lapsed))
    assert is_served(with_policy(config, asl=Levels(deployment=3, security=3)))


def test_a_model_under_two_names_that_do_not_say_so_is_not_served() -> None:
    assert not is_served(beside())
    assert is_served(named(beside(), ("demo", "twin"), ("twin", "demo")))


def test_a_variant_without_an_evaluation_of_its_own_is_not_served() -> None:
    config = with_row("variant_evaluated")
    assert is_served(config)
    assert not is_served(with_policy(config, variant_of="base-1"))


def test_a_model_whose_answers_need_not_name_it_is_not_served() -> None:
    config = with_row("reported_model")
    assert not is_served(config)
    upstream = config.models["demo"].upstream.model_copy(update={"expect_model": "m-1.2"})
    compiled = Compiled(with_policy(config, upstream=upstream), NOW.timestamp())
    for name, status in (("m-1.2", 200), ("m-1.1", 502)):
        compiled.model.name = name
        for stream in (False, True):
            got = compiled.ask(key="first", stream=stream)
            assert (got.status, got.forwarded, SAID.encode() in got.body) == (status, True, status == 200)


def test_a_model_without_a_time_to_fix_weaknesses_is_not_served_and_a_late_fix_stops_it(tmp_path: Path) -> None:
    config = with_row("overdue_stops")
    assert not is_served(config)
    stops = Response(max_hours=48)
    assert is_served(with_policy(config, response=stops))
    assert not is_served(with_policy(config, response=stops.model_copy(update={"on_overdue": OnOverdue.ALARM})))
    down = stops.model_copy(update={"on_overdue": OnOverdue.STEP_DOWN})
    for fallback, enough in (({"model": "small"}, True), ({"model": "small", "categories": ("other",)}, False)):
        ladder = Ladder.model_validate({"fallback": fallback})
        assert is_served(with_policy(config, response=down, ladder=ladder)) is enough
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    desk.look(1000)
    assert desk.stopped == ["demo"]


def test_a_model_whose_classifiers_are_declared_too_narrow_or_too_weak_is_not_served() -> None:
    config = with_row("dials", {"coverage": "expanded", "robustness": 2})
    assert not is_served(config)
    for coverage, robustness, served in (("narrow", 3, False), ("expanded", 1, False), ("expanded", 2, True)):
        dials = Dials(coverage=Coverage(coverage), robustness=robustness)
        assert is_served(with_policy(config, dials=dials)) is served


def test_a_model_that_cannot_turn_newcomers_away_alone_is_not_served() -> None:
    config = with_row("newcomers_refusable")
    dated = tuple(key.model_copy(update={"issued": date(2026, 1, 1)}) for key in config.tiers.keys)
    closing = with_policy(config, ladder=Ladder(no_new_principals=True))
    assert not is_served(closing)
    assert not is_served(with_tiers(config, keys=dated))
    assert is_served(with_tiers(closing, keys=dated))
    late = (dated[0], dated[1].model_copy(update={"issued": NOW.date()}), *dated[2:])
    orders = merged([ordered(Rung.NO_NEW_PRINCIPALS)])
    compiled = Compiled(with_tiers(closing, keys=late), NOW.timestamp(), ladder=orders)
    assert compiled.ask(key=late[0].id).forwarded
    refused(compiled, "no_new_principals", key=late[1].id)


def test_a_model_without_a_replacement_is_not_served_and_a_withdrawn_one_names_it(tmp_path: Path) -> None:
    config = with_row("replacement_declared")
    assert not is_served(config)
    replaced = with_policy(config, ladder=Ladder(de_deployed=DeDeployed(replacement="small")))
    assert is_served(replaced)
    write_configuration(tmp_path, models=[ModelSpec(asl=3), ModelSpec("small", 2, "http://127.0.0.1:8")], now=NOW)
    write_ladder(tmp_path, "demo", {"de_deployed": {"replacement": "small"}})
    compiled = Compiled(load(tmp_path), NOW.timestamp(), ladder=merged([ordered(Rung.DE_DEPLOYED)]))
    got = compiled.ask()
    assert (got.code, got.forwarded, b"Use small instead." in got.body) == ("de_deployed", False, True)


def test_a_model_without_reviewed_bands_is_not_served() -> None:
    config = with_row("monitored")
    assert not is_served(config)
    band = {"value": "block_rate", "window_seconds": 300, "max": 0.1, "at_least": 50, "then": "step_down"}
    days = {"reviewed": str(NOW.date()), "review_every_days": 30}
    bands = with_policy(config, monitoring=Monitoring.model_validate({"bands": (band,), **days}))
    assert is_served(bands)
    assert not is_served(bands, NOW + timedelta(days=31))
    assert not is_served(bands, NOW - timedelta(days=2))
    finds_nothing = Monitoring.model_validate({"bands": ({**band, "value": "error_rate"},), **days})
    assert not is_served(with_policy(config, monitoring=finds_nothing))


def test_a_model_with_weaker_controls_than_its_risk_report_describes_is_not_served() -> None:
    config = with_row("controls_as_reported")
    assert not is_served(config)
    lines = controls(config, config.models["demo"])
    described = Controls(sha256=hashlib.sha256(lines.encode()).hexdigest(), lines=lines)
    reported = with_evidence(config, claim="risk_report", controls=described)
    assert is_served(reported)
    assert not is_served(with_evidence(config, claim="risk_report"))
    assert not is_served(with_evidence(config, claim="other", controls=described))
    assert not is_served(with_mount(reported, "limits", mode=Mode.SHADOW))
    assert not is_served(without_mount(reported, "limits"))
    assert not is_served(with_policy(reported, allow_keys=(OpaqueKey.SIGNATURE,)))
    (tier,) = config.tiers.tiers.values()
    for rate, served in ((1.0, True), (1e6, False)):
        changed = tier.model_copy(update={"rate": tier.rate.model_copy(update={"per_minute": rate})})
        assert is_served(with_tiers(reported, tiers={"general": changed})) is served


def test_a_model_at_level_four_under_a_standard_that_nobody_signed_is_not_served() -> None:
    config = with_policy(with_row("custom_profile"), asl=Levels(deployment=4, security=1))
    (row,) = config.standard("demo").rows
    fourth = config.standard("demo").model_copy(update={"rows": (row.model_copy(update={"level": 4}),)})
    own = replace(
        config,
        standards=MappingProxyType({("house", "1"): fourth}),
        own=frozenset({("house", "1")}),
        signed=MappingProxyType({of_standard(fourth): SignedStandard(("ana", "ben"), 0.0, 9e9)}),
    )
    assert is_served(own)
    assert not is_served(replace(own, signed=MappingProxyType({})))
    assert not is_served(replace(own, own=frozenset()))


def test_a_model_of_a_configuration_that_nobody_needs_to_sign_is_not_served() -> None:
    config = with_row("signed_bundle")
    assert not is_served(config)
    assert is_served(replace(config, guard=config.guard.model_copy(update={"signed_bundle": True})))


def test_a_model_whose_texts_are_not_kept_for_long_enough_is_not_served() -> None:
    config = with_row("retention", {"content_days": 30})
    kept = settings_of(config, "request_log")

    def days(number: int) -> Any:
        return kept.model_copy(update={"retention": kept.retention.model_copy(update={"content_days": number})})

    assert is_served(with_mount(config, "request_log", settings=days(30)))
    assert not is_served(with_mount(config, "request_log", settings=days(29)))
    none = days(30).model_copy(update={"content": False})
    assert not is_served(with_mount(config, "request_log", settings=none))
    records = with_row("retention", {"record_days": 183})
    assert is_served(records)
    for kept_days, served in ((183, True), (182, False)):
        audit = config.guard.audit.model_copy(update={"record_days": kept_days})
        assert is_served(replace(records, guard=records.guard.model_copy(update={"audit": audit}))) is served


def test_a_model_whose_records_may_lag_behind_their_copies_is_not_served() -> None:
    config = with_row("copies", {"max_lag_seconds": 60})
    storage = config.guard.storage.model_copy(update={"ship": Shipping(to="file:///share")})
    shipping = replace(config, guard=config.guard.model_copy(update={"storage": storage}))
    kept = settings_of(config, "request_log")

    def lag(seconds: float) -> Any:
        return kept.model_copy(update={"copies": CopySettings(max_lag_seconds=seconds)})

    assert is_served(with_mount(shipping, "request_log", settings=lag(60.0)))
    assert not is_served(with_mount(shipping, "request_log", settings=lag(61.0)))
    assert not is_served(shipping)
    assert not is_served(with_mount(config, "request_log", settings=lag(60.0)))


def test_a_model_whose_kill_switch_is_not_drilled_often_enough_is_not_served() -> None:
    config = with_row("drills", {"max_hours": 2})

    def drilled(drills: DrillConfig | None) -> Config:
        return replace(config, guard=config.guard.model_copy(update={"drills": drills}))

    assert is_served(config)
    assert is_served(drilled(DrillConfig(every_seconds=7200.0)))
    assert not is_served(drilled(DrillConfig(every_seconds=7201.0)))
    assert not is_served(drilled(None))


def test_a_model_of_whose_incidents_nobody_must_be_told_in_time_is_not_served() -> None:
    config = with_row("reporting_clock", {"starts": "triaged", "max_hours": 72, "from_severity": 3})

    def ticking(**changes: Any) -> Config:
        told = {"name": "n", "starts": "triaged", "hours": 72, "from_severity": 3, "to": "them", "source": "law"}
        clocks = (LegalClock.model_validate({**told, "rows": ("R",), **changes}),)
        return replace(config, guard=config.guard.model_copy(update={"clocks": clocks}))

    assert not is_served(config)
    assert is_served(ticking())
    assert is_served(ticking(starts="discovered", from_severity=0))
    for late in ({"hours": 73}, {"from_severity": 4}, {"starts": "closed"}, {"starts": "imminent_risk"}):
        assert not is_served(ticking(**late))
    for elsewhere in ((), ("Q",)):
        assert not is_served(ticking(rows=elsewhere))


def test_a_model_that_nobody_is_named_to_stop_is_not_served() -> None:
    config = with_row("responders_named")

    def named_as(*roles: str, expires: date = date(2026, 12, 1)) -> Config:
        persons = [
            Person.model_construct(id=f"p{n}", roles=(Role(each),), expires=expires) for n, each in enumerate(roles)
        ]
        return replace(config, operators=OperatorsFile.model_construct(version=1, persons=tuple(persons)))

    assert not is_served(config)
    assert not is_served(named_as("viewer", "auditor"))
    assert not is_served(named_as("responder", "approver"))
    assert is_served(named_as("responder", "approver", "approver"))
    assert not is_served(named_as("responder", "approver", "approver", expires=NOW.date()))
    served = Compiled(named_as("approver", "approver"), NOW.timestamp())
    assert served.ask(key="first").status == 200
    served.clock.at = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert served.ask(key="first").code == "not_routable"


# What the guard's own code holds


def test_a_model_is_bound_by_the_rows_of_every_lower_level() -> None:
    config = with_policy(with_row("mounted", {"safeguard": "limits"}), asl=Levels(deployment=2, security=2))
    assert is_served(config)
    assert not is_served(without_mount(config, "limits"))


def loaded(directory: Path, change: Callable[[dict[str, Any]], None]) -> Config:
    """Write a configuration whose model has another file, and load it."""
    write_configuration(directory, models=[ModelSpec()], now=NOW)
    path = directory / "models" / "demo.yaml"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return load(directory)


def test_a_threshold_that_the_standard_does_not_know_is_an_error(tmp_path: Path) -> None:
    found = {"threshold": "T-9", "state": "ruled_out", "assessed": "2026-01-01", "expires": "2027-01-01"}
    with pytest.raises(ConfigError, match="is no threshold of example-internal 1"):
        loaded(tmp_path, lambda file: file.update(thresholds=[found]))


def two_surfaces(directory: Path, **model: Any) -> Compiled:
    spec = ModelSpec(asl=3, **model)
    write_configuration(directory, models=[spec], now=NOW, surfaces={"internal": 0})
    return Compiled(load(directory), NOW.timestamp())


def test_a_model_is_unknown_on_a_surface_it_is_not_for(tmp_path: Path) -> None:
    compiled = two_surfaces(tmp_path)
    assert compiled.ask().forwarded
    refused(compiled, "unknown_model", surface="internal")
    with pytest.raises(ConfigError, match="no surface nowhere in guard"):
        loaded(tmp_path, lambda file: file.update(surfaces=["public", "nowhere"]))


def test_a_key_of_one_audience_does_not_reach_a_model_of_another(tmp_path: Path) -> None:
    log_alone = ("access", "limits", "evidence")  # not even where nothing looks at what tiers are granted
    specs = [
        ModelSpec(surfaces=("public", "internal")),
        ModelSpec("inner", audience="internal", surfaces=("public", "internal"), without=log_alone),
        ModelSpec("outer", asl=1, surfaces=("public", "internal"), without=log_alone),
    ]
    write_configuration(tmp_path, models=specs, now=NOW, surfaces={"internal": 0})
    compiled = Compiled(load(tmp_path), NOW.timestamp())
    compiled.hold()
    compiled.held = {alias: replace(each, unmet=()) for alias, each in compiled.held.items()}
    for surface in ("public", "internal"):
        assert compiled.ask(surface=surface).forwarded
        assert compiled.ask(key="internal", model="inner", surface=surface).forwarded
        assert compiled.ask(key="stranger", model="outer", surface=surface).forwarded
        refused(compiled, "audience_denied", key="app", model="inner", surface=surface)
        refused(compiled, "audience_denied", key="stranger", model="inner", surface=surface)
        refused(compiled, "audience_denied", key="internal", surface=surface)
        refused(compiled, "audience_denied", key="internal", model="outer", surface=surface)
    tiers = json.loads((tmp_path / "tiers.yaml").read_text())
    tiers["tiers"]["slow"]["models"]["inner"] = ["chat"]
    (tmp_path / "tiers.yaml").write_text(json.dumps(tiers))
    with pytest.raises(ConfigError, match=r"slow.models.inner: .* is for the audience internal, and this tier is for"):
        load(tmp_path)


def test_a_model_below_its_floor_is_not_served(compiled: Compiled) -> None:
    assert not is_served(with_row(None))
    assert not is_served(with_row("attested", {"claim": "other"}))
    assert compiled.ask().forwarded
    compiled.clock.at += 21 * 86_400  # its evidence has lapsed between two requests
    refused(compiled, "not_routable")


def test_every_surface_and_every_key_meets_the_same_safeguards(tmp_path: Path) -> None:
    compiled = two_surfaces(tmp_path, surfaces=("public", "internal"))
    for surface in ("public", "internal"):
        for key in ("app", "slow"):
            before = len(compiled.log.outcomes)
            assert compiled.ask(key=key, surface=surface).forwarded
            refused(compiled, "content_blocked", key=key, surface=surface, content=f"say {MARKER}")
            assert len(compiled.log.outcomes) == before + 2
        compiled.switch.stopped = True
        refused(compiled, "stopped", surface=surface)
        compiled.switch.stopped = False


def test_nothing_but_the_exact_routes_is_answered(compiled: Compiled) -> None:
    assert compiled.ask().forwarded
    for path in (CHAT + b"/", b"/V1/chat/completions", b"/v1//chat/completions", b"/v1/chat%2fcompletions"):
        refused(compiled, "unknown_route", path=path)


def test_what_no_classifier_can_read_is_refused(compiled: Compiled) -> None:
    assert compiled.ask().forwarded
    image = {"type": "image_url", "image_url": {"url": "https://models.example/a.png"}}
    for content in ([image], [{"type": "text", "text": "look"}, image]):
        refused(compiled, "bad_request", body={"messages": [{"role": "user", "content": content}]})
    refused(compiled, "bad_request", body={"messages": [{"role": "user", "content": "hello"}], "prompt_embeds": "AAAA"})


def test_no_text_leaves_before_it_was_cleared(compiled: Compiled) -> None:
    for cut in range(1, len(MARKER)):
        compiled.model.texts = ("well: ", MARKER[:cut], MARKER[cut:], " and so on")
        got = compiled.ask(stream=True)
        assert b"well: " in got.body
        assert b"FOR" not in got.body
        assert b"and so on" not in got.body


def test_a_key_is_refused_from_its_last_moment_on(compiled: Compiled) -> None:
    compiled.hold()
    assert compiled.ask().forwarded
    refused(compiled, "key_expired", key="lapsed")
    compiled.clock.at += 91 * 86_400
    refused(compiled, "key_expired")


def test_a_refusal_within_an_answer_is_counted(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec(asl=3)], now=NOW)
    meter, quiet = Meter(Origin.WORKER), os.open(os.devnull, os.O_WRONLY)
    compiled = Compiled(load(tmp_path), NOW.timestamp(), Witness(meter, JsonLog(Still(), fd=quiet), None))

    def counted(name: str) -> dict[str, float]:
        return {key[-1]: value for key, value in meter.state().counters.items() if key[0] == name and value}

    compiled.model.texts = ("well: ", MARKER, " and so on")
    got = compiled.ask(stream=True)
    assert (got.status, b"content_filter" in got.body) == (200, True)
    assert counted("guard_requests_total") == {"blocked_output": 1.0}
    assert counted("guard_streams_terminated_total") == {"safeguard": 1.0}
    assert compiled.ask(key="nobody").code == "unauthenticated"
    assert compiled.ask(MARKER).code == "content_blocked"
    assert counted("guard_refusals_total") == {"unauthenticated": 1.0}
    assert counted("guard_requests_total") == {"blocked_output": 1.0, "blocked_input": 1.0}
    os.close(quiet)


def test_blocking_and_recording_do_not_switch_each_other_off(tmp_path: Path) -> None:
    """I1: whatever a safeguard's mode and posture, all is recorded; whatever is recorded, what blocks goes on."""
    for mode in ("enforce", "shadow"):
        for on_failure in ("block", "pass"):
            for log in ({"content": True, "parts": True}, {"content": False, "parts": False}):
                spec = ModelSpec(safeguards={"patterns": {"mode": mode, "on_failure": on_failure}}, log=log)
                write_configuration(tmp_path, models=[spec], now=NOW)
                compiled = Compiled(load(tmp_path), NOW.timestamp())
                got = compiled.ask(f"say {MARKER}")
                assert got.forwarded is (mode == "shadow")
                assert len(compiled.log.intents) == len(compiled.log.outcomes) == 1
                assert any(each.denied and each.safeguard == "patterns" for each in compiled.log.outcomes[0].decisions)
    for weaker in ({"mode": "shadow"}, {"on_failure": "pass"}):
        write_configuration(tmp_path, models=[ModelSpec(asl=1, safeguards={"request_log": weaker})], now=NOW)
        with pytest.raises(ConfigError):
            Compiled(load(tmp_path), NOW.timestamp())


def test_a_standard_is_pinned_by_its_hash(tmp_path: Path) -> None:
    config = loaded(tmp_path, lambda _: None)
    compiled = Compiled(config, NOW.timestamp())
    assert compiled.ask().forwarded
    (arrival,) = compiled.notes.began_with
    plain = config.standard("demo").model_dump(mode="json", by_alias=True)
    sha256 = hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert arrival.exchange.framework == f"example-internal 1 {sha256}"
    (tmp_path / "standards").mkdir()
    altered = (builtin_standards() / "example-internal.yaml").read_text().replace("level: 2", "level: 4")
    (tmp_path / "standards" / "mine.yaml").write_text(altered)
    with pytest.raises(ConfigError, match="is built in with other contents"):
        load(tmp_path)


def test_changed_rules_come_into_force_while_served(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec(asl=3)])
    stand = Stand(tmp_path)
    rules = json.loads((tmp_path / "rules" / "test.yaml").read_text())
    rules["rules"].append({"id": "more", "category": "other", "phrase": "more"})
    (tmp_path / "rules" / "test.yaml").write_text(json.dumps(rules))
    found = asyncio.run(stand.reloading.reload("Ada"))
    stand.log.close()
    assert (found.outcome, found.effect) == (Outcome.IN_FORCE, "stronger")
    assert stand.taken == [load(tmp_path).digest]
    _pushed_while_served(load(tmp_path))


def _pushed_while_served(config: Config) -> None:
    """A rule that is pushed as an order is in force at once, for what runs too, and without any change of the files."""
    order = rule("model:demo", 1, PushedRule("pushed", Category.OTHER, phrase="PUSHED-MARKER"))
    pushed = PushedRules(stoppable(config.models.values(), None))
    compiled = Compiled(config, datetime.now(UTC).timestamp(), screens=pushed)

    def push() -> None:
        pushed.take({order: screen_of(order)})
        pushed.follow(merged([order]))

    assert compiled.ask("a pushed-marker").forwarded
    compiled.model.texts, compiled.model.between = ("a pushed-", "marker"), push
    got = compiled.ask(stream=True)
    assert got.forwarded
    assert b"marker" not in got.body
    assert compiled.log.outcomes[-1].ending is Ending.BLOCKED_OUTPUT
    refused(compiled, "content_blocked", content="a pushed-marker")
    (mount,) = [each for each in compiled.models.all()[0].pipeline.mounts if each.name == "rapid_response"]
    assert isinstance(mount.safeguard, RapidResponse)
    assert not mount.safeguard._asked  # nothing is kept of what has ended


def test_a_level_is_not_lowered_without_two_people(tmp_path: Path) -> None:
    before = loaded(tmp_path, lambda _: None)
    lower = loaded(tmp_path, lambda file: file["asl"].update(deployment=1, security=1))
    with pytest.raises(NotAcceptedError, match="model demo: its levels are lower"):
        accept(Asked(before, lower, frozenset(), 0.0, running=False), NobodyApproves())
    assert accept(Asked(lower, before, frozenset(), 0.0, running=False), NobodyApproves()).approved_by == ()
    empty = replace(before, models={})  # nor by way of a time without it
    back = Asked(empty, lower, frozenset(), 0.0, running=False, levels=levels_in(before))
    with pytest.raises(NotAcceptedError, match="model demo: its levels are lower"):
        accept(back, NobodyApproves())


def test_what_the_level_does_not_withstand_is_said(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec(asl=3)], now=NOW)
    (limit,) = explain(load(tmp_path), "demo", NOW).limits
    assert "sophisticated insider" in limit
    assert "a state" in limit


def test_an_incident_is_timed_from_end_to_end(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    events = (story.opened(), story.triaged(), story.mitigated("public"), story.mitigated("partner"), story.closed())
    for event in events:
        desk.folder.add(event)
    page = desk.look()
    assert desk.acts == [f"incident {what}" for what in ("open", "triage", "mitigate", "mitigate", "close")]
    for surface, hours in (("public", 2), ("partner", 3)):
        labels = f'model="demo",severity="2",surface="{surface}"'
        assert f"guard_incident_mitigation_seconds_sum{{{labels}}} {hours * 3600.0}" in page
    found = desk.folder.read(story.id).incident
    assert found is not None
    assert found.closed is not None
    assert found.opened.discovered < (found.first_triage or 0.0) < found.mitigated["public"].at < found.closed.at


def test_an_incident_stays_open_until_every_surface_is_fixed(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    for event in (story.opened(), story.triaged(), story.mitigated("public")):
        desk.folder.add(event)
    assert guard(["incident", "close", story.id, "--config", str(tmp_path), "--resolution", "done"]) == 4
    desk.folder.add(story.mitigated("partner"))
    assert guard(["incident", "close", story.id, "--config", str(tmp_path), "--resolution", "done"]) == 0
    found = desk.folder.read(story.id).incident
    assert found is not None
    assert found.closed is not None


def test_an_exported_incident_shows_what_was_changed_in_it(tmp_path: Path) -> None:
    desk, story = Desk(tmp_path), Story()
    desk.folder.add(story.opened())
    made = bundle(desk.folder.read(story.id), (), "ana", 0.0, "1")
    write_bundle(made, tmp_path / "out")
    manifest = (tmp_path / "out" / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == made.digest
    files = json.loads(manifest)["files"]
    assert {each["name"] for each in files} == {"events.jsonl", "incident.json", "records.jsonl"}
    for each in files:
        assert hashlib.sha256((tmp_path / "out" / each["name"]).read_bytes()).hexdigest() == each["sha256"]


# Safeguards


@pytest.fixture
def compiled(tmp_path: Path) -> Compiled:
    write_configuration(tmp_path, models=[ModelSpec(asl=3, evidence_days=20)], now=NOW)
    return Compiled(load(tmp_path), NOW.timestamp())


def refused(compiled: Compiled, code: str, **asked: Any) -> None:
    got = compiled.ask(**asked)
    assert (got.code, got.forwarded) == (code, False)


def test_what_cannot_be_recorded_is_not_served_and_what_is_served_is_recorded(compiled: Compiled) -> None:
    assert compiled.ask().forwarded
    assert compiled.timeline == ["intent", "on disk", "sent", "part", "outcome", "on disk", "left", "left"]
    assert compiled.log.parts == [SAID]
    (outcome,) = compiled.log.outcomes
    assert outcome.released[0].text == SAID
    refused(compiled, "access_denied", key="stranger")
    assert compiled.log.outcomes[-1].ending is Ending.DENIED
    compiled.log.fails = True
    refused(compiled, "log_unavailable")


def test_what_is_stopped_is_refused_and_what_runs_is_cut(compiled: Compiled) -> None:
    assert compiled.ask().forwarded

    def stop() -> None:
        compiled.switch.stopped = True

    compiled.model.texts = ("before ", "after")
    compiled.model.between = stop
    got = compiled.ask(stream=True)
    assert got.forwarded
    assert b"after" not in got.body
    assert b"[DONE]" not in got.body
    assert compiled.log.outcomes[-1].ending is Ending.STOPPED
    refused(compiled, "stopped")
    compiled.switch.stopped, compiled.switch.fails = False, True
    refused(compiled, "safeguard_failed")


def test_a_model_below_its_floor_answers_for_no_other(tmp_path: Path) -> None:
    for days in (20, -1):
        small = ModelSpec("small", 2, "http://127.0.0.1:8", evidence_days=days)
        write_configuration(tmp_path, models=[ModelSpec(asl=3), small], now=NOW)
        write_ladder(tmp_path, "demo", {"fallback": {"model": "small"}})
        orders = merged([ordered(Rung.FALLBACK)])
        compiled = Compiled(load(tmp_path), NOW.timestamp(), ladder=orders)
        if days > 0:
            got = compiled.ask()
            assert (got.forwarded, json.loads(got.body)["model"]) == (True, "small")
        else:
            refused(compiled, "stopped")


def test_evidence_that_lapses_under_way_refuses_the_request(compiled: Compiled) -> None:
    compiled.hold()
    assert compiled.ask().forwarded
    compiled.clock.at += 40 * 86_400
    refused(compiled, "evidence_expired")


def test_a_tier_without_a_grant_is_refused(compiled: Compiled) -> None:
    assert compiled.ask(key="app").forwarded
    refused(compiled, "access_denied", key="stranger")


def test_a_key_whose_rate_is_used_up_is_refused(compiled: Compiled) -> None:
    assert compiled.ask().forwarded
    compiled.buckets.wait = 1.0
    refused(compiled, "rate_limited")
    compiled.buckets.wait, compiled.buckets.fails = 0.0, True
    refused(compiled, "safeguard_failed")


def test_what_a_classifier_hits_reaches_neither_the_model_nor_the_caller(compiled: Compiled) -> None:
    assert compiled.ask("harmless").forwarded
    refused(compiled, "content_blocked", content=f"say {MARKER}")
    compiled.model.texts = ("well: ", MARKER[:5], MARKER[5:], " and so on")
    for stream in (False, True):
        got = compiled.ask(stream=stream)
        assert got.forwarded
        assert MARKER[:5].encode() not in got.body
        assert compiled.log.outcomes[-1].ending is Ending.BLOCKED_OUTPUT
