"""What would happen to a hypothetical request, and which safeguard would decide it: the answer of ``guard why``.

Nothing is decided here. The request is taken through the parts that a worker is made of, the arrival and the compiled
pipeline of the model; only its text is missing, so what judges texts is named and not asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from guard.arrival import Arrival, Arrivals, Limits
from guard.callers import holder_of
from guard.credentials import Callers, digest
from guard.diverting import Diverting
from guard.hypothetical import SIDES, Answer, Asked, Question, Says, Step, named, screening
from guard.live import LiveExchanges
from guard.pipeline import Mount, Pipeline
from guard.policy.compile import Models, Ports
from guard.policy.config import Config
from guard.policy.floor import unmet
from guard.policy.model import ClassifierMount, Mode, Operation, SafeguardKind, Target
from guard.policy.model import Mount as MountPolicy
from guard.refusal import Refused
from guard.serving import Serving
from guard.wire.dialect import TOLD, Dialect, Request
from guard.wire.routes import ROUTES
from safeguards.decision import Decision, Unavailable
from safeguards.exchange import Exchange
from safeguards.ports import Clock, Screens
from safeguards.verdict import Code

ASKS: Final[Mapping[SafeguardKind, str]] = MappingProxyType(
    {
        SafeguardKind.REQUEST_LOG: "writes what is asked before anything else happens, and always how it ended",
        SafeguardKind.KILL_SWITCH: "whether a stop order covers it; again whenever text is to leave",
        SafeguardKind.EVIDENCE: "whether every attestation that the standard requires holds at this moment",
        SafeguardKind.ACCESS: "whether the tier of the key grants the operation on this model",
        SafeguardKind.LIMITS: "whether the rate of the key has room",
        SafeguardKind.CLASSIFIER: "judges text",
    }
)
_ID: Final = "hypothetical"
_PEPPER: Final = b"of no real key"
_NAMED: Final = 20


def default_question(
    config: Config, key: str, model: str, operation: Operation | None, surface: str | None
) -> Question:
    """Fill in what was left open: the model's first operation and its first surface, else the first there are."""
    policy = config.models.get(model)
    if operation is None:
        operation = next(iter(Operation)) if policy is None else policy.operations[0]
    if surface is None:
        surface = config.guard.surfaces[0].name if policy is None else policy.surfaces[0]
    return Question(key, model, operation, surface)


async def why(config: Config, question: Question, ports: Ports, pushed: Screens | None = None) -> Answer:
    """Answer from this configuration and these ports; what they count or write is theirs, ``pushed`` the rule orders.

    The surface must exist. Raises ConfigError where the configuration cannot be compiled.
    """
    models = Models(config, ports)
    try:
        return await _Asking(config, question, ports, models, pushed).answer()
    finally:
        await models.aclose()


