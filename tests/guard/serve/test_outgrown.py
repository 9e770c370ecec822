"""Which exchanges a new policy no longer allows, and that all others go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guard.app import Policy, build_policy
from guard.clock import SystemClock
from guard.policy.compile import Ports
from guard.policy.config import Config
from guard.policy.load import load
from guard.serve.outgrown import Outgrown
from safeguards.decision import Ending
from safeguards.exchange import Exchange
from safeguards.verdict import Code
from tests.parts.configuration import ModelSpec, write_configuration
from tests.safeguards.exchanges import exchange

ABSENT: Any = None


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_configuration(tmp_path, models=[ModelSpec(operations=("chat", "embeddings")), ModelSpec("other")])
    return tmp_path


def edit(directory: Path, name: str, change: Callable[[Any], Any]) -> None:
    content = json.loads((directory / name).read_text())
    change(content)
    (directory / name).write_text(json.dumps(content))


def policy(directory: Path) -> Policy:
    return build_policy(load(directory), Ports(ABSENT, ABSENT, ABSENT, SystemClock()))


def running(key: str = "app", model: str = "demo", operation: str = "chat") -> Exchange:
    made = exchange(tier="general", operation=operation, key=key)
    return replace(made, model=model, surface="public")


def reason(before: Config, directory: Path, of: Exchange, *stricter: str) -> str:
    found = Outgrown(before, policy(directory), stricter, datetime.now(UTC).timestamp()).cause(of)
    if found is None:
        return ""
    ending, block = found
    assert (ending, block.code) == (Ending.DENIED, Code.POLICY_CHANGED)
    return block.reason


CHANGES: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "no key": ("tiers.yaml", lambda tiers: tiers["keys"].pop(0), "its key no longer holds"),
    "another digest": (
        "tiers.yaml", lambda tiers: tiers["keys"][0].update(digest="0" * 64), "its key no longer holds",
    ),
    "an expired key": (
        "tiers.yaml", lambda tiers: tiers["keys"][0].update(expires="2001-01-01"), "its key no longer holds",
    ),
    "another tier": (
        "tiers.yaml", lambda tiers: tiers["keys"][0].update(tier="nothing"), "its tier no longer grants it",
    ),
    "no grant": (
        "tiers.yaml", lambda tiers: tiers["tiers"]["general"]["models"].update(demo=["embeddings"]),
        "its tier no longer grants it",
    ),
    "no evidence": (
        "models/demo.yaml", lambda model: model["evidence"].clear(), "its model is no longer routable",
    ),
    "a lower rate": ("tiers.yaml", lambda tiers: tiers["tiers"]["general"]["rate"].update(burst=1), ""),
    "another release": ("rules/test.yaml", lambda rules: rules.update(release="2"), ""),
    "another owner": ("tiers.yaml", lambda tiers: tiers["keys"][0].update(owner="others"), ""),
}  # fmt: skip


@pytest.mark.parametrize(("file", "change", "expected"), CHANGES.values(), ids=CHANGES)
def test_an_exchange_ends_for_exactly_these_reasons(
    directory: Path, file: str, change: Callable[[Any], Any], expected: str
) -> None:
    before = load(directory)
    edit(directory, file, change)
    assert reason(before, directory, running()) == expected


def test_a_model_or_an_operation_that_is_no_longer_served_ends_its_exchanges_and_no_others(directory: Path) -> None:
    before = load(directory)

    def shrink(tiers: Any) -> None:
        for tier in ("general", "slow"):
            tiers["tiers"][tier]["models"] = {"demo": ["chat"]}

    edit(directory, "tiers.yaml", shrink)
    edit(directory, "models/demo.yaml", lambda model: model.update(operations=["chat"]))
    (directory / "models" / "other.yaml").unlink()
    assert reason(before, directory, running()) == ""
    assert reason(before, directory, running(operation="embeddings")) == "its model no longer lists the operation"
    assert reason(before, directory, running(model="other")) == "its model is no longer served there"


def test_what_became_stricter_for_its_model_ends_an_exchange(directory: Path) -> None:
    before = load(directory)
    assert reason(before, directory, running(), "demo") == "the policy of its model became stricter"
    assert reason(before, directory, running(), "other") == ""
