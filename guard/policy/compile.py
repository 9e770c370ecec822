"""From a model's policy to what serves it: the one place where safeguards meet the ports that they need.

It is one file, so that every safeguard's builder is seen beside the ports that it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any, Final

from guard.classifiers.patterns import BadRule, PatternClassifier, PatternRule
from guard.pipeline import Mount, Pipeline
from guard.policy.config import Config
from guard.policy.fingerprint import binding
from guard.policy.floor import closing_claims, required_claims, routable_until, unmet
from guard.policy.model import (
    ClassifierMount,
    Durable,
    Framework,
    Mode,
    ModelPolicy,
    OnFailure,
    RequestLogMount,
    RuleSet,
    SafeguardKind,
)
from guard.policy.model import Mount as MountPolicy
from guard.policy.necessary import lacking
from guard.policy.order import misplaced
from guard.policy.reaching import Departures, Reach, reach
from guard.policy.replacing import judges
from guard.policy.source import ConfigError, Place, Problem
from guard.serving import Serving
from guard.upstream.send import ModelServer
from guard.wire.dialect import Grants
from guard.wire.openai_models import Entry
from guard.wire.routes import DIALECTS
from safeguards.access import Access
from safeguards.base import Safeguard
from safeguards.classifier import Classification
from safeguards.decision import Unavailable
from safeguards.evidence import Evidence
from safeguards.kill_switch import KillSwitch
from safeguards.limits import Limits, Rate
from safeguards.ports import Clock, Copies, Keep, Ladder, Log, Meters, Screens, Switches
from safeguards.rapid_response import NAME, RapidResponse
from safeguards.request_log import LogSettings, RequestLog
from safeguards.scope import request_words

_RECHECK_SECONDS: Final = 1.0
RAPID_RESPONSE_SECONDS: Final = 5.0  # the longest prompts and answers, by the most rules that may be in force


@dataclass(frozen=True, slots=True)
class Ports:
    """What safeguards need from outside, in this process; without ``screens`` no pushed rule is judged by."""

    switches: Switches
    meters: Meters
    log: Log
    clock: Clock
    copies: Copies | None = None
    ladder: Ladder | None = None
    screens: Screens | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What costs much to make and is the same as long as what it was made of is: by alias, and by file of rules."""

    reaches: dict[str, Reach]
    classifiers: dict[str, tuple[RuleSet, PatternClassifier]]


class Models:
    """The models of one configuration, ready to serve; evidence that lapses takes its model off within a second."""

    def __init__(self, config: Config, ports: Ports, before: Models | None = None) -> None:
        """Compile all of them; raises ConfigError with every rule that cannot be compiled.

        What is the same ``before`` is taken from there: the connections to a server, compiled rules.
        """
        self._config = config
        self._clock = ports.clock
        self._ladder = ports.ladder
        compiling = _Compiling(config, ports, made=None if before is None else before.made)
        self._serving: dict[str, Serving] = {}
        self._until: dict[str, float] = {}
        for alias, policy in config.models.items():
            serving = compiling.serving(policy)
            if serving is not None:
                self._serving[alias] = serving
                self._judge(alias)
        if compiling.problems:
            raise ConfigError(compiling.problems)
        self.made: Made = compiling.made
        self.departures: Departures = Departures() if before is None else before.departures

    def find(self, model: str) -> Serving | None:
        """Return the model of exactly this alias, judged by evidence as it stands now."""
        serving = self._serving.get(model)
        if serving is not None and self._clock.now() >= self._until[model]:
            serving = self._judge(model)
        return serving

    def all(self) -> tuple[Serving, ...]:
        """Return every model."""
        return tuple(self._serving[alias] for alias in self._config.models)

    def entries(self, surface: str, tier: str) -> tuple[Entry, ...]:
        """Return what a caller of this tier may know of the models it may use on this surface (row B1)."""
        granted = self._config.tiers.tiers[tier].models
        found = []
        for alias, policy in self._config.models.items():
            if alias in granted and surface in policy.surfaces and not self._withdrawn(policy):
                cards = [each for each in self._config.evidence[alias] if each.claim == "model_card"]
                card, owner = (cards[0].uri, cards[0].owner) if cards else (None, "")
                found.append(Entry(alias, policy.asl.deployment, policy.asl.security, card, owner))
        return tuple(found)

    def retire(self, successor: Models) -> None:
        """Another has taken over: ways to servers that it does not use close as the exchanges end that still do."""
        for alias, way in self.made.reaches.items():
            taken = successor.made.reaches.get(alias)
            if taken is None or taken.server is not way.server:
                self.departures.see_off(way)

    async def aclose(self) -> None:
        """Close the connections to all upstreams, also those that retired ones still have."""
        await self.departures.aclose()
        for way in self.made.reaches.values():
            await way.server.aclose()

    def _withdrawn(self, policy: ModelPolicy) -> bool:
        """Whether it is offered no more; where that cannot be known it is listed, and refused."""
        if self._ladder is None:
            return False
        asl = max(policy.asl.deployment, policy.asl.security)
        words = request_words(policy.model, policy.release or "", asl, "")
        try:
            return self._ladder.withdrawn(asl, frozenset(words)) is not None
        except Unavailable:
            return False

    def _judge(self, model: str) -> Serving:
        """Ask the floor again; a model below it is asked every second, since its evidence may begin to hold."""
        now = self._clock.now()
        at = datetime.fromtimestamp(now, UTC)
        rows = tuple(row.row for row in unmet(self._config, model, at))
        end = routable_until(self._config, model, at)
        self._until[model] = now + _RECHECK_SECONDS if end is None else end
        serving = self._serving[model] = replace(self._serving[model], unmet=rows)
        return serving


