"""The controls in force for a model, and how they deviate from those that a document described (row E13).

Controls are what decides and bounds: levels, findings, operations, the safeguards with modes, failure postures and
settings, every rule by a hash, the further standards, the ladder, the bands, the times to answer, and the tiers with
their rates and grants. Who holds a key is none, nor is the evidence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from guard.policy import described
from guard.policy.config import Config
from guard.policy.described import Tree
from guard.policy.diff import Change, compare, model_tree
from guard.policy.diff_rules import Effect
from guard.policy.ladder import NO_LADDER
from guard.policy.model import Attestation, ModelPolicy
from guard.policy.view import View

REPORT: Final = "risk_report"
_TAKEN: Final = (
    "asl",
    "audience",
    "surfaces",
    "operations",
    "allow_keys",
    "variant_of",
    "order",
    "also",
    "ladder",
    "response",
)
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Deviation:
    """A control that is not as the evidence for ``claim`` describes it, with what was described and what is."""

    claim: str
    subject: str
    key: str
    effect: Effect
    why: str
    described: str
    now: str


def controls(config: Config, policy: ModelPolicy) -> str:
    """Return the controls of one model as lines of ``path=value``."""
    whole = model_tree(config, policy)
    model: dict[str, Any] = {key: whole[key] for key in _TAKEN}
    model["framework"] = {key: whole["framework"][key] for key in ("name", "version")}
    if whole["monitoring"] is not None:  # when people last looked at the bands is no control
        model["monitoring"] = {key: value for key, value in whole["monitoring"].items() if key != "reviewed"}
    model["upstream"] = {"expect_model": whole["upstream"]["expect_model"]}
    model["thresholds"] = {name: {"state": each["state"]} for name, each in whole["thresholds"].items()}
    model["safeguards"] = {name: _mount(each) for name, each in whole["safeguards"].items()}
    tiers = {
        name: {"models": {policy.model: list(tier.models[policy.model])}, "rate": tier.rate.model_dump(mode="json")}
        for name, tier in config.tiers.tiers.items()
        if policy.model in tier.models
    }
    guard = {"signed_bundle": config.guard.signed_bundle}
    return described.render({"models": {policy.model: model}, "tiers": tiers, "guard": guard})


def _mount(mount: Mapping[str, Any]) -> Tree:
    rules = mount.get("settings", {}).get("rules")
    if rules is None:
        return mount
    judged = {name: _rule(rule) for name, rule in rules["rules"].items()}
    told = {"name": rules["name"], "release": rules["release"], "rules": judged}
    return {**mount, "settings": {**mount["settings"], "rules": told}}


def _rule(rule: Mapping[str, Any]) -> str:
    """What a rule finds, by a hash: the text of a rule is not for reports."""
    finds = {key: value for key, value in rule.items() if key not in {"id", "category"}}
    return hashlib.sha256(json.dumps(finds, sort_keys=True).encode()).hexdigest()


def deviations(config: Config, policy: ModelPolicy) -> tuple[Deviation, ...]:
    """Return what has changed since each attestation of the model that describes its controls; weaker first."""
    found = [
        Deviation(each.claim, change.subject, change.key, change.effect, change.why, change.old, change.new)
        for each in config.evidence[policy.model]
        if _describes(each, policy)
        for change in _changes(each, config, policy)
    ]
    return tuple(sorted(found, key=lambda each: each.effect is not Effect.WEAKER))


def describing(config: Config, policy: ModelPolicy) -> tuple[str, ...]:
    """Return the claims whose attestations describe controls of the model."""
    return tuple(each.claim for each in config.evidence[policy.model] if _describes(each, policy))


def as_reported(view: View) -> str | None:
    """Say what is weaker than the risk report describes, or that it describes nothing (row E13)."""
    attestation, name = view.attestations.get(REPORT), view.policy.model
    if attestation is None:
        return f"nobody attests {REPORT}"
    if not _describes(attestation, view.policy):
        return f"the attestation of {REPORT} describes no controls of {name}; see guard explain {name} --controls"
    weaker = [each for each in _changes(attestation, view.config, view.policy) if each.effect is Effect.WEAKER]
    if not weaker:
        return None
    words = [f"{each.subject} {each.key}: {each.old}, now {each.new}" for each in weaker[:_NAMED]]
    more = f"; and {len(weaker) - _NAMED} more" if len(weaker) > _NAMED else ""
    return f"weaker than {REPORT} describes: {'; '.join(words)}{more}"


def _describes(attestation: Attestation, policy: ModelPolicy) -> bool:
    if attestation.controls is None:
        return False
    models = described.read(attestation.controls.lines).get("models")
    return isinstance(models, Mapping) and bool(models.get(policy.model))


def _changes(attestation: Attestation, config: Config, policy: ModelPolicy) -> tuple[Change, ...]:
    assert attestation.controls is not None  # noqa: S101 - asked by `_describes`
    new = _of(described.read(controls(config, policy)), policy.model)
    try:
        return tuple(_compared(_of(described.read(attestation.controls.lines), policy.model), new))
    except (TypeError, ValueError, KeyError, AttributeError):
        # The lines are what people wrote: one of another shape than ours is none that can be judged.
        words = "what is described has another shape than the controls in force"
        return (Change(f"model {policy.model}", "", Effect.WEAKER, words, "unreadable", "present"),)


def _of(whole: Tree, alias: str) -> Tree:
    """Leave of a description what concerns one model."""
    models, tiers = whole.get("models"), whole.get("tiers", {})
    if not isinstance(models, Mapping) or not isinstance(tiers, Mapping):
        raise TypeError("models and tiers are mappings")
    granted = {
        name: {**tier, "models": {alias: tier["models"][alias]}}
        for name, tier in tiers.items()
        if alias in tier.get("models", {})
    }
    # What was described before ladders, laws and times to answer were told had none of them.
    model = {"also": [], "ladder": NO_LADDER.model_dump(mode="json"), "response": None, **models[alias]}
    return {"models": {alias: model}, "tiers": granted, "guard": whole.get("guard", {})}


def _compared(old: Tree, new: Tree) -> Iterator[Change]:
    for part in ("models", "tiers", "guard"):
        yield from compare((part,), old[part], new[part])
