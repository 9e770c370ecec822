"""What the files of a configuration say about one another: every name that is used must be one that is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from guard.policy.model import (
    ClassifierMount,
    EvidenceFile,
    GuardConfig,
    ModelPolicy,
    OperatorsFile,
    RequestLogMount,
    RuleSet,
    Standard,
    TiersFile,
)
from guard.policy.replacing import replacing, unfindable
from guard.policy.roles import OperatorRole
from guard.policy.source import Document, Place, Problem
from guard.policy.stoppable import stoppable
from guard.state.scope import Scope
from guard.state.served import UnknownScopeError
from safeguards.scope import SELF_TEST, ScopeKind

_OF_MODELS: Final = frozenset({ScopeKind.MODEL, ScopeKind.VERSION})
_OF_TIERS: Final = frozenset({ScopeKind.TIER, ScopeKind.KEY, ScopeKind.ORGANISATION, ScopeKind.ATTRIBUTE})


@dataclass(frozen=True, slots=True)
class Loaded:
    """The valid files: by ``folder/name.yaml``; None or absent where something was wrong already."""

    guard: GuardConfig | None
    tiers: TiersFile | None
    models: Mapping[str, ModelPolicy]
    rules: Mapping[str, RuleSet]
    evidence: Mapping[str, EvidenceFile]
    standards: Mapping[str, Standard]
    shipped: Mapping[str, Standard]
    operators: OperatorsFile | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """Where things stand: the documents of valid files, and the names of broken ones (their absence is no news)."""

    documents: Mapping[str, Document]
    broken: AbstractSet[str]


def check(loaded: Loaded, sources: Sources) -> Iterator[Problem]:
    """Every reference that leads nowhere, and every name given twice."""
    for label, policy in loaded.models.items():
        yield from _model(label, policy, loaded, sources)
    yield from _reserved(loaded, sources)
    yield from _records(loaded, sources)
    yield from _tiers(loaded, sources)
    yield from _tokens(loaded, sources)
    yield from _hooks(loaded, sources)
    yield from _standards(loaded, sources)


def _model(label: str, policy: ModelPolicy, loaded: Loaded, sources: Sources) -> Iterator[Problem]:
    document = sources.documents[label]
    if policy.model != PurePosixPath(label).stem:
        yield document.problem(("model",), f"must equal the file's name, {PurePosixPath(label).stem}")
    framework = policy.framework
    known = sorted({(each.name, each.version) for each in (*loaded.standards.values(), *loaded.shipped.values())})
    if (framework.name, framework.version) not in known and not _any_broken(sources, "standards/", "builtin/"):
        names = ", ".join(f"{name} {version}" for name, version in known) or "none"
        yield document.problem(
            ("framework",), f"no standard {framework.name} {framework.version} is known; there are: {names}"
        )
    for standard in (*loaded.standards.values(), *loaded.shipped.values()):
        if (standard.name, standard.version) == (framework.name, framework.version) and not standard.binding(
            policy.asl
        ):
            yield document.problem(
                ("asl",), f"no row of {standard.name} {standard.version} binds a model of these levels"
            )
    yield from _also(document, policy, loaded, sources)
    yield from _thresholds(document, policy, loaded)
    yield from replacing(document, policy, loaded.models, sources.broken)
    if not _any_broken(sources, "rules/"):
        yield from unfindable(document, policy, loaded.rules)
    yield from _same_weights(document, policy, loaded, sources)
    if loaded.guard is not None:
        surfaces = [surface.name for surface in loaded.guard.surfaces]
        for index, name in enumerate(policy.surfaces):
            if name not in surfaces:
                yield document.problem(
                    ("surfaces", index), f"no surface {name} in guard.yaml; there are: {', '.join(surfaces)}"
                )
    for index, mount in enumerate(policy.safeguards):
        if isinstance(mount, ClassifierMount):
            rules = mount.settings.rules
            if rules not in loaded.rules and rules not in sources.broken:
                yield document.problem(("safeguards", index, "settings", "rules"), f"there is no file {rules}")
        elif isinstance(mount, RequestLogMount) and loaded.guard is not None:
            place = ("safeguards", index, "settings")
            if mount.settings.content and loaded.guard.content is None:
                words = "must be false, or guard.yaml must say under `content` what the texts are sealed with"
                yield document.problem((*place, "content"), words)
            if mount.settings.copies is not None and loaded.guard.storage.ship is None:
                words = "must be null, or guard.yaml must say under `storage.ship` where copies go"
                yield document.problem((*place, "copies"), words)
    evidence = policy.evidence
    if isinstance(evidence, str) and evidence not in loaded.evidence and evidence not in sources.broken:
        yield document.problem(("evidence",), f"there is no file {evidence}")


def _also(document: Document, policy: ModelPolicy, loaded: Loaded, sources: Sources) -> Iterator[Problem]:
    """Hold each further standard to what lets its rows stand beside the others': known, no thresholds, no id twice."""
    known = {(each.name, each.version): each for each in (*loaded.shipped.values(), *loaded.standards.values())}
    own = known.get((policy.framework.name, policy.framework.version))
    taken = {} if own is None else {row.id: own for row in own.rows}
    for index, named in enumerate(policy.also):
        standard, place = known.get((named.name, named.version)), ("also", index)
        if standard is None:
            if not _any_broken(sources, "standards/", "builtin/"):
                there = ", ".join(sorted(f"{name} {version}" for name, version in known))
                yield document.problem(place, f"no standard {named.name} {named.version} is known; there are: {there}")
        elif named == policy.framework:
            yield document.problem(place, "is the model's framework already")
        elif standard.thresholds:
            yield document.problem(
                place, f"{named.name} {named.version} has thresholds: only a framework can have them"
            )
        elif not standard.binding(policy.asl):
            yield document.problem(place, f"no row of {named.name} {named.version} binds a model of these levels")
        elif twice := next((row.id for row in standard.rows if row.id in taken), None):
            other = taken[twice]
            yield document.problem(place, f"has a row {twice}, as {other.name} {other.version} has")
        if standard is not None:
            taken |= {row.id: standard for row in standard.rows}