def rapid_response(screens: Screens) -> Mount:
    """Mount what no model's file mounts or leaves out: the rules that are pushed as orders."""
    return Mount(NAME, RapidResponse(screens), enforce=True, block_on_failure=True, deadline=RAPID_RESPONSE_SECONDS)


def check_compiles(config: Config, *, secrets: bool = True, made: Made | None = None) -> Made:
    """Compile everything without any port behind it and read every secret; raises ConfigError.

    Without ``secrets`` nothing that is one is read, for a machine that has none. What it returns can be given to the
    next call, which then compiles only what has changed.
    """
    absent: Any = None  # safeguards keep their ports and do not touch them before the first exchange
    compiling = _Compiling(config, Ports(absent, absent, absent, absent), secrets=secrets, made=made)
    compiling.problems.extend(lacking(config, secrets=secrets))
    for policy in config.models.values():
        compiling.serving(policy)
    if compiling.problems:
        raise ConfigError(compiling.problems)
    return compiling.made


class _Compiling:
    """One pass over a configuration; gathers problems instead of stopping at the first."""

    def __init__(self, config: Config, ports: Ports, *, secrets: bool = True, made: Made | None = None) -> None:
        self._config = config
        self._ports = ports
        self._secrets = secrets
        self._before = made or Made({}, {})
        self.made = Made({}, {})
        self.problems: list[Problem] = []
        self._frameworks: dict[tuple[Framework, ...], str] = {}

    def serving(self, policy: ModelPolicy) -> Serving | None:
        before = len(self.problems)
        mounts = []
        for mount in policy.safeguards:
            try:
                safeguard = self._safeguard(policy, mount)
            except ConfigError as error:
                self.problems.extend(error.problems)
                continue
            mounts.append(
                Mount(
                    mount.name,
                    safeguard,
                    enforce=mount.mode is Mode.ENFORCE,
                    block_on_failure=mount.on_failure is OnFailure.BLOCK,
                    deadline=mount.deadline_seconds,
                )
            )
        for place, words in misplaced(policy):
            self._problem(policy, place, words)
        if self._ports.screens is not None:
            mounts.append(rapid_response(self._ports.screens))
        upstream, ladder = self._upstream(policy), policy.ladder
        if len(self.problems) > before or upstream is None:
            return None
        return Serving(
            model=policy.model,
            asl=max(policy.asl.deployment, policy.asl.security),
            provider=policy.upstream.kind.value,
            policy=self._config.digest,
            pipeline=Pipeline(mounts),
            upstream=upstream,
            dialects={dialect.operation: dialect for dialect in DIALECTS if dialect.operation in policy.operations},
            surfaces=frozenset(policy.surfaces),
            total_seconds=policy.upstream.total_seconds,
            idle_seconds=policy.upstream.idle_seconds,
            unmet=(),
            expect_model=policy.upstream.expect_model or "",
            audience=policy.audience.value,
            framework=self._framework(policy),
            release=policy.release or "",
            rungs=ladder.rungs,
            stricter=None if ladder.stricter is None else Pipeline(_enforced(mounts, ladder.stricter.enforce)),
            fallback="" if ladder.fallback is None else ladder.fallback.model,
            fallback_for=frozenset() if ladder.fallback is None else frozenset(map(str, ladder.fallback.categories)),
            fallback_by=judges(policy, self._config.rules),
            replacement="" if ladder.de_deployed is None else ladder.de_deployed.replacement,
            tried=frozenset(mount.name for mount in mounts if not mount.enforce),
            grants=Grants(policy.upstream.kind.value, frozenset(key.value for key in policy.allow_keys)),
        )

    def _safeguard(self, policy: ModelPolicy, mount: MountPolicy) -> Safeguard:
        match mount.use:
            case SafeguardKind.REQUEST_LOG:
                return self._request_log(mount)
            case SafeguardKind.KILL_SWITCH:
                return KillSwitch(self._ports.switches)
            case SafeguardKind.EVIDENCE:
                claims = required_claims(self._config, policy.model), closing_claims(self._config, policy.model)
                return Evidence(*claims, self._ports.clock)
            case SafeguardKind.ACCESS:
                return self._access(policy)
            case SafeguardKind.LIMITS:
                return self._limits(policy)
            case SafeguardKind.CLASSIFIER:
                return self._classifier(mount)

    def _framework(self, policy: ModelPolicy) -> str:
        """Name the standards with their hashes, which take long enough to be made once for all models of them."""
        standards = (policy.framework, *policy.also)
        name = self._frameworks.get(standards)
        if name is None:
            name = self._frameworks[standards] = binding(self._config, policy.model)
        return name

    def _upstream(self, policy: ModelPolicy) -> ModelServer | None:
        try:
            found = reach(policy, self._config, self._before.reaches.get(policy.model), secrets=self._secrets)
        except ConfigError as error:
            self.problems.extend(error.problems)
            return None
        self.made.reaches[policy.model] = found
        return found.server

    def _problem(self, policy: ModelPolicy, place: Place, message: str) -> None:
        self.problems.append(self._config.problem(f"models/{policy.model}.yaml", place, message))

    def _request_log(self, mount: MountPolicy) -> Safeguard:
        if not isinstance(mount, RequestLogMount):
            raise TypeError(mount.use)
        settings = mount.settings
        retention = settings.retention
        keep = Keep(retention.content_days, retention.flagged_content_days) if settings.content else None
        durable = settings.durable is Durable.BEFORE_FORWARD
        given = LogSettings(
            durable, settings.parts, keep, settings.outage_seconds, settings.refusing_lag, settings.parts_durable
        )
        return RequestLog(self._ports.log, given, self._ports.copies)

    def _access(self, policy: ModelPolicy) -> Safeguard:
        grants = {
            name: frozenset(operation.value for operation in tier.models[policy.model])
            for name, tier in self._config.tiers.tiers.items()
            if policy.model in tier.models
        }
        return Access(grants)

    def _limits(self, policy: ModelPolicy) -> Safeguard:
        rates = {
            name: Rate(tier.rate.per_minute / 60, tier.rate.burst)
            for name, tier in self._config.tiers.tiers.items()
            if policy.model in tier.models
        }
        return Limits(rates, self._ports.meters, self._ports.clock)

    def _classifier(self, mount: MountPolicy) -> Safeguard:
        if not isinstance(mount, ClassifierMount):
            raise TypeError(mount.use)
        path = mount.settings.rules
        rules = self._config.rules[path]
        known = self.made.classifiers.get(path) or self._before.classifiers.get(path)
        if known is None or known[0] != rules:
            compiled = [
                PatternRule(rule.id, rule.category.value, phrase=rule.phrase or "", pattern=rule.pattern or "")
                for rule in rules.rules
            ]
            try:
                known = rules, PatternClassifier(f"{rules.name}/{rules.release}", compiled)
            except BadRule as bad:
                raise ConfigError([self._config.problem(path, _place(rules, bad), bad.why)]) from None
        self.made.classifiers[path] = known
        classifier = known[1]
        screens = {target.value for target in mount.settings.screens}
        return Classification(
            mount.name, classifier, screens_input="input" in screens, screens_output="output" in screens
        )


def _enforced(mounts: Sequence[Mount], names: Collection[str]) -> list[Mount]:
    """The same mounts in the same places, these carried out: what has watched an exchange goes on watching it.

    What is carried out in an emergency blocks when it fails (law 3), whatever was allowed while it was only tried.
    """
    return [replace(mount, enforce=True, block_on_failure=True) if mount.name in names else mount for mount in mounts]


def _place(rules: RuleSet, bad: BadRule) -> Place:
    """Where a bad rule stands in its file; the whole list when no rule alone is bad."""
    for index, rule in enumerate(rules.rules):
        if rule.id == bad.rule:
            return "rules", index, "phrase" if rule.pattern is None else "pattern"
    return ("rules",)


def first_moment(day: date) -> float:
    """Return the epoch second at which a day begins in UTC; an expiry day is the first on which nothing holds."""
    return datetime.combine(day, time.min, UTC).timestamp()
