"""What the kill switch costs before every send: the mapped words and the stops in force, asked about one exchange."""

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from guard.clock import SystemClock
from guard.state.directory import OrderDirectory
from guard.state.lease import LONGEST, Lease, LeasedSwitches, LeaseWord
from guard.state.merge import Judged
from guard.state.orders import Source, issue_stop
from guard.state.scope import Scope
from guard.state.switches import FileSwitches
from safeguards.exchange import Caller, Exchange
from safeguards.ports import Switches
from safeguards.scope import Capability
from tests.benchmarks.process import PROXY_CORE, on_core
from tests.benchmarks.strict import Figure, timed_values

GOAL_US: Final = 0.2
STOPS: Final = 1_000
_CHECKS: Final = 200_000
_CALLER: Final = Caller("app", "ACME Ltd", "general", attributes=("region=eu", "vendor=acme"))
_EXCHANGE: Final = Exchange(
    id="x",
    caller=_CALLER,
    model="demo",
    asl=3,
    surface="public",
    dialect="openai.chat",
    operation="chat",
    streamed=True,
    passages=(),
    policy="p",
    received=0.0,
    release="2026-10",
    capabilities=(Capability.TOOLS, Capability.STREAMING),
)


def ask(switches: Switches, checks: int) -> float:
    """Seconds on a core per question."""
    cutting = switches.cutting
    started = time.thread_time()
    for _ in range(checks):
        stop = cutting(_EXCHANGE)
    taken = time.thread_time() - started
    if stop is not None:
        raise RuntimeError("the exchange of the benchmark is stopped")
    return taken / checks


def measure(seconds: float, *, checks: int = _CHECKS, stops: int = STOPS) -> list[Figure]:
    """Ask many times without a stop, and with many that cover others; µs a question."""
    with tempfile.TemporaryDirectory(prefix="bench-switch-") as name, on_core(PROXY_CORE):
        directory = OrderDirectory(Path(name))
        switches = FileSwitches(directory, SystemClock(), lambda order: Judged(order, below=True))
        word, clock = LeaseWord(Path(name)), SystemClock()
        leased = LeasedSwitches(switches, Lease(Path(name), LONGEST, clock))

        def with_lease() -> float:
            word.renew(clock.steady())
            return ask(leased, checks)

        def timed(when: str) -> list[Figure]:
            plain = timed_values(partial(ask, switches, checks), seconds)
            beside = timed_values(with_lease, seconds)
            return [
                _figure(when, [1e6 * each for each in plain]),
                _figure(f"{when}, with a lease", [1e6 * each for each in beside]),
            ]

        free = timed("while nothing is stopped")
        for number in range(stops):
            scope, entropy = Scope.parse(f"key:other-{number}"), os.urandom(10)
            directory.put(
                issue_stop(scope, reason="", who="bench", source=Source.CLI, now=time.time(), entropy=entropy)
            )
        return [*free, *timed(f"while {stops:,} stops cover others")]


def _figure(when: str, found: list[float]) -> Figure:
    remark = f"goal {GOAL_US:g} µs: {'met' if median(found) < GOAL_US else 'MISSED'}"
    return f"switch: asked before a send {when}, µs", found, remark
