"""The supervisor's part in a fleet: the follower in a thread of its own, and what is told of it.

In its own thread it goes on while the supervisor's loop is busy, and a database that hangs holds up nothing else. It
writes orders into the host's directory, renews the lease, and tells the others who has obeyed here.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any, Final

from guard.app import storage
from guard.policy.load import Config
from guard.serve.engines import open_engine, open_peers
from guard.serve.leases import fleet_lease, lease_fields
from guard.state.directory import OrderDirectory
from guard.state.drilled import drills_stop
from guard.state.engine import EngineError
from guard.state.follower import NOT_YET, Follower
from guard.state.issuer import own_issuer
from guard.state.lease import LeaseWord
from guard.state.orders import RuleOrder, StopOrder, encode
from guard.state.peers import spread_by_word
from guard.state.replicas import Replica, Report, Spread, compose, spread
from guard.state.seen import Seen
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from safeguards.ports import Clock

TICK_SECONDS: Final = 0.25
LEAVE_SECONDS: Final = 2.0


class FleetMember:
    """This guard's place in its fleet."""

    def __init__(self, config: Config, meter: Meter, log: JsonLog, clock: Clock) -> None:
        """Open what it needs, without connecting; raises ConfigError or OSError. The configuration has a fleet."""
        fleet = config.guard.fleet
        assert fleet is not None  # noqa: S101 - the caller's check
        self._state = storage(config)[0]
        self._meter = meter
        self._log = log
        self._clock = clock
        self._workers: Collection[str] = tuple(str(index) for index in range(config.guard.workers))
        self.replica = fleet.replica
        self._kind = fleet.engine.value
        directory = OrderDirectory(self._state)
        word = LeaseWord(self._state)
        lease = fleet_lease(config, self._state, clock)
        assert lease is not None  # noqa: S101 - as above
        self._lease = lease
        self._follower = Follower(
            open_engine(fleet, config.directory, partial(config.problem, "guard.yaml")),
            directory,
            Seen(self._state),
            word,
            clock,
            (fleet.replica, secrets.token_hex(8)),
            self._report,
            self._fresh,
        )
        self._peers = open_peers(fleet, config.directory, partial(config.problem, "guard.yaml"))
        self._begun = clock.steady()
        self._waiting = 0
        self._failures = 0
        self._counted = 0
        self._lost = self._answers = self._distrusted = False
        self._stand_in = ""
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._supervisor: asyncio.AbstractEventLoop | None = None
        self.wake: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Begin to follow; ``wake`` is called in the caller's loop whenever orders have come in."""
        self._supervisor = asyncio.get_running_loop()
        self._thread.start()

    async def watch(self) -> None:
        """Tell for ever how it stands."""
        while True:
            self.tell()
            await asyncio.sleep(TICK_SECONDS)

    def tell(self) -> None:
        """Say in metrics and log how it stands."""
        following, meter = self._follower.following, self._meter
        age = self._lease.age()
        meter.set(meter.bind("guard_lease_age_seconds"), self._clock.steady() - self._begun if age is None else age)
        for asl in self._lease.limits:
            meter.set(meter.bind("guard_lease_lapsed", str(asl)), float(self._lease.lapsed(asl)))
        errors = meter.bind("guard_fleet_engine_errors_total")
        meter.inc(errors, self._failures - self._counted)
        self._counted = self._failures
        meter.set(meter.bind("guard_fleet_distrusted"), float(bool(following.distrust)))
        meter.set(meter.bind("guard_fleet_position"), float(following.position))
        silent = sum(each.silent for each in following.replicas)
        meter.set(meter.bind("guard_fleet_replicas", "silent"), float(silent))
        meter.set(meter.bind("guard_fleet_replicas", "heard"), float(len(following.replicas) - silent))
        lost = following.problem not in {"", NOT_YET}
        if following.distrust and not self._distrusted:
            self._log.emit(Level.ERROR, Event.FLEET_DISTRUSTED, reason=following.distrust)
        elif lost and not self._lost:
            self._log.emit(Level.ERROR, Event.FLEET_LOST, reason=following.problem)
        elif following.stand_in and following.stand_in != self._stand_in:  # lost before, for another reason
            self._log.emit(Level.ERROR, Event.FLEET_LOST, reason=following.stand_in)
        elif not following.problem and not self._answers:
            self._log.emit(Level.INFO, Event.FLEET_ANSWERS, position=following.position)
        self._lost, self._answers, self._distrusted = lost, not following.problem, bool(following.distrust)
        self._stand_in = following.stand_in
        crash, self._crash = self._crash, None
        if crash is not None:
            self._log.failure(Event.INTERNAL_ERROR, crash)

    def spread(self, order: str) -> Spread:
        """Say how far an order has come in the whole fleet; while the engine is away, by the words of the peers."""
        following = self._follower.following
        own = self._report((order,), following.position, "")
        others = [each for each in following.replicas if each.name != self.replica]
        known = [*others, Replica(self.replica, 0.0, own)]
        if not following.problem:
            return spread(order, known)
        if words := self._peers.words(order):
            return spread_by_word(order, known, words)
        found = spread(order, known)
        missing = (*found.missing, f"the fleet ({following.problem})")
        return Spread(found.replicas, found.replicas_of, found.workers, found.workers_of, found.streams_cut, missing)

    def tell_peers(self, order: StopOrder | RuleOrder) -> None:
        """Tell the other guards of an order that this host issued; a drill's stays here."""
        with suppress(OSError):
            if self._peers and not drills_stop(order) and order.issuer in own_issuer(self._state):
                self._peers.tell(order.id, encode(order))

    def lapsed(self) -> tuple[int, ...]:
        """The levels that are refused for want of the lease."""
        return tuple(self._lease.any_lapsed())

    def wait_for_others(self, *, waiting: bool) -> None:
        """Ask the others' words more often while somebody waits for them."""
        self._waiting += 1 if waiting else -1
        self._follower.waited_for = self._waiting > 0

    def status(self) -> dict[str, Any]:
        """What the admin API tells."""
        following = self._follower.following
        return {
            "engine": self._kind,
            "replica": self.replica,
            "position": following.position,
            "problem": following.problem,
            "lease": lease_fields(self._lease.age(), self._lease.limits, self._lease.any_lapsed()),
            "replicas": [_told(each) for each in following.replicas],
            "not_among_peers": sorted(self._unnamed(following.replicas)),
        }

    def _unnamed(self, heard: Collection[Replica]) -> set[str]:
        """Those that a stop would not reach without the engine."""
        return {each.name for each in heard} - self._peers.names - {self.replica} if self._peers else set()

    async def close(self) -> None:
        """Leave the fleet and end; the workers must have ended before."""
        await self._peers.close()
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(task.cancel)
        await asyncio.to_thread(self._thread.join, 2 * LEAVE_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            try:
                runner.run(self._follow())
            except BaseException as problem:  # noqa: BLE001 - a thread's last words; without it leases lapse
                self._crash = problem

    async def _follow(self) -> None:
        self._task = asyncio.current_task()
        failures = 0
        try:
            while True:
                try:
                    await self._follower.turn()
                    failures = 0
                except (EngineError, OSError):
                    failures += 1
                    self._failures += 1
                except Exception as problem:  # noqa: BLE001 - whatever it was, the next turn must come
                    failures += 1
                    self._failures += 1
                    self._crash = problem
                await self._follower.pause(failures)
        except asyncio.CancelledError:
            with suppress(EngineError, OSError, TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._follower.leave()

    def _report(self, orders: tuple[str, ...], position: int, trouble: str) -> Report:
        lapsed = self._lease.any_lapsed()
        return compose(self._state, self._workers, orders, position=position, lapsed=lapsed, trouble=trouble)

    def _fresh(self) -> None:
        if self._supervisor is not None:
            with suppress(RuntimeError):  # the supervisor has ended meanwhile; its workers look by themselves
                self._supervisor.call_soon_threadsafe(self.wake)


def _told(replica: Replica) -> dict[str, Any]:
    report = replica.report
    return {
        "replica": replica.name,
        "heard_seconds_ago": round(replica.ago, 1),
        "silent": replica.silent,
        "workers": None if report is None else report.workers,
        "position": None if report is None else report.position,
        "lapsed": [] if report is None else list(report.lapsed),
        "trouble": "it speaks another version" if report is None else report.trouble,
    }
