"""What stands behind the admin listener in its tests: a clock that is set, workers that are played, a panel.

It is one file, because each of these leans on the others: together they are one guard without its processes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from guard.admin.api import Person, Readiness, admin_app
from guard.admin.entrance import Entrance
from guard.admin.incident_api import IncidentApi
from guard.admin.incident_pages import Export, NotExportedError
from guard.admin.overview import Lapse, LogHealth, Place
from guard.admin.running import Running
from guard.admin.site import Site
from guard.admin.switchboard import Switchboard
from guard.credentials import Holder, Register, digest
from guard.incidents.case import Case
from guard.incidents.desk import IncidentDesk
from guard.incidents.folder import IncidentFolder
from guard.policy.load import Config
from guard.policy.model import Role
from guard.policy.report import ModelReport, standing
from guard.refusal import Refused
from guard.serve.hooking import HookSwitch
from guard.state.acknowledgements import Acknowledgements, process_started
from guard.state.directory import OrderDirectory
from guard.state.orders import ENTROPY_BYTES, order_id
from guard.state.reloads import Outcome, Reloaded
from guard.state.replicas import Spread
from safeguards.verdict import Code
from tests.guard.hooks.deliveries import no_hooks

PEPPER = b"pepper"
DRILL = "dt-guard-0123456789abcdef"
NOW = 1_800_000_000.0
DAY = datetime.fromtimestamp(NOW, UTC)
"""Around which a configuration's evidence must hold, on whatever day the tests run."""
TOKENS = {"ana": "at-guard-ana-0123456789ab", "vic": "at-guard-vic-0123456789ab", "late": "at-guard-late-0123456789"}


@dataclass
class SetClock:
    """A clock that goes when it is told to."""

    at: float = NOW
    since: float = 1_000.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.at

    def steady(self) -> float:
        """Monotonic seconds."""
        return self.since

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds
        self.since += seconds


HALF = Spread(1, 2, 2, 4, 3, ("r1 (has not seen it)",))
WHOLE = Spread(2, 2, 4, 4, 9, ())


def replica(name: str, **told: Any) -> dict[str, Any]:
    """What is told of one replica that is well, with these changes."""
    well = {"heard_seconds_ago": 0.4, "silent": False, "workers": 2, "position": 7, "lapsed": [], "trouble": ""}
    return {"replica": name, **well, **told}


@dataclass
class InFleet:
    """A place in a fleet of two: what it says of an order, one after the other, and how it stands."""

    words: list[Spread] = field(default_factory=lambda: [WHOLE])
    problem: str = ""
    age: float | None = 0.2
    lapsed: tuple[int, ...] = ()
    others: tuple[dict[str, Any], ...] = field(default_factory=lambda: (replica("r1"),))
    waiting: list[bool] = field(default_factory=list)
    broken: bool = False

    def spread(self, order: str) -> Spread:
        """The next; the last for ever."""
        assert order
        if self.broken:
            raise OSError(5, "Input/output error")
        return self.words.pop(0) if len(self.words) > 1 else self.words[0]

    def wait_for_others(self, *, waiting: bool) -> None:
        """Remember."""
        self.waiting.append(waiting)

    def status(self) -> dict[str, Any]:
        """As the test says."""
        return {
            "engine": "postgres",
            "replica": "r0",
            "position": 7,
            "problem": self.problem,
            "lease": {"age": self.age, "limits": {"3": 30.0, "4": 3.0}, "lapsed": list(self.lapsed)},
            "replicas": [replica("r0"), *self.others],
        }