def _thresholds(document: Document, policy: ModelPolicy, loaded: Loaded) -> Iterator[Problem]:
    """Refuse a threshold that the standard does not know (row A13)."""
    framework = policy.framework
    for standard in (*loaded.standards.values(), *loaded.shipped.values()):
        if (standard.name, standard.version) != (framework.name, framework.version):
            continue
        known = [each.name for each in standard.thresholds]
        for index, assessment in enumerate(policy.thresholds):
            if assessment.threshold not in known:
                words = f"is no threshold of {standard.name} {standard.version}; there are: "
                yield document.problem(("thresholds", index, "threshold"), words + (", ".join(known) or "none"))
        return


def _same_weights(document: Document, policy: ModelPolicy, loaded: Loaded, sources: Sources) -> Iterator[Problem]:
    for index, alias in enumerate(policy.same_weights_as):
        label = f"models/{alias}.yaml"
        other = loaded.models.get(label)
        if alias == policy.model:
            yield document.problem(("same_weights_as", index), "is this model itself")
        elif other is None:
            if label not in sources.broken:
                yield document.problem(("same_weights_as", index), f"there is no file {label}")
        elif policy.model not in other.same_weights_as:
            yield document.problem(("same_weights_as", index), f"{label} does not name {policy.model} in turn")


def _reserved(loaded: Loaded, sources: Sources) -> Iterator[Problem]:
    """Refuse the name that drills go by: their stops would cover whatever else had it."""
    words = f"must not be {SELF_TEST}: drills of the kill switch go by this name"
    for label, policy in loaded.models.items():
        if policy.model == SELF_TEST:
            yield sources.documents[label].problem(("model",), words)
    for index, hook in enumerate(() if loaded.guard is None else loaded.guard.admin.hooks):
        if hook.name.startswith(SELF_TEST):
            begin = f"must not begin with {SELF_TEST}: drills of the kill switch come in by such names"
            yield sources.documents["guard.yaml"].problem(("admin", "hooks", index, "name"), begin)
    if loaded.tiers is None:
        return
    document = sources.documents["tiers.yaml"]
    if SELF_TEST in loaded.tiers.tiers:
        yield document.problem(("tiers", SELF_TEST), words)
    if SELF_TEST in loaded.tiers.attributes:
        yield document.problem(("attributes", SELF_TEST), words)
    for index, key in enumerate(loaded.tiers.keys):
        for field, given in (("id", key.id), ("owner", key.owner)):
            if given == SELF_TEST:
                yield document.problem(("keys", index, field), words)


