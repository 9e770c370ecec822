"""Row I1, a failure that was published: a flag for internal use switched off blocking and logging, and nobody saw it.

Here no switch of any configuration, alone or with others, can do both, and each path below full coverage is listed.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.config import Config
from guard.policy.coverage import sides
from guard.policy.load import load
from guard.policy.model import Operation, Target
from guard.policy.source import ConfigError
from safeguards.classifier import Classification
from safeguards.decision import Failure, Unavailable
from tests.parts.compiled import CHAT, Compiled
from tests.parts.configuration import MARKER, ModelSpec, write_configuration
from tests.parts.switches_of_schemas import Switch, forms, put, switches

NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
FILES: Final = {"guard": "guard.yaml", "tiers": "tiers.yaml", "model": "models/demo.yaml"}
SURFACES: Final = ("public", "inside")
MESSAGES: Final = b"/v1/messages"
# A standard that asks for nothing that could be weakened: only the guard's own rules are left.
LENIENT: Final = {
    "name": "lenient",
    "version": "1",
    "title": "Asks for nothing",
    "source": "https://example.com/",
    "thresholds": [{"name": "T", "capability": "it", "source": "the tests", "demands": {}}],
    "rows": [
        {
            "id": "declared",
            "axis": "deployment",
            "level": 1,
            "requires": "Levels are declared, and as high as the thresholds demand.",
            "source": "the tests",
            "check": "thresholds_within_levels",
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration as documents by kind, and all its switches."""

    directory: Path
    documents: Mapping[str, Any]
    switches: tuple[Switch, ...]

    def load(self, changes: Mapping[Switch, Any]) -> Config:
        """Write it with these switches set so, and load it; raises ConfigError."""
        documents = copy.deepcopy(dict(self.documents))
        for switch, value in changes.items():
            put(documents[switch.kind], switch, value)
        for kind, name in FILES.items():
            (self.directory / name).write_text(json.dumps(documents[kind]))
        return load(self.directory, self.directory / "builtin")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Configured:
    directory = tmp_path_factory.mktemp("switches")
    spec = ModelSpec(asl=1, surfaces=SURFACES, operations=("chat", "messages"))
    small = replace(spec, name="small", upstream_model="small", upstream="http://127.0.0.1:10")
    write_configuration(directory, models=[spec, small], now=NOW, surfaces={"inside": 0})
    other = directory / "models" / "small.yaml"
    other.write_text(json.dumps({**json.loads(other.read_text()), "framework": {"name": "lenient", "version": "1"}}))
    (directory / "builtin").mkdir()
    (directory / "builtin" / "lenient.yaml").write_text(json.dumps(LENIENT))
    documents = {kind: json.loads((directory / name).read_text()) for kind, name in FILES.items()}
    tls = {"certificate": "a.pem", "key": {"file": "a.key"}, "client_certificates": "optional", "client_ca": "b.pem"}
    documents["guard"]["surfaces"][1]["tls"] = dict(tls)
    documents["guard"]["admin"]["tls"] = dict(tls)
    documents["guard"]["telemetry"] = {"log": "info"}
    hook = {"name": "h", "kind": "generic", "auth": "bearer", "secrets": [{"file": "h"}], "scopes": ["all"]}
    documents["guard"]["admin"]["hooks"] = [hook]
    person = {"name": "n", "person": "somebody", "role": "viewer", "expires": "2999-01-01"}
    documents["guard"]["admin"]["proxy"] = {"header": "x-user", "peers": ["127.0.0.1"], "people": [person]}
    documents["guard"]["fleet"] = {"engine": "folder", "replica": "one", "folder": "fleet"}
    documents["guard"]["fleet"]["peers"] = [{"replica": "two", "admin": "http://127.0.0.1:9"}]
    ship = {"to": "s3://bucket/prefix", "endpoint": "http://127.0.0.1:9", "lock": {"mode": "governance", "days": 1}}
    documents["guard"]["storage"]["ship"] = ship
    documents["guard"]["clocks"] = [{"name": "c", "starts": "discovered", "hours": 1, "to": "x", "source": "x"}]
    told = {"name": "n", "kind": "grafana", "url": "http://127.0.0.1:9", "on": ["stop"], "credential": {"file": "h"}}
    documents["guard"]["notify"] = [told]
    documents["guard"]["drills"] = {"paths": ["order"]}
    documents["model"]["framework"] = {"name": "lenient", "version": "1"}
    documents["model"]["allow_keys"] = ["signature"]
    for mount in documents["model"]["safeguards"]:
        if mount["use"] == "request_log":
            mount["settings"]["copies"] = {"max_lag_seconds": 60, "when_behind": "alarm"}
    documents["model"]["response"] = {"max_hours": 1, "on_overdue": "stop"}
    documents["model"]["ladder"] = {
        "fallback": {"model": "small", "categories": ["other"]},
        "no_new_principals": False,
        "de_deployed": {"replacement": "small", "route": False},
    }
    band = {"value": "block_rate", "window_seconds": 60, "max": 0.5, "at_least": 1, "then": "alarm"}
    documents["model"]["monitoring"] = {"bands": [band], "reviewed": "2026-05-01", "review_every_days": 90}
    documents["model"]["dials"] = {"coverage": "narrow", "robustness": 1}
    finding = {"threshold": "T", "state": "ruled_out", "assessed": "2026-01-01", "expires": "2027-01-01"}
    documents["model"]["thresholds"] = [finding]
    found = tuple(switch for kind, document in documents.items() for switch in switches(kind, document))
    return Configured(directory, documents, found)


