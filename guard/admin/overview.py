"""What the control page shows, gathered at one moment: every part frozen, and nothing in it that was not looked up.

It is one file, because all of it is looked up for one page, at one moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from guard.admin.api import Fleet
from guard.admin.drill_view import DrillView, drill_views
from guard.admin.fleet_view import FleetView, fleet_view
from guard.admin.modes import rank
from guard.admin.obedience import Confirmed, confirmed
from guard.admin.running import Running, by_model, total
from guard.admin.switchboard import Hold, Standing, Switchboard
from guard.incidents.case import Case, most_urgent_first
from guard.policy.report import ModelReport
from guard.policy.standard import OnExpiry
from guard.state.drilled import drills_own
from guard.state.merge import Judged, State, mode_of
from guard.state.orders import Order, RuleOrder, StopOrder

MAX_HISTORY: Final = 50
MAX_STOPS: Final = 12  # for each the words of all workers are read
SOON_SECONDS: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a worker: whether it serves, how many exchanges run there, and why it is empty if it is."""

    name: str
    serving: bool
    live: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Lapse:
    """Evidence of a model and when it lapses (seconds since the epoch)."""

    model: str
    claim: str
    at: float


@dataclass(frozen=True, slots=True)
class LogHealth:
    """The request log: what is wrong with it, and whether it has been brought under a signed head at all."""

    troubles: tuple[str, ...]
    sealed: bool


class Instruments(Protocol):
    """What the page asks of the supervisor beside what the API asks."""

    def running(self) -> tuple[Running, ...]:
        """What runs on all workers, by their last word."""

    def places(self) -> tuple[Place, ...]:
        """Every place of a worker."""

    def reports(self) -> tuple[ModelReport, ...]:
        """Each model's standing, judged a few seconds ago at most."""

    def lapses(self) -> tuple[Lapse, ...]:
        """Until when evidence holds."""

    def incidents(self) -> tuple[Case, ...]:
        """Every incident of which something is to be done, as it was looked at a second ago at most."""

    def incident_findings(self) -> tuple[str, ...]:
        """What keeps incidents from being known, in a line each."""

    def drill_findings(self) -> tuple[str, ...]:
        """What drills of the kill switch leave open, in a line each."""

    def log_health(self) -> LogHealth:
        """How the request log is."""

    def leaving(self) -> bool:
        """Whether the process is about to end, so that nothing should wait any longer."""

    def note(self, who: str, what: str, subject: str, reason: str) -> None:
        """Put an act on record, without waiting for the disk: nobody is kept from a stop by a log that hangs."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A stop in force and who has obeyed it."""

    standing: Standing
    obeyed: Confirmed

    @property
    def mode(self) -> str:
        """What it does."""
        return mode_of(self.standing.stop).value

    @property
    def scope(self) -> str:
        """What it covers, as it was ordered."""
        return str(self.standing.stop.scope)

    @property
    def who(self) -> str:
        """Who gave it."""
        stop = self.standing.stop
        return stop.who if isinstance(stop, StopOrder) else "a file in the orders' directory"

    @property
    def since(self) -> float | None:
        """When, in seconds since the epoch; None where only a file says it."""
        stop = self.standing.stop
        return stop.created if isinstance(stop, StopOrder) else None


@dataclass(frozen=True, slots=True)
class Model:
    """One model: its standing, the orders that hold it for everybody (strongest first), and what runs on it.

    ``lapsed`` is whether its level is not served here for want of proof that every stop order is known.
    """

    report: ModelReport
    held: tuple[Hold, ...]
    running: int
    lapsed: bool = False

    @property
    def asl(self) -> int:
        """The level that leases and resumes go by."""
        return max(self.report.deployment, self.report.security)

    @property
    def refused(self) -> bool:
        """Whether an order turns its callers away, and no other model answers them."""
        return any(each.refuses for each in self.held)

    @property
    def served(self) -> bool:
        """Whether requests are answered, as far as orders, policy and leases go."""
        return self.report.routable and not self.refused and not self.lapsed


