"""What a change of the configuration does to the safeguards: for every changed key stronger, weaker or neutral.

Compared is what is in force: comments, the order of keys, and files that no model uses make no difference. Not
compared is what the files only refer to: secrets, certificates, and the evidence itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from guard.policy.config import Config
from guard.policy.diff_rules import Effect, Tree, rule_of
from guard.policy.model import AdminToken, Attestation, ClassifierMount, ModelPolicy
from guard.policy.ssh_key import read_key

_SECRETS: Final = ("digest", "file", "env", "client_key", "key", "credential", "pepper", "secrets", "signing_key")
_HIDDEN: Final = frozenset({*_SECRETS, "phrase", "pattern"})
_SHOWN: Final = 200
_EMPTY: Final[Tree] = {}


@dataclass(frozen=True, slots=True)
class Change:
    """One changed key of a subject (``model demo``, ``tier general``, ``guard.yaml``); "" is all of it.

    ``old`` and ``new`` are words for people, cut at 200 characters; where a secret is and what a rule says is not told.
    """

    subject: str
    key: str
    effect: Effect
    why: str
    old: str
    new: str


def diff(old: Config, new: Config) -> tuple[Change, ...]:
    """Return every change between two configurations, models first, then tiers, keys, operators and the process."""
    same = frozenset(alias for alias in old.models.keys() & new.models.keys() if _of(old, alias) == _of(new, alias))
    before, after = tree(old, same), tree(new, same)
    return tuple(change for each in before for change in compare((each,), before[each], after[each]))


def effect_of(changes: Iterable[Change]) -> Effect:
    """Return the worst of them: weaker if any is, else stronger if any is."""
    found = {each.effect for each in changes}
    return next((each for each in (Effect.WEAKER, Effect.STRONGER) if each in found), Effect.NEUTRAL)


def _of(config: Config, alias: str) -> tuple[Any, ...]:
    """Everything that a model's part of the tree is made of."""
    policy = config.models[alias]
    files = [mount.settings.rules for mount in policy.safeguards if isinstance(mount, ClassifierMount)]
    rules = [config.rules[file] for file in files]
    return policy, config.evidence[alias], files, rules, config.standards_of(alias)


def tree(config: Config, without: Collection[str] = ()) -> Tree:
    """Return what is in force as nested mappings by name, every default written out; the leaves are plain values.

    Models ``without`` which it is made are left out.
    """
    guard = _plain(config.guard)
    guard["surfaces"] = _by(guard["surfaces"], "name")
    guard["clocks"] = _by(guard["clocks"], "name")
    guard["notify"] = _by(guard["notify"], "name")
    guard["audit"]["witnesses"] = _by(guard["audit"]["witnesses"], "key")
    guard["admin"]["tokens"] = {each.id: _token(config, each) for each in config.guard.admin.tokens}
    guard["admin"]["hooks"] = _by(guard["admin"]["hooks"], "name")
    admin = guard["admin"]
    admin["emergency_tokens"] = _by(admin["emergency_tokens"], "id")
    if admin["proxy"] is not None:
        admin["proxy"]["people"] = _by(admin["proxy"]["people"], "name")
    tiers = _plain(config.tiers)
    return {
        "models": {
            alias: model_tree(config, policy) for alias, policy in config.models.items() if alias not in without
        },
        "tiers": tiers["tiers"],
        "attributes": tiers["attributes"],
        "keys": _by(tiers["keys"], "id"),
        "operators": _operators(config),
        "webauthn": _webauthn(config),
        "guard": guard,
    }


def _token(config: Config, token: AdminToken) -> dict[str, Any]:
    """As it is taken: none outlives its person's entry, so who lengthens or removes that lengthens it."""
    person = None if config.operators is None else config.operators.person(token.person)
    ends = token.expires if person is None else min(token.expires, person.expires)
    return {**_plain(token), "expires": str(ends)}


def _operators(config: Config) -> dict[str, Any]:
    """The persons by id, each key by its fingerprint: the comment behind it is no change."""
    if config.operators is None:
        return {}
    return {
        each.id: {
            **_plain(each),
            "keys": tuple(read_key(line).fingerprint for line in each.keys),
            "passkeys": tuple(key.fingerprint for key in each.passkeys),
        }
        for each in config.operators.persons
    }


def _webauthn(config: Config) -> dict[str, Any]:
    """For which pages passkeys count."""
    found = None if config.operators is None else config.operators.webauthn
    return {} if found is None else _plain(found)


def model_tree(config: Config, policy: ModelPolicy) -> dict[str, Any]:
    """Return one model's part of the tree, under this policy."""
    alias, model = policy.model, _plain(policy)
    for mount, plain in zip(policy.safeguards, model["safeguards"], strict=True):
        if isinstance(mount, ClassifierMount):
            file = mount.settings.rules
            rules = _plain(config.rules[file])
            plain["settings"]["rules"] = {**rules, "file": file, "rules": _by(rules["rules"], "id")}
    model["order"] = tuple(mount.name for mount in policy.safeguards)
    model["safeguards"] = _by(model["safeguards"], "name")
    model["evidence"] = {each.claim: _attestation(each) for each in config.evidence[alias]}
    model["thresholds"] = _by(model["thresholds"], "threshold")
    if policy.monitoring is not None:
        bands = zip(policy.monitoring.bands, model["monitoring"]["bands"], strict=True)
        model["monitoring"]["bands"] = {band.name: plain for band, plain in bands}
    known = (each.model_dump_json(by_alias=True) for each in config.standard(alias).thresholds)
    model["framework"]["thresholds"] = tuple(known)
    rows = (row for standard in config.standards_of(alias) for row in standard.rows)
    model["framework"]["rows"] = tuple(row.model_dump_json(by_alias=True) for row in rows)
    model["also"] = tuple(f"{each.name} {each.version}" for each in policy.also)
    return model


def _attestation(attestation: Attestation) -> dict[str, Any]:
    approvals = tuple(f"{each.role}: {each.person}, {each.on}" for each in attestation.approvals)
    controls = None if attestation.controls is None else attestation.controls.sha256
    return {**_plain(attestation), "approvals": approvals, "controls": controls}


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = value.model_dump(mode="json", by_alias=True)
    return plain


def _by(items: Iterable[Mapping[str, Any]], key: str) -> dict[str, Any]:
    return {item[key]: item for item in items}


def compare(path: tuple[str, ...], old: Any, new: Any, olds: Tree = _EMPTY, news: Tree = _EMPTY) -> Iterator[Change]:
    """Yield the changes below a path; a part that only one side has is one change, judged at its own path."""
    if old == new and type(old) is type(new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from compare((*path, key), old.get(key), new.get(key), old, new)
        return
    rule = rule_of(path)
    effect = rule.judge(_word(old), _word(new), olds, news)
    if effect is not None:
        subject, key = _subject(path)
        yield Change(subject, key, effect, rule.why, _shown(path, old), _shown(path, new))


def _word(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _subject(path: tuple[str, ...]) -> tuple[str, str]:
    if path[0] == "guard":
        return "guard.yaml", ".".join(path[1:])
    return f"{path[0].removesuffix('s')} {path[1]}", ".".join(path[2:])


def _shown(path: tuple[str, ...], value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "present"
    if not _HIDDEN.isdisjoint(path[2:]):
        return "not shown"
    if path[-2:] in {("framework", "rows"), ("framework", "thresholds")}:
        return f"{len(value)} {path[-1]}"
    text = ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(_word(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