class _Asking:
    """One question on its way."""

    def __init__(
        self, config: Config, question: Question, ports: Ports, models: Models, pushed: Screens | None
    ) -> None:
        self._config = config
        self._question = question
        self._pushed = pushed
        self._clock = ports.clock
        self._path, self._dialect = _route(question.operation)
        given = config.guard.limits
        self._arrivals = Arrivals(
            question.surface,
            ROUTES,
            _callers(config, question.key, ports.clock),
            models,
            Limits(given.body_bytes, given.body_seconds, given.concurrent, given.concurrent_per_key),
            LiveExchanges(),
            ports.clock,
            lambda: _ID,
            ports.ladder,
        )
        self._steps: list[Step] = []
        self._at = datetime.fromtimestamp(ports.clock.now(), UTC)

    async def answer(self) -> Answer:
        config, asked = self._config, self._question
        surface = next(each for each in config.guard.surfaces if each.name == asked.surface)
        self._pass("surface", f"{surface.name} at {surface.place}")
        self._pass("route", f"POST {self._path.decode()}")
        try:
            caller = self._arrivals.enter(self._scope(), "POST")
            key = next(each for each in config.tiers.keys if each.id == asked.key)
            self._pass("key", f"{key.id} of {key.owner}, tier {key.tier}, until {key.expires}")
            serving = self._arrivals.serving(asked.model, self._dialect, caller)
        except Refused as refused:
            return self._refused(refused)
        self._found()
        request = Request(asked.model, streamed=False, passages=(), fields={})
        exchange = self._arrivals.exchange(_ID, caller, serving, self._dialect, request)
        started = Arrival(exchange, request, self._dialect, serving, self._path.decode(), 0.0)
        taken = self._arrivals.on_ladder(started, lambda _: request)
        serving = taken.serving
        if taken.exchange.asked:
            self._pass("ladder", f"{serving.model} answers in place of {asked.model}, under its own policy")
        if (diverting := taken.diverting) is not None and _in_force(diverting):
            some, other = ", ".join(sorted(diverting.categories)), serving.fallback
            self._pass("ladder", f"a prompt of {some} is answered by {other}, under its own policy, or blocked")
        if taken.stricter:
            self._pass("ladder", f"{serving.model} is stricter: what is in shadow for that blocks as well")
        safeguards = tuple([each async for each in self._asked(taken)])
        screens = () if self._pushed is None else self._pushed.covering(taken.exchange)
        safeguards += tuple(screening(screens, safeguards))
        by = next((each for each in safeguards if each.says is Says.REFUSES), None)
        found = self._ended(safeguards, None if by is None else by.code, serving)
        watching = tuple(named(each) for each in screens if each.output) if found.forwarded else ()
        return replace(found, watched_by=found.watched_by + watching)

    def _scope(self) -> dict[str, object]:
        headers = [(b"authorization", b"Bearer " + _credential(self._question.key))]
        return {"method": "POST", "raw_path": self._path, "query_string": b"", "headers": headers}

    def _pass(self, step: str, detail: str) -> None:
        self._steps.append(Step(step, Says.PASSES, detail))

    def _found(self) -> None:
        """The model has been found and may be served: say so step by step."""
        policy, standards = self._config.models[self._question.model], self._standards()
        self._pass(
            "model", f"{policy.model}, deployment ASL-{policy.asl.deployment}, security ASL-{policy.asl.security}"
        )
        self._pass("audience", f"the model and the key are for the audience {policy.audience}")
        self._pass("operation", f"{self._question.operation} is listed")
        self._pass("floor", f"every row of {standards} that binds it is met")

    def _standards(self) -> str:
        return " and ".join(f"{each.name} {each.version}" for each in self._config.standards_of(self._question.model))

    def _refused(self, refused: Refused) -> Answer:
        """Say at which step the arrival turned it away."""
        config, asked = self._config, self._question
        step, detail = "request", refused.reason or refused.detail
        if refused.code is Code.UNAUTHENTICATED:
            step, detail = "key", f"no key has the id {asked.key!a}"
        elif refused.code is Code.KEY_EXPIRED:
            key = next(each for each in config.tiers.keys if each.id == asked.key)
            step, detail = "key", f"{key.id} of {key.owner} has expired: its last day was the one before {key.expires}"
        elif refused.code is Code.UNKNOWN_MODEL:
            step, detail = "model", self._unknown()
        elif refused.code is Code.AUDIENCE_DENIED:
            step = "audience"
        elif refused.code is Code.ACCESS_DENIED:
            listed = ", ".join(config.models[asked.model].operations)
            step, detail = "operation", f"{asked.model} does not list {asked.operation}; it lists: {listed}"
        elif refused.code is Code.NOT_ROUTABLE:
            step, detail = "floor", f"rows of {self._standards()} that bind it are unmet"
        self._steps.append(Step(step, Says.REFUSES, detail))
        return self._ended((), refused.code, None)

    def _unknown(self) -> str:
        config, asked = self._config, self._question
        policy = config.models.get(asked.model)
        if policy is not None:
            return f"{asked.model} is not served on {asked.surface}; it is on: {', '.join(policy.surfaces)}"
        names = sorted(config.models)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"there is no model {asked.model!a}; there are: {', '.join(names[:_NAMED])}{more}"

    async def _asked(self, arrival: Arrival) -> AsyncIterator[Asked]:
        """Ask each mount by itself, in order; after the first that refuses none would be asked."""
        ended = False
        policies = self._config.models[arrival.serving.model].safeguards
        for order, (policy, mount) in enumerate(zip(policies, arrival.pipeline.mounts, strict=True), 1):
            decision = None
            says = Says.NOT_ASKED
            if not ended and isinstance(policy, ClassifierMount):
                says = Says.JUDGES
            elif not ended:
                decision = await _decision(mount, arrival.exchange, arrival.request)
                says = _says(decision)
                ended = says is Says.REFUSES
            yield Asked(
                order=order,
                use=policy.use,
                name=policy.name,
                mode=Mode.ENFORCE if mount.enforce else Mode.SHADOW,
                on_failure=policy.on_failure,
                deadline_seconds=policy.deadline_seconds,
                asks=_asks(policy),
                says=says,
                code=None if decision is None else decision.code,
                reason="" if decision is None else _reason(decision),
            )

    def _ended(self, safeguards: tuple[Asked, ...], code: Code | None, serving: Serving | None) -> Answer:
        policy = self._config.models.get(self._question.model if serving is None else serving.model)
        forwarded = code is None and serving is not None and policy is not None
        return Answer(
            at=self._at,
            digest=self._config.digest,
            question=self._question,
            route=self._path.decode(),
            steps=tuple(self._steps),
            unmet=unmet(self._config, self._question.model, self._at) if code is Code.NOT_ROUTABLE else (),
            safeguards=safeguards,
            forwarded=forwarded,
            code=code,
            status=None if code is None else TOLD[code].status,
            upstream=f"{policy.upstream.url} as {policy.upstream.model}" if forwarded and policy else None,
            watched_by=tuple(_watching(self._config, serving)) if forwarded and serving else (),
        )