@dataclass(frozen=True, slots=True)
class Kind:
    """All stops in force of one mode: how many, and what the newest covers."""

    mode: str
    scope: str
    number: int


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it; ``at`` is seconds since the epoch, ``unreadable`` says why the orders cannot be read, if so.

    ``stops`` are the strongest and newest, ``kinds`` count all; ``fleet`` is None for a guard that is no part of one,
    and ``rules`` counts the orders in force that push rules. ``incidents`` are those of which
    something is to be done, most urgent first.
    """

    at: float
    unreadable: str
    kinds: tuple[Kind, ...]
    stops: tuple[Stopped, ...]
    more_stops: int
    models: tuple[Model, ...]
    places: tuple[Place, ...]
    running: int
    findings: tuple[str, ...]
    lapses: tuple[Lapse, ...]
    log: LogHealth
    policy: str
    policy_since: float
    history: tuple[StopOrder | RuleOrder | Judged, ...]
    ordered: int
    fleet: FleetView | None = None
    rules: int = 0
    drills: tuple[DrillView, ...] = ()
    incidents: tuple[Case, ...] = ()

    @property
    def served(self) -> int:
        """How many models are served here: none without a worker that serves."""
        return sum(each.served for each in self.models) if any(each.serving for each in self.places) else 0

    def stopped_by(self, stop: Stopped) -> tuple[str, ...]:
        """The models for which a gentler order is a stop, since their files do not answer it."""
        held = ((each.report.model, hold) for each in self.models for hold in each.held)
        return tuple(model for model, hold in held if hold.order == stop.standing.stop.id and hold.mode != stop.mode)

    @property
    def lapsed(self) -> tuple[Model, ...]:
        """The models that would be served but for a lapsed lease."""
        return tuple(each for each in self.models if each.lapsed and each.report.routable and not each.refused)


def overview(board: Switchboard, fleet: Fleet, panel: Instruments, at: float) -> Overview:
    """Look at everything now; what cannot be read is said and does not keep the rest from being shown."""
    unreadable, state = "", State()
    try:
        state = board.state()
    except OSError as problem:
        unreadable = problem.strerror or "the orders' directory cannot be read"
    holds = board.holds(state)
    newest = sorted(board.in_force(state), key=lambda each: each.stop.id, reverse=True)
    strongest = sorted(newest, key=lambda each: rank(mode_of(each.stop).value))
    seen = fleet_view(fleet.fleet())
    gone = frozenset[int]() if seen is None else seen.lapsed
    running = panel.running()
    reports = panel.reports()
    on = dict(by_model(running))
    models = tuple(
        Model(
            each,
            tuple(sorted(holds.get(each.model, ()), key=lambda hold: rank(hold.mode))),
            on.get(each.model, 0),
            max(each.deployment, each.security) in gone,
        )
        for each in reports
    )
    policy = fleet.policy()
    given: list[StopOrder | RuleOrder | Judged] = [*state.stops, *state.rules, *state.resumes]
    named: Mapping[str, Order] = {each.id: each for each in state.stops} | {each.id: each for each in state.rules}
    given = [each for each in given if not drills_own(_order(each), named.get)]  # two an hour would hide the others
    orders = sorted(given, key=_id, reverse=True)
    lapses = tuple(sorted((each for each in panel.lapses() if each.at - at <= SOON_SECONDS), key=lambda each: each.at))
    log = panel.log_health()
    return Overview(
        at=at,
        unreadable=unreadable,
        kinds=_kinds(strongest),
        stops=tuple(Stopped(each, confirmed(board, fleet, each.stop.id)) for each in strongest[:MAX_STOPS]),
        more_stops=max(0, len(newest) - MAX_STOPS),
        models=models,
        places=panel.places(),
        running=total(running),
        findings=(
            *(() if seen is None else seen.findings({each.asl for each in models})),
            *panel.incident_findings(),
            *panel.drill_findings(),
            *_findings(reports, fleet, policy, log),
            *(f"Resume {order} does not count for all that it names: {why}" for order, why in _uncounted(state)),
        ),
        lapses=lapses,
        log=log,
        policy=str(policy.get("digest", "")),
        policy_since=float(policy.get("since", 0.0)),
        history=tuple(orders[:MAX_HISTORY]),
        ordered=len(orders),
        fleet=seen,
        rules=len(board.rules(state)),
        drills=drill_views(fleet.drills()),
        incidents=most_urgent_first(panel.incidents()),
    )


def _kinds(strongest: Sequence[Standing]) -> tuple[Kind, ...]:
    found: dict[str, list[str]] = {}
    for each in strongest:
        found.setdefault(mode_of(each.stop).value, []).append(str(each.stop.scope))
    return tuple(Kind(mode, scopes[0], len(scopes)) for mode, scopes in found.items())


def _order(act: StopOrder | RuleOrder | Judged) -> Order:
    return act.order if isinstance(act, Judged) else act


def _id(act: StopOrder | RuleOrder | Judged) -> str:
    return _order(act).id


def _uncounted(state: State) -> list[tuple[str, str]]:
    return sorted(state.uncounted().items(), reverse=True)[:MAX_STOPS]


def _findings(reports: Sequence[ModelReport], fleet: Fleet, policy: dict[str, Any], log: LogHealth) -> list[str]:
    """Say what is open: what somebody has to look at though nothing may be stopped for it."""
    about = {
        "differs": "The files differ from the policy in force",
        "damaged": "The policy in force is damaged on disk",
    }
    found = [f"{words}: {policy[key]}" for key, words in about.items() if policy.get(key)]
    found += [f"Place of a {each}" for each in fleet.ready().troubles]
    found += [f"Request log: {each}" for each in log.troubles]
    for each in reports:
        for late in each.overdue:
            words = _EFFECT[late.then]
            found.append(f"{each.model}: {late.claim} lapsed {late.days} days ago ({late.row}); {words}")
        if each.deviations:
            claims = ", ".join(sorted({gone.claim for gone in each.deviations}))
            found.append(f"{each.model}: {len(each.deviations)} controls are not as {claims} describes them")
    return found


_EFFECT: Final = {
    OnExpiry.STOP_SERVING: "the model is not served",
    OnExpiry.STOP_NEW_PRINCIPALS: "keys made since are refused",
    OnExpiry.WARN: "a warning only",
}
