"""What the rows of a standard claim, on the compiled guard: one named test for each check and for each safeguard.

``guard/policy/proof.py`` names these tests, and ``tests/mutations`` shows that each fails when what it proves is
switched off. A check decides whether a model is served at all; a safeguard decides about a request.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from guard.policy.config import Config
from guard.policy.load import load
from guard.policy.model import Levels, Operation, Target
from safeguards.decision import Ending
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
from tests.parts.compiled import SAID, Compiled
from tests.parts.configuration import MARKER, ModelSpec, write_configuration


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
    assert compiled.timeline == ["intent", "on disk", "sent", "part", "left", "left", "outcome"]
    for change in ({"durable": "within_a_second"}, {"parts": False}):
        weaker = settings_of(config, "request_log").model_copy(update=change)
        assert not is_served(with_mount(config, "request_log", settings=weaker))


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
    assert compiled.timeline == ["intent", "on disk", "sent", "part", "left", "left", "outcome"]
    assert compiled.log.parts == [SAID]
    (outcome,) = compiled.log.outcomes
    assert outcome.released[0].text == SAID
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
