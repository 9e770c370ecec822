"""From a model's policy to what serves it: the one place where safeguards meet the ports that they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any, Final

from guard.classifiers.patterns import BadRule, PatternClassifier, PatternRule
from guard.pipeline import Mount, Pipeline
from guard.policy.config import Config
from guard.policy.content import check_content
from guard.policy.fingerprint import of_standard
from guard.policy.floor import closing_claims, required_claims, routable_until, unmet
from guard.policy.model import (
    ClassifierMount,
    Durable,
    Mode,
    ModelPolicy,
    OnFailure,
    RequestLogMount,
    RuleSet,
    SafeguardKind,
    Standard,
)
from guard.policy.model import Mount as MountPolicy
from guard.policy.reaching import model_server
from guard.policy.secret import read_secret
from guard.policy.source import ConfigError, Place, Problem
from guard.serving import Serving
from guard.upstream.send import ModelServer
from guard.wire.dialect import Grants
from guard.wire.openai_models import Entry
from guard.wire.routes import DIALECTS
from safeguards.access import Access
from safeguards.base import Safeguard
from safeguards.classifier import Classification
from safeguards.evidence import Evidence
from safeguards.kill_switch import KillSwitch
from safeguards.limits import Limits, Rate
from safeguards.ports import Clock, Keep, Log, Meters, Switches
from safeguards.request_log import LogSettings, RequestLog

_RECHECK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Ports:
    """What safeguards need from outside, in this process."""

    switches: Switches
    meters: Meters
    log: Log
    clock: Clock


class Models:
    """The models of one configuration, ready to serve; evidence that lapses takes its model off within a second."""

    def __init__(self, config: Config, ports: Ports) -> None:
        """Compile all of them; raises ConfigError with every rule that cannot be compiled."""
        self._config = config
        self._clock = ports.clock
        compiling = _Compiling(config, ports)
        self._servers: list[ModelServer] = []
        self._serving: dict[str, Serving] = {}
        self._until: dict[str, float] = {}
        for alias, policy in config.models.items():
            serving = compiling.serving(policy)
            if serving is not None:
                self._serving[alias] = serving
                self._judge(alias)
        if compiling.problems:
            raise ConfigError(compiling.problems)
        self._servers = compiling.servers

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
            if alias in granted and surface in policy.surfaces:
                cards = [each for each in self._config.evidence[alias] if each.claim == "model_card"]
                card, owner = (cards[0].uri, cards[0].owner) if cards else (None, "")
                found.append(Entry(alias, policy.asl.deployment, policy.asl.security, card, owner))
        return tuple(found)

    async def aclose(self) -> None:
        """Close the connections to all upstreams."""
        for server in self._servers:
            await server.aclose()

    def _judge(self, model: str) -> Serving:
        """Ask the floor again; a model below it is asked every second, since its evidence may begin to hold."""
        now = self._clock.now()
        at = datetime.fromtimestamp(now, UTC)
        rows = tuple(row.row for row in unmet(self._config, model, at))
        end = routable_until(self._config, model, at)
        self._until[model] = now + _RECHECK_SECONDS if end is None else end
        serving = self._serving[model] = replace(self._serving[model], unmet=rows)
        return serving


def check_compiles(config: Config, *, secrets: bool = True) -> None:
    """Compile everything without any port behind it and read every secret; raises ConfigError.

    Without ``secrets`` nothing that is one is read, for a machine that has none.
    """
    absent: Any = None  # safeguards keep their ports and do not touch them before the first exchange
    compiling = _Compiling(config, Ports(absent, absent, absent, absent), secrets=secrets)
    compiling.secrets()
    for policy in config.models.values():
        compiling.serving(policy)
    if compiling.problems:
        raise ConfigError(compiling.problems)


class _Compiling:
    """One pass over a configuration; gathers problems instead of stopping at the first."""

    def __init__(self, config: Config, ports: Ports, *, secrets: bool = True) -> None:
        self._config = config
        self._ports = ports
        self._secrets = secrets
        self._classifiers: dict[str, PatternClassifier] = {}
        self.problems: list[Problem] = []
        self.servers: list[ModelServer] = []
        self._builders: Mapping[SafeguardKind, Callable[[ModelPolicy, MountPolicy], Safeguard]] = {
            SafeguardKind.REQUEST_LOG: self._request_log,
            SafeguardKind.KILL_SWITCH: lambda *_: KillSwitch(ports.switches),
            SafeguardKind.EVIDENCE: lambda policy, _: Evidence(
                required_claims(config, policy.model), closing_claims(config, policy.model), ports.clock
            ),
            SafeguardKind.ACCESS: self._access,
            SafeguardKind.LIMITS: self._limits,
            SafeguardKind.CLASSIFIER: self._classifier,
        }

    def secrets(self) -> None:
        """Read those of the process, since without them no worker can begin."""
        try:
            if self._secrets:
                at = partial(self._config.problem, "guard.yaml", ("keys", "pepper"))
                read_secret(self._config.guard.keys.pepper, self._config.directory, at)
        except ConfigError as error:
            self.problems.extend(error.problems)
        try:
            check_content(self._config, secrets=self._secrets)
        except ConfigError as error:
            self.problems.extend(error.problems)

    def serving(self, policy: ModelPolicy) -> Serving | None:
        before = len(self.problems)
        mounts = []
        for mount in policy.safeguards:
            try:
                safeguard = self._builders[mount.use](policy, mount)
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
        self._order(policy)
        upstream = self._upstream(policy)
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
            framework=_framework(self._config.standard(policy.model)),
            grants=Grants(policy.upstream.kind.value, frozenset(key.value for key in policy.allow_keys)),
        )

    def _order(self, policy: ModelPolicy) -> None:
        """Hold what no level may do without: the record comes first and is enforced, and the switch works (law 6)."""
        first = policy.safeguards[0]
        if first.use is not SafeguardKind.REQUEST_LOG:
            words = "must be request_log: nothing is decided before it is recorded"
            self._problem(policy, ("safeguards", 0, "use"), words)
        elif first.mode is not Mode.ENFORCE:
            self._problem(policy, ("safeguards", 0, "mode"), "must be enforce: a log in shadow may lose requests")
        for index, mount in enumerate(policy.safeguards):
            if mount.use is SafeguardKind.KILL_SWITCH:
                if mount.mode is not Mode.ENFORCE:
                    self._problem(policy, ("safeguards", index, "mode"), "must be enforce: a stop must stop")
                return
        self._problem(policy, ("safeguards",), "must mount kill_switch: a model that cannot be stopped is not served")

    def _upstream(self, policy: ModelPolicy) -> ModelServer | None:
        try:
            server = model_server(policy, self._config, secrets=self._secrets)
        except ConfigError as error:
            self.problems.extend(error.problems)
            return None
        self.servers.append(server)
        return server

    def _problem(self, policy: ModelPolicy, place: Place, message: str) -> None:
        self.problems.append(self._config.problem(f"models/{policy.model}.yaml", place, message))

    def _request_log(self, _: ModelPolicy, mount: MountPolicy) -> Safeguard:
        if not isinstance(mount, RequestLogMount):
            raise TypeError(mount.use)
        settings = mount.settings
        retention = settings.retention
        keep = Keep(retention.content_days, retention.flagged_content_days) if settings.content else None
        durable = settings.durable is Durable.BEFORE_FORWARD
        return RequestLog(self._ports.log, LogSettings(durable, settings.parts, keep, settings.outage_seconds))

    def _access(self, policy: ModelPolicy, _: MountPolicy) -> Safeguard:
        grants = {
            name: frozenset(operation.value for operation in tier.models[policy.model])
            for name, tier in self._config.tiers.tiers.items()
            if policy.model in tier.models
        }
        return Access(grants)

    def _limits(self, policy: ModelPolicy, _: MountPolicy) -> Safeguard:
        rates = {
            name: Rate(tier.rate.per_minute / 60, tier.rate.burst)
            for name, tier in self._config.tiers.tiers.items()
            if policy.model in tier.models
        }
        return Limits(rates, self._ports.meters, self._ports.clock)

    def _classifier(self, _: ModelPolicy, mount: MountPolicy) -> Safeguard:
        if not isinstance(mount, ClassifierMount):
            raise TypeError(mount.use)
        path = mount.settings.rules
        classifier = self._classifiers.get(path)
        if classifier is None:
            rules = self._config.rules[path]
            compiled = [
                PatternRule(rule.id, rule.category.value, phrase=rule.phrase or "", pattern=rule.pattern or "")
                for rule in rules.rules
            ]
            try:
                classifier = self._classifiers[path] = PatternClassifier(f"{rules.name}/{rules.release}", compiled)
            except BadRule as bad:
                raise ConfigError([self._config.problem(path, _place(rules, bad), bad.why)]) from None
        screens = {target.value for target in mount.settings.screens}
        return Classification(
            mount.name, classifier, screens_input="input" in screens, screens_output="output" in screens
        )


def _place(rules: RuleSet, bad: BadRule) -> Place:
    """Where a bad rule stands in its file; the whole list when no rule alone is bad."""
    for index, rule in enumerate(rules.rules):
        if rule.id == bad.rule:
            return "rules", index, "phrase" if rule.pattern is None else "pattern"
    return ("rules",)


def _framework(standard: Standard) -> str:
    return f"{standard.name} {standard.version} {of_standard(standard)}"


def first_moment(day: date) -> float:
    """Return the epoch second at which a day begins in UTC; an expiry day is the first on which nothing holds."""
    return datetime.combine(day, time.min, UTC).timestamp()