@dataclass
class Behind:
    """The fleet and the panel, as a test says."""

    names: tuple[str, ...] = ()
    runs: tuple[Running, ...] = ()
    all_places: tuple[Place, ...] = (Place("0", True, 0),)
    all_reports: tuple[ModelReport, ...] = ()
    all_lapses: tuple[Lapse, ...] = ()
    pending: tuple[Case, ...] = ()
    troubles_of_incidents: tuple[str, ...] = ()
    health: LogHealth = field(default_factory=lambda: LogHealth((), sealed=True))
    readiness: Readiness = field(default_factory=lambda: Readiness(True, 1, 1, ()))
    in_force: dict[str, Any] = field(default_factory=lambda: {"digest": "d" * 64, "since": NOW, "differs": ""})
    turned_away: list[str] = field(default_factory=list)
    emergencies: list[str] = field(default_factory=list)
    noted: list[tuple[str, str, str, str]] = field(default_factory=list)
    drilled: dict[str, Any] = field(default_factory=lambda: {"kinds": [], "gaps": [], "models": []})
    member: InFleet | None = None
    woken: int = 0
    ended: bool = False

    def workers(self) -> tuple[str, ...]:
        """Their names."""
        return self.names

    def ready(self) -> Readiness:
        """As the test says."""
        return self.readiness

    def wake(self) -> None:
        """Count."""
        self.woken += 1

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Nobody asks."""
        return b"", "text/plain"

    def standing(self) -> list[dict[str, Any]]:
        """Nobody asks."""
        return []

    def waiting(self) -> list[dict[str, Any]]:
        """Nothing waits."""
        return []

    def policy(self) -> dict[str, Any]:
        """As the test says."""
        return self.in_force

    async def reload(self, who: str, reason: str) -> Reloaded:
        """Nobody asks."""
        return Reloaded(Outcome.UNCHANGED, "", "", "", NOW)

    def fleet(self) -> InFleet | None:
        """As the test says."""
        return self.member

    def refused(self, reason: str) -> None:
        """Remember."""
        self.turned_away.append(reason)

    def emergency(self, who: str) -> None:
        """Remember."""
        self.emergencies.append(who)

    def running(self) -> tuple[Running, ...]:
        """As the test says."""
        return self.runs

    def places(self) -> tuple[Place, ...]:
        """As the test says."""
        return self.all_places

    def reports(self) -> tuple[ModelReport, ...]:
        """As the test says."""
        return self.all_reports

    def lapses(self) -> tuple[Lapse, ...]:
        """As the test says."""
        return self.all_lapses

    def drills(self) -> dict[str, Any]:
        """As the test says."""
        return self.drilled

    def drill_findings(self) -> tuple[str, ...]:
        """What the test says is open."""
        return tuple(self.drilled["gaps"])

    def incidents(self) -> tuple[Case, ...]:
        """As the test says."""
        return self.pending

    def incident_findings(self) -> tuple[str, ...]:
        """As the test says."""
        return self.troubles_of_incidents

    def log_health(self) -> LogHealth:
        """As the test says."""
        return self.health

    def leaving(self) -> bool:
        """As the test says."""
        return self.ended

    def note(self, who: str, what: str, subject: str, reason: str) -> None:
        """Remember."""
        self.noted.append((who, what, subject, reason))


@dataclass
class HandedOver:
    """Remembers what was asked for, and hands over the same each time unless it says why not."""

    asked: list[tuple[str, str, str]] = field(default_factory=list)
    fails: str = ""

    async def export(self, one: str, who: str, reason: str) -> Export:
        """Remember."""
        if self.fails:
            raise NotExportedError(self.fails)
        self.asked.append((one, who, reason))
        return Export(f"incident-{one}.zip", b"PK")


def register(clock: SetClock, **roles: Role) -> Register[Person]:
    """Ana may act, Vic may look, and Late's token has expired."""
    people = {"ana": Role.RESPONDER, "vic": Role.VIEWER, "late": Role.RESPONDER, **roles}
    ends = {"late": NOW - 1}
    holders = {
        digest(PEPPER, TOKENS[name].encode()): Holder(
            Person(name, name.title(), role), ends.get(name, NOW + 86_400_000)
        )
        for name, role in people.items()
    }
    return Register(PEPPER, holders, clock)


