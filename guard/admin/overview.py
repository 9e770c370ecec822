"""What the control page shows, gathered at one moment: every part frozen, and nothing in it that was not looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from guard.admin.api import Fleet
from guard.admin.running import Running, by_model, total
from guard.admin.switchboard import Obeyed, Standing, Switchboard
from guard.policy.report import ModelReport
from guard.policy.standard import OnExpiry
from guard.state.merge import State
from guard.state.orders import ResumeOrder, StopOrder

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

    def incidents(self) -> tuple[str, ...]:
        """Every open incident in a line."""

    def log_health(self) -> LogHealth:
        """How the request log is."""

    def leaving(self) -> bool:
        """Whether the process is about to end, so that nothing should wait any longer."""

    async def note(self, who: str, what: str, subject: str, reason: str) -> None:
        """Put an act on record."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A stop in force and who has obeyed it."""

    standing: Standing
    obeyed: Obeyed

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
    """One model: its standing, the orders that stop it for everybody, and what runs on it."""

    report: ModelReport
    stopped_by: tuple[str, ...]
    running: int


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it; ``at`` is seconds since the epoch, ``unreadable`` says why the orders cannot be read, if so."""

    at: float
    unreadable: str
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
    history: tuple[StopOrder | ResumeOrder, ...]
    ordered: int


def overview(board: Switchboard, fleet: Fleet, panel: Instruments, at: float) -> Overview:
    """Look at everything now; what cannot be read is said and does not keep the rest from being shown."""
    unreadable, state = "", State()
    try:
        state = board.state()
    except OSError as problem:
        unreadable = problem.strerror or "the orders' directory cannot be read"
    held = board.models_held(state)
    newest = sorted(board.in_force(state), key=lambda each: each.stop.id, reverse=True)
    running = panel.running()
    reports = panel.reports()
    on = dict(by_model(running))
    models = tuple(Model(each, tuple(held.get(each.model, ())), on.get(each.model, 0)) for each in reports)
    policy = fleet.policy()
    given: list[StopOrder | ResumeOrder] = [*state.stops, *(each.order for each in state.resumes)]
    orders = sorted(given, key=lambda order: order.id, reverse=True)
    lapses = tuple(sorted((each for each in panel.lapses() if each.at - at <= SOON_SECONDS), key=lambda each: each.at))
    log = panel.log_health()
    return Overview(
        at=at,
        unreadable=unreadable,
        stops=tuple(Stopped(each, _obeyed(board, each.stop.id, fleet)) for each in newest[:MAX_STOPS]),
        more_stops=max(0, len(newest) - MAX_STOPS),
        models=models,
        places=panel.places(),
        running=total(running),
        findings=(*panel.incidents(), *_findings(reports, fleet, policy, log)),
        lapses=lapses,
        log=log,
        policy=str(policy.get("digest", "")),
        policy_since=float(policy.get("since", 0.0)),
        history=tuple(orders[:MAX_HISTORY]),
        ordered=len(orders),
    )


def _obeyed(board: Switchboard, order: str, fleet: Fleet) -> Obeyed:
    try:
        return board.obeyed(order, fleet.workers())
    except OSError:
        return Obeyed((), tuple(fleet.workers()))


def _findings(reports: Sequence[ModelReport], fleet: Fleet, policy: dict[str, Any], log: LogHealth) -> list[str]:
    """Say what is open: what somebody has to look at though nothing may be stopped for it."""
    found = [f"The files differ from the policy in force: {policy['differs']}"] if policy.get("differs") else []
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


def day(at: float) -> str:
    """Write a day in UTC."""
    return moment(at).partition(" ")[0]


def moment(at: float) -> str:
    """Write a moment in UTC, to the second; an order written by hand may name one that no calendar has."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "no day of the calendar"


def clock(at: float) -> str:
    """Write the time of day in UTC."""
    return moment(at).rpartition(" ")[2]


def since(seconds: float) -> str:
    """Write a span in its two largest units; under a minute in seconds."""
    whole = max(0, int(seconds))
    for size, unit, smaller, name in _UNITS:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return "under a minute"


_UNITS: Final = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 60, ""))