class _Broken:
    version = "broken"

    def judge(self, texts: list[str]) -> Any:
        raise Unavailable(Failure.UNREACHABLE, "gone")

    def session(self) -> Any:
        raise Unavailable(Failure.UNREACHABLE, "gone")


def prompts(text: str) -> Iterator[tuple[Operation, bytes, dict[str, Any]]]:
    """The text in a prompt of each operation, and where a switch may let a text through unread."""
    yield Operation.CHAT, CHAT, {"messages": [{"role": "user", "content": text}]}
    said = {"role": "user", "content": text}
    yield Operation.MESSAGES, MESSAGES, {"max_tokens": 9, "messages": [said]}
    thought = {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": text}]}
    turns = [{"role": "user", "content": "x"}, thought, {"role": "user", "content": "y"}]
    yield Operation.MESSAGES, MESSAGES, {"max_tokens": 9, "messages": turns}


def hold_i1(config: Config) -> int:
    """Ask on every path, whole and with parts broken; returns how many requests reached the model."""
    forwarded = 0
    gaps = {(side.surface, side.operation, side.target) for side in sides(config) if side.why}
    for surface, key, broken in itertools.product(SURFACES, ("app", "stranger"), (False, True)):
        compiled = Compiled(config, NOW.timestamp())
        if broken:
            for mount in compiled.models.all()[0].pipeline.mounts:
                if isinstance(mount.safeguard, Classification):
                    mount.safeguard._classifier = _Broken()
        for words in ("harmless", MARKER):
            for operation, path, body in prompts(words):
                compiled.timeline.clear()
                compiled.log.outcomes.clear()
                got = compiled.ask(key=key, surface=surface, path=path, body=body)
                if not got.forwarded:
                    continue
                forwarded += 1
                assert compiled.timeline[0] == "intent", "a request reached the model before it was recorded"
                assert len(compiled.log.outcomes) == 1, "it is not on record how it ended"
                assert compiled.log.outcomes[0].decisions, "it is not on record who let it pass"
                if words == MARKER or broken:
                    assert (surface, operation, Target.INPUT) in gaps, "an unscreened path is not listed"
        compiled.model.texts = (MARKER,)
        if MARKER.encode() in compiled.ask(key=key, surface=surface).body:
            assert (surface, Operation.CHAT, Target.OUTPUT) in gaps, "an unscreened path is not listed"
        compiled.log.fails = True
        for _, path, body in prompts("harmless"):
            assert not compiled.ask(key=key, surface=surface, path=path, body=body).forwarded
    return forwarded


def judge(whole: Configured, changes: Mapping[Switch, Any]) -> int:
    """As `hold_i1`, for the configuration with these changes; -1 where it is refused as a whole."""
    try:
        config = whole.load(changes)
        Compiled(config, NOW.timestamp())
    except ConfigError:
        return -1
    return hold_i1(config)


def test_I1_every_switch_of_every_schema_is_tried(whole: Configured) -> None:  # noqa: N802 - named after its row
    for kind in FILES:
        assert {switch.form for switch in whole.switches if switch.kind == kind} == forms(kind)


def test_I1_no_switch_by_itself_switches_off_the_log_or_hides_a_path(whole: Configured) -> None:  # noqa: N802
    assert judge(whole, {}) > 0
    found = [judge(whole, {switch: value}) for switch in whole.switches for value in switch.values]
    assert {count > 0 for count in found} == {True, False}, "some are refused, some serve"


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_I1_no_combination_of_switches_switches_off_the_log_or_hides_a_path(  # noqa: N802
    whole: Configured, data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(whole.switches), max_size=6, unique=True))
    judge(whole, {switch: data.draw(st.sampled_from(switch.values)) for switch in chosen})


def test_I1_with_everything_that_blocks_in_shadow_everything_is_still_on_record(whole: Configured) -> None:  # noqa: N802
    """The combination that was published: blocking off, which here leaves the log and the listing."""
    soft = {
        switch: "shadow"
        for switch in whole.switches
        if switch.form == ("safeguards", "*", "mode") and switch.place[1] not in {0, 1}
    }
    assert len(soft) == 4
    config = whole.load(soft)
    compiled = Compiled(config, NOW.timestamp())
    got = compiled.ask(MARKER)
    assert got.forwarded
    (outcome,) = compiled.log.outcomes
    (denied,) = [decision for decision in outcome.decisions if decision.denied]
    assert (denied.safeguard, denied.blocked, denied.rule) == ("patterns", False, "marker")
    listed = [(side.surface, side.operation, side.target) for side in sides(config) if side.why]
    assert len(listed) == len(SURFACES) * 2 * 2
    assert hold_i1(config) > 0
