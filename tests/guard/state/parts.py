"""Orders, exchanges and a clock for the tests of the state."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from guard.state.directory import OrderDirectory
from guard.state.merge import Judged, StandingStop, State
from guard.state.orders import Order, ResumeOrder, RuleOrder, Source, StopOrder, issue_resume, issue_rule, issue_stop
from guard.state.rule_text import PushedRule
from guard.state.scope import Scope
from guard.state.shown import Liftable
from guard.state.switches import FileSwitches
from safeguards.category import Category
from safeguards.decision import Target
from safeguards.exchange import Caller, Exchange


def stop(scope: str = "all", number: int = 1, reason: str = "bad answers") -> StopOrder:
    """A stop; a higher number is a later one."""
    entropy = number.to_bytes(10)
    return issue_stop(
        Scope.parse(scope), reason=reason, who="ana", source=Source.CLI, now=1_700_000_000.0 + number, entropy=entropy
    )


def rule(scope: str = "all", number: int = 1, *rules: PushedRule) -> RuleOrder:
    """A rule order; without rules it has one of a phrase."""
    return issue_rule(
        Scope.parse(scope),
        rules or (PushedRule("marker", Category.OTHER, phrase="FORBIDDEN-MARKER"),),
        tuple(Target),
        reason="seen",
        who="ana",
        source=Source.CLI,
        now=1_700_000_500.0 + number,
        entropy=number.to_bytes(10),
    )


def resume(*stops: Liftable, number: int = 900) -> ResumeOrder:
    """A resume that names these stops or rules."""
    entropy = number.to_bytes(10)
    lifts = [one.id for one in stops]
    return issue_resume(
        lifts, reason="fixed", who="ben", source=Source.ADMIN, now=1_700_000_000.0 + number, entropy=entropy
    )


def exchange(model: str = "demo", asl: int = 2, tier: str = "general", key: str = "demo-app") -> Exchange:
    """A request for this model by this key of this tier."""
    return Exchange(
        id="x",
        caller=Caller(key, "demo", tier),
        model=model,
        asl=asl,
        surface="public",
        dialect="openai-chat",
        operation="chat",
        streamed=True,
        passages=(),
        policy="p",
        received=0.0,
    )


def of_a_known_host(order: ResumeOrder) -> Judged:
    """Judge every resume as one that a known host signed and nobody approved."""
    return Judged(order, below=True)


def merged(orders: Iterable[Order], standing: Iterable[StandingStop] = ()) -> State:
    """What these orders mean where every resume is of a known host."""
    return State.of(orders, of_a_known_host, standing)


class HandClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        """Begin at some time."""
        self.time = 1_000.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return 1_700_000_000.0 + self.time

    def steady(self) -> float:
        """Monotonic seconds."""
        return self.time


def settled(path: Path) -> tuple[FileSwitches, HandClock]:
    """Switches over this state directory that have stopped looking at every poll."""
    clock = HandClock()
    switches = FileSwitches(OrderDirectory(path), clock, of_a_known_host)
    _wait_for_tick(path)
    clock.time += 60.0
    switches.poll()
    return switches, clock


def _wait_for_tick(path: Path) -> None:
    """Return once the file system's clock has moved on, as it would have within the settling time."""
    before = (path / "orders").stat().st_mtime_ns
    probe = path / "probe"
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        probe.write_bytes(b"")
        now = probe.stat().st_mtime_ns
        probe.unlink()
        if now > before:
            return
    raise AssertionError("the file system's clock stands still")