def drill(token: bytes) -> Person:
    """A drill has this one token."""
    if token != DRILL.encode():
        raise Refused(Code.UNAUTHENTICATED, reason="unknown")
    return Person("drill", "guard drill", Role.RESPONDER, drills=True)


@dataclass
class Counter:
    """The listener, and one browser at it, which keeps its cookies and tells where its forms come from."""

    config: Config
    state: Path
    clock: SetClock = field(default_factory=SetClock)
    behind: Behind = field(default_factory=Behind)
    peer: tuple[str, int] = ("127.0.0.1", 4711)
    base: str = "http://guard.example"
    cookies: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    exports: HandedOver = field(default_factory=HandedOver)

    def __post_init__(self) -> None:
        """Build the real application over a real directory of orders."""
        at = datetime.fromtimestamp(NOW, UTC)
        self.behind.all_reports = tuple(standing(self.config, alias, at) for alias in sorted(self.config.models))
        self.board = Switchboard(self.config, OrderDirectory(self.state), self.state, self.clock.now, self._randomness)
        self.people = register(self.clock)
        self.entrance = Entrance(self.people, self.config.guard.admin, self.clock, self._randomness, drill)
        self.folder = IncidentFolder(self.state)
        self.desk = IncidentDesk(
            self.config,
            self.folder,
            self.clock.now,
            lambda now: order_id(now, self._randomness(ENTROPY_BYTES)),
            self.board.is_stop,
        )
        site = Site(self.board, self.behind, self.behind, self.entrance, self.clock, self.desk, self.exports)
        self.app = admin_app(
            self.board,
            self.people,
            self.behind,
            no_hooks(HookSwitch(self.board, self.board.state)),
            site.routes(),
            self.entrance.holder,
            operations=IncidentApi(self.desk, self.exports, self.clock).operations(),
        )

    def _randomness(self, size: int) -> bytes:
        self.asked += 1
        return self.asked.to_bytes(4) * (size // 4) + b"\0" * (size % 4)

    def ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Ask one thing as a browser would; a header of an empty text is left out."""
        sent = {"origin": self.base, "sec-fetch-site": "same-origin"} if method == "POST" else {}
        sent = {name: value for name, value in {**sent, **(headers or {})}.items() if value}

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=self.peer)
            async with httpx.AsyncClient(transport=transport, base_url=self.base, cookies=self.cookies) as client:
                answer = await client.request(method, path, headers=sent, **more)
                self.cookies = {each.name: each.value or "" for each in client.cookies.jar}
                return answer

        return asyncio.run(run())

    def get(self, path: str = "/control", **more: Any) -> httpx.Response:
        """Look."""
        return self.ask("GET", path, **more)

    def post(self, path: str, headers: dict[str, str] | None = None, /, **fields: str) -> httpx.Response:
        """Send a form."""
        return self.ask("POST", path, headers=headers, data=fields)

    def sign_in(self, name: str = "ana") -> httpx.Response:
        """Sign in by token."""
        return self.post("/control/sign-in", token=TOKENS[name], onward="/control")

    def form(self) -> str:
        """The secret that this session's forms carry."""
        found = self.get().text.partition('name="form" value="')[2].partition('"')[0]
        assert found
        return found

    def stops(self) -> list[tuple[str, str, str]]:
        """The scope, the giver and the reason of every stop that was ordered."""
        found = sorted(self.board.state().stops, key=lambda stop: stop.id)
        return [(str(stop.scope), stop.who, stop.reason) for stop in found]

    def obey(self, worker: str, cut: int = 0) -> None:
        """Let a worker acknowledge everything that was ordered."""
        started = process_started(1)
        assert started is not None
        acknowledgements = Acknowledgements(self.state, worker, pid=1, started=started)
        acknowledgements.record(dict.fromkeys(self.board.state().ids, cut), NOW)
