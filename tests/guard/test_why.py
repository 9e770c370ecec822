"""A hypothetical request, without a host: what is filled in, and that every safeguard has words for what it asks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType

import pytest

from guard.admin.switchboard import served_by
from guard.hypothetical import Answer, Question, Says
from guard.policy.compile import Ports
from guard.policy.config import Config
from guard.policy.load import load
from guard.policy.model import Operation, SafeguardKind
from guard.pushed_rules import PushedRules, screen_of
from guard.why import ASKS, default_question, why
from safeguards.decision import Target
from safeguards.verdict import Code
from tests.guard.policy.test_floor import CLOSING, with_evidence, with_evidence_mounted, with_tiers
from tests.guard.policy.test_floor import NOW as TODAY
from tests.guard.road import Still
from tests.guard.state.parts import merged, rule
from tests.parts.compiled import Buckets, Journal, Switch
from tests.parts.configuration import ModelSpec, write_configuration

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    models = [
        ModelSpec(operations=("messages", "chat"), surfaces=("inside", "public")),
        ModelSpec("open", asl=1, safeguards={"evidence": {"mode": "shadow"}, "limits": {"on_failure": "pass"}}),
    ]
    write_configuration(tmp_path, models=models, now=NOW, surfaces={"inside": 0})
    return load(tmp_path)


def ask(
    config: Config,
    question: Question,
    *,
    switch: Switch | None = None,
    buckets: Buckets | None = None,
    at: datetime = NOW,
) -> Answer:
    ports = Ports(switch or Switch(), buckets or Buckets(), Journal([]), Still(at.timestamp()))
    return asyncio.run(why(config, question, ports))


def test_what_is_left_open_is_the_first_that_the_model_has(config: Config) -> None:
    assert default_question(config, "app", "demo", None, None) == Question("app", "demo", Operation.MESSAGES, "inside")
    given = default_question(config, "app", "demo", Operation.CHAT, "public")
    assert given == Question("app", "demo", Operation.CHAT, "public")
    assert default_question(config, "app", "nobody", None, None) == Question("app", "nobody", Operation.CHAT, "public")


def test_every_safeguard_has_words_for_what_it_asks() -> None:
    assert set(ASKS) == set(SafeguardKind)


def test_a_failure_that_passes_is_told(config: Config) -> None:
    buckets = Buckets()
    buckets.fails = True
    found = ask(config, default_question(config, "app", "open", None, None), buckets=buckets)
    (limits,) = [each for each in found.safeguards if each.name == "limits"]
    assert (limits.says, limits.reason) == (Says.PASSES, "it fails (unreachable), and its failure passes")
    assert found.forwarded


def test_a_failure_that_blocks_is_the_code_that_callers_would_see(config: Config) -> None:
    switch = Switch()
    switch.fails = True
    found = ask(config, default_question(config, "app", "demo", None, None), switch=switch)
    assert (found.forwarded, found.code, found.status) == (False, "safeguard_failed", 503)
    assert [each.says for each in found.safeguards] == [Says.PASSES, Says.REFUSES, *[Says.NOT_ASKED] * 4]


def test_every_operation_has_a_route(config: Config) -> None:
    policy = config.models["demo"].model_copy(update={"operations": tuple(Operation)})
    every = replace(config, models=MappingProxyType({"demo": policy}))
    routes = {ask(every, Question("app", "demo", each, "inside")).route for each in Operation}
    assert len(routes) == len(Operation)


def test_a_key_cannot_be_asked_for_by_something_like_its_id(config: Config) -> None:
    for key in ("App", "app ", "ap", "", "app\n", "é" * 100, "a" * 200):
        assert ask(config, Question(key, "demo", Operation.CHAT, "public")).code == "unauthenticated"


def test_a_key_made_before_a_lapse_is_told_apart_from_a_new_one() -> None:
    """As workers do: evidence whose lapse stops newcomers alone goes on serving those of before."""
    config = with_evidence(with_evidence_mounted(CLOSING), expires=TODAY.date())
    first, second = config.tiers.keys
    config = with_tiers(config, keys=(first.model_copy(update={"issued": date(2026, 1, 1)}), second))
    codes = {
        key.id: ask(config, default_question(config, key.id, "demo", None, None), at=TODAY).code
        for key in (first, second)
    }
    assert codes == {"first": None, "second": "evidence_expired"}


def test_each_rule_order_that_screens_it_is_named_and_one_that_cannot_be_used_refuses(config: Config) -> None:
    orders = [rule("model:demo", 1), rule("model:open", 2), replace(rule("all", 3), screens=(Target.INPUT,))]
    pushed = PushedRules(served_by(config), lambda: 1_700_000_500.0)
    pushed.take({order: screen_of(order) for order in orders})
    pushed.follow(merged(orders))
    question = Question("app", "demo", Operation.CHAT, "public")

    def asked() -> Answer:
        return asyncio.run(
            why(config, question, Ports(Switch(), Buckets(), Journal([]), Still(NOW.timestamp())), pushed)
        )

    found = asked()
    names = [f"rule order {orders[0].id}", f"rule order {orders[2].id}"]
    assert [(each.name, each.says, each.mode) for each in found.safeguards[-2:]] == [
        (name, Says.JUDGES, "enforce") for name in names
    ]
    assert [each.order for each in found.safeguards] == list(range(1, len(found.safeguards) + 1))
    assert found.forwarded
    assert found.watched_by[-1] == names[0]
    pushed.take({orders[0]: replace(screen_of(orders[0]), classifier=None, why="rule marker: it is broken")})
    pushed.follow(merged(orders))
    found = asked()
    assert (found.forwarded, found.code, found.watched_by) == (False, Code.SAFEGUARD_FAILED, ())
    assert [(each.says, each.reason) for each in found.safeguards[-2:]] == [
        (Says.REFUSES, "rule marker: it is broken"),
        (Says.NOT_ASKED, ""),
    ]