async def _decision(mount: Mount, exchange: Exchange, request: Request) -> Decision:
    """Ask one mount in a pipeline of its own, so that a failure becomes a verdict where it always does."""
    pipeline = Pipeline([mount])
    judgement = pipeline.begin(exchange)
    await pipeline.admit(judgement, request)
    return judgement.admissions[0]


def _in_force(diverting: Diverting[Arrival]) -> bool:
    try:
        return diverting.order() is not None
    except Unavailable:
        return True


def _says(decision: Decision) -> Says:
    if decision.blocked:
        return Says.REFUSES
    return Says.WOULD_REFUSE if decision.denied else Says.PASSES


def _reason(decision: Decision) -> str:
    if decision.failure is not None and not decision.denied:
        return f"it fails ({decision.failure.value}), and its failure passes"
    return decision.reason


def _asks(policy: MountPolicy) -> str:
    if isinstance(policy, ClassifierMount):
        return f"judges {' and '.join(SIDES[side] for side in policy.settings.screens)} by {policy.settings.rules}"
    return ASKS[policy.use]


def _watching(config: Config, serving: Serving) -> Iterator[str]:
    """The mounts that are asked about every piece of an answer."""
    for policy, mount in zip(config.models[serving.model].safeguards, serving.pipeline.mounts, strict=True):
        blind = isinstance(policy, ClassifierMount) and Target.OUTPUT not in policy.settings.screens
        if mount in serving.pipeline.watchers and not blind:
            yield policy.name


def _route(operation: Operation) -> tuple[bytes, Dialect]:
    return next((path, dialect) for path, dialect in ROUTES.items() if dialect.operation == operation)


def _callers(config: Config, key: str, clock: Clock) -> Callers:
    """The register with this key alone, under a credential made up here: the real one is nobody's to know."""
    holders = {}
    for each in config.tiers.keys:
        if each.id == key:
            holders[digest(_PEPPER, _credential(key))] = holder_of(each, config.tiers)
    return Callers(_PEPPER, holders, clock)


def _credential(key: str) -> bytes:
    """Make up a credential in the form of real ones; what is no id gives one that nobody holds."""
    return b"sk-guard-" + key.encode("ascii", "replace")[:64] + b"-made-up-here"
