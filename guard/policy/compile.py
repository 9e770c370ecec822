"""From a model's policy to what serves it: the one place where safeguards meet the ports that they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any, Final
from urllib.parse import urlsplit

from guard.classifiers.patterns import BadRule, PatternClassifier, PatternRule
from guard.pipeline import Mount, Pipeline
from guard.policy.floor import required_claims, routable_until, unmet
from guard.policy.load import Config, read_secret
from guard.policy.model import ClassifierMount, Durable, Mode, ModelPolicy, OnFailure, RequestLogMount, SafeguardKind
from guard.policy.model import Mount as MountPolicy
from guard.policy.source import ConfigError, Problem
from guard.serving import Serving
from guard.upstream.pool import Endpoint, Pool
from guard.upstream.send import ModelServer
from guard.wire.dialect import Dialect
from guard.wire.openai_chat import OpenAIChat
from safeguards.access import Access
from safeguards.base import Safeguard
from safeguards.classifier import Classification
from safeguards.evidence import Evidence
from safeguards.kill_switch import KillSwitch
from safeguards.limits import Limits, Rate
from safeguards.ports import Clock, Log, Meters, Switches
from safeguards.request_log import LogSettings, RequestLog

DIALECTS: Final[tuple[Dialect, ...]] = (OpenAIChat(),)
ROUTES: Final[Mapping[bytes, Dialect]] = {b"/v1/chat/completions": DIALECTS[0]}
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


def check_compiles(config: Config) -> None:
    """Compile everything without any port behind it, for `guard check`; raises ConfigError."""
    absent: Any = None  # safeguards keep their ports and do not touch them before the first exchange
    compiling = _Compiling(config, Ports(absent, absent, absent, absent))
    for policy in config.models.values():
        compiling.serving(policy)
    if compiling.problems:
        raise ConfigError(compiling.problems)


class _Compiling:
    """One pass over a configuration; gathers problems instead of stopping at the first."""

    def __init__(self, config: Config, ports: Ports) -> None:
        self._config = config
        self._ports = ports
        self._classifiers: dict[str, PatternClassifier] = {}
        self.problems: list[Problem] = []
        self.servers: list[ModelServer] = []
        self._builders: Mapping[SafeguardKind, Callable[[ModelPolicy, MountPolicy], Safeguard]] = {
            SafeguardKind.REQUEST_LOG: self._request_log,
            SafeguardKind.KILL_SWITCH: lambda *_: KillSwitch(ports.switches),
            SafeguardKind.EVIDENCE: lambda policy, _: Evidence(required_claims(config, policy.model), ports.clock),
            SafeguardKind.ACCESS: self._access,
            SafeguardKind.LIMITS: self._limits,
            SafeguardKind.CLASSIFIER: self._classifier,
        }

    def serving(self, policy: ModelPolicy) -> Serving | None:
        before = len(self.problems)
        mounts = []
        for mount in policy.safeguards:
            try:
                safeguard = self._builders[mount.use](policy, mount)
            except BadRule as bad:
                self.problems.append(Problem(f"models/{policy.model}.yaml", 0, f"safeguards.{mount.name}", str(bad)))
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
        )

    def _upstream(self, policy: ModelPolicy) -> ModelServer | None:
        settings = policy.upstream
        url = urlsplit(settings.url)
        if url.scheme != "http":
            self._problem(policy, "upstream.url", "https is not spoken to upstreams yet; use a local hop over http")
            return None
        endpoint = Endpoint(url.hostname or "", url.port or 80)
        credential = None
        if settings.credential is not None:
            try:
                credential = read_secret(settings.credential, self._config.directory)
            except ConfigError as error:
                self.problems.extend(error.problems)
                return None
        pool = Pool(
            endpoint,
            max_idle=settings.max_idle,
            rest_seconds=settings.rest_seconds,
            connect_seconds=settings.connect_seconds,
            first_byte_seconds=settings.first_byte_seconds,
        )
        base = url.path.rstrip("/").removesuffix("/v1").encode("ascii")
        server = ModelServer(pool, endpoint.authority.encode(), base, settings.model, credential, DIALECTS[0])
        self.servers.append(server)
        return server

    def _problem(self, policy: ModelPolicy, path: str, message: str) -> None:
        self.problems.append(Problem(f"models/{policy.model}.yaml", 0, path, message))

    def _request_log(self, _: ModelPolicy, mount: MountPolicy) -> Safeguard:
        if not isinstance(mount, RequestLogMount):
            raise TypeError(mount.use)
        settings = mount.settings
        return RequestLog(
            self._ports.log,
            LogSettings(
                durable=settings.durable is Durable.BEFORE_FORWARD, parts=settings.parts, content=settings.content
            ),
        )

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
            classifier = self._classifiers[path] = PatternClassifier(f"{rules.name}/{rules.release}", compiled)
        screens = {target.value for target in mount.settings.screens}
        return Classification(
            mount.name, classifier, screens_input="input" in screens, screens_output="output" in screens
        )


def first_moment(day: date) -> float:
    """Return the epoch second at which a day begins in UTC; an expiry day is the first on which nothing holds."""
    return datetime.combine(day, time.min, UTC).timestamp()
