"""The self-test model as a policy: reserved names, a level below two people's, and the very safeguards that stop.

Its level is ASL-2, so that the host's own signature suffices to lift a drill's stop (law 5 stays whole). So what a
drill does not show is the other half of a resume: two people's approval, which models from ASL-3 on need.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from guard.policy.config import Config
from guard.policy.hooks import HookKind
from guard.policy.model import ModelPolicy, Standard, TiersFile
from safeguards.scope import SELF_TEST, Operation

SELF_TEST_ASL: Final = 2
ATTRIBUTE: Final = (SELF_TEST, "yes")
_FOREVER: Final = timedelta(days=36_500)
_MOUNT: Final = {"mode": "enforce", "on_failure": "block", "deadline_seconds": 5}
_LOG: Final = {"durable": "within_a_second", "parts": False, "content": False}


def _standard() -> Standard:
    """What must hold of it: that it is recorded and can be stopped; the floor is asked as for any model."""
    rows = [
        {
            "id": f"selftest.{kind}",
            "axis": "deployment",
            "level": 1,
            "requires": "What is drilled is recorded and can be stopped.",
            "source": "the guard itself",
            "check": "mounted",
            "with": {"safeguard": kind},
        }
        for kind in ("request_log", "kill_switch")
    ]
    head = {"name": SELF_TEST, "version": "1", "title": "The self-test model", "source": "https://example.com/"}
    return Standard.model_validate_json(json.dumps({**head, "rows": rows}))


def _policy(upstream: str, release: str, seconds: float) -> ModelPolicy:
    asked: dict[str, Any] = {
        "version": 1,
        "model": SELF_TEST,
        "release": release,
        "framework": {"name": SELF_TEST, "version": "1"},
        "asl": {"deployment": SELF_TEST_ASL, "security": SELF_TEST_ASL},
        "audience": "internal",
        "surfaces": [SELF_TEST],
        "upstream": {
            "url": f"unix:{upstream}",
            "kind": "openai",
            "model": SELF_TEST,
            "connect_seconds": 5,
            "first_byte_seconds": seconds,
            "idle_seconds": seconds,
            "total_seconds": seconds,
            "max_idle": 0,
        },
        "operations": [each.value for each in Operation],
        "safeguards": [
            {"use": "request_log", **_MOUNT, "settings": _LOG},
            {"use": "kill_switch", **_MOUNT},
            {"use": "access", **_MOUNT},
        ],
        "evidence": [],
    }
    return ModelPolicy.model_validate_json(json.dumps(asked))


def _tiers(digest: str, today: datetime) -> TiersFile:
    name, value = ATTRIBUTE
    grants = {SELF_TEST: [each.value for each in Operation]}
    key = {
        "id": SELF_TEST,
        "owner": SELF_TEST,
        "tier": SELF_TEST,
        "digest": digest,
        "expires": str((today + _FOREVER).date()),
        "attributes": {name: value},
    }
    tier = {"audience": "internal", "models": grants, "rate": {"per_minute": 1_000_000, "burst": 100_000}}
    whole = {"version": 1, "tiers": {SELF_TEST: tier}, "attributes": {name: [value]}, "keys": [key]}
    return TiersFile.model_validate_json(json.dumps(whole))


_STANDARD: Final = _standard()


def scopes_of(release: str) -> tuple[str, ...]:
    """Return every scope that covers nothing but the self-test model of this release, a kind each."""
    return (
        f"model:{SELF_TEST}",
        f"version:{SELF_TEST}/{release}",
        f"tier:{SELF_TEST}",
        f"key:{SELF_TEST}",
        f"org:{SELF_TEST}",
        f"attribute:{'='.join(ATTRIBUTE)}",
    )


def hook_of(kind: HookKind) -> str:
    """Return the name of the webhook by which drills come as this sender: the last part of its address."""
    return f"{SELF_TEST}-{kind.value}"


def release_of(config: Config) -> str:
    """Return which version of the self-test model this guard has: in a fleet, its replica's name."""
    return "host" if config.guard.fleet is None else config.guard.fleet.replica


def self_test(config: Config, upstream: str, digest: str, now: float, seconds: float) -> Config:
    """Return a configuration of the self-test model alone, under this one's digest and nothing else of it.

    ``upstream`` is the path of the socket that answers it, ``digest`` that of the one key that reaches it, ``now``
    seconds since the epoch, ``seconds`` how long one of its answers may take.
    """
    policy = _policy(upstream, release_of(config), seconds)
    return replace(
        config,
        tiers=_tiers(digest, datetime.fromtimestamp(now, UTC)),
        models=MappingProxyType({SELF_TEST: policy}),
        standards=MappingProxyType({(SELF_TEST, "1"): _STANDARD}),
        evidence=MappingProxyType({SELF_TEST: ()}),
        rules=MappingProxyType({}),
        lines=MappingProxyType({f"models/{SELF_TEST}.yaml": MappingProxyType({})}),
        own=frozenset(),
        signed=MappingProxyType({}),
    )