def _records(loaded: Loaded, sources: Sources) -> Iterator[Problem]:
    """Refuse records that go before the texts that only they lead to."""
    days = None if loaded.guard is None else loaded.guard.audit.record_days
    if days is None:
        return
    for label, policy in loaded.models.items():
        for mount in policy.safeguards:
            if isinstance(mount, RequestLogMount) and mount.settings.retention.flagged_content_days > days:
                words = f"must be at least {mount.settings.retention.flagged_content_days}: so long {label} keeps texts"
                yield sources.documents["guard.yaml"].problem(("audit", "record_days"), words)


def _tiers(loaded: Loaded, sources: Sources) -> Iterator[Problem]:
    tiers = loaded.tiers
    if tiers is None:
        return
    document = sources.documents["tiers.yaml"]
    for name, tier in tiers.tiers.items():
        for alias, operations in tier.models.items():
            place = ("tiers", name, "models", alias)
            label = f"models/{alias}.yaml"
            policy = loaded.models.get(label)
            if policy is None:
                if label not in sources.broken:
                    yield document.problem(place, f"there is no file {label}")
                continue
            if policy.audience is not tier.audience:
                words = f"{label} is for the audience {policy.audience}, and this tier is for {tier.audience}"
                yield document.problem(place, words)
            for index, operation in enumerate(operations):
                if operation not in policy.operations:
                    yield document.problem((*place, index), f"{label} does not list the operation {operation}")
    for index, key in enumerate(tiers.keys):
        if key.tier not in tiers.tiers:
            there = ", ".join(tiers.tiers)
            yield document.problem(("keys", index, "tier"), f"no tier {key.tier} above; there are: {there}")


def _tokens(loaded: Loaded, sources: Sources) -> Iterator[Problem]:
    """Hold each administrator to a person of operators.yaml and to one of that person's roles (row D2).

    Administrators come by a token, or by the name that a trusted proxy gives them.
    """
    if loaded.guard is None or loaded.operators is None:
        return
    document, admin = sources.documents["guard.yaml"], loaded.guard.admin
    named: list[tuple[Place, str, OperatorRole]] = [
        (("admin", "tokens", index), each.person, each.role) for index, each in enumerate(admin.tokens)
    ]
    if admin.proxy is not None:
        people = enumerate(admin.proxy.people)
        named += [(("admin", "proxy", "people", index), each.person, each.role) for index, each in people]
    for place, who, role in named:
        person = loaded.operators.person(who)
        if person is None:
            there = ", ".join(each.id for each in loaded.operators.persons)
            yield document.problem((*place, "person"), f"is the id of nobody in operators.yaml; there are: {there}")
        elif role not in person.roles:
            words = f"is no role of {person.id} in operators.yaml, which says: {', '.join(person.roles)}"
            yield document.problem((*place, "role"), words)


def _hooks(loaded: Loaded, sources: Sources) -> Iterator[Problem]:
    """Refuse a webhook that may stop what does not exist: it would protect nobody."""
    if loaded.guard is None:
        return
    served = stoppable(loaded.models.values(), loaded.tiers)
    # Of a file that is broken it is not known what it would have named.
    unknown = _OF_MODELS if _any_broken(sources, "models/") else frozenset[ScopeKind]()
    unknown |= _OF_TIERS if loaded.tiers is None else frozenset()
    for index, hook in enumerate(loaded.guard.admin.hooks):
        for which, text in enumerate(hook.scopes):
            scope = Scope.parse(text)
            if scope.kind in unknown:
                continue
            try:
                served.require(scope)
            except UnknownScopeError as wrong:
                place = ("admin", "hooks", index, "scopes", which)
                yield sources.documents["guard.yaml"].problem(place, str(wrong))


def _standards(loaded: Loaded, sources: Sources) -> Iterator[Problem]:
    """Refuse a standard given twice; one of the operator's may repeat a built-in one only word for word."""
    shipped = {(each.name, each.version): each for each in loaded.shipped.values()}
    given: dict[tuple[str, str], str] = {}
    for label, standard in loaded.standards.items():
        key = (standard.name, standard.version)
        first = given.setdefault(key, label)
        if first != label:
            yield sources.documents[label].problem(("name",), f"{key[0]} {key[1]} is already given by {first}")
        if shipped.get(key, standard) != standard:
            yield sources.documents[label].problem(
                ("name",), f"{key[0]} {key[1]} is built in with other contents; give yours a name of its own"
            )


def _any_broken(sources: Sources, *folders: str) -> bool:
    return any(label.startswith(folders) for label in sources.broken)
