"""How all that a drill gave is lifted again, what else stops the self-test model, and which orders may be forgotten.

Drills' stops name the self-test model alone and are lifted by this host's own signature, which is enough below ASL-3.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from guard.drills.bench import Bench
from guard.state.directory import OrderDirectory
from guard.state.drilled import drilled
from guard.state.issuer import Issuer
from guard.state.merge import State
from guard.state.orders import ENTROPY_BYTES, Order, Source, StopOrder, issue_resume
from guard.state.scope import Scope

KEPT_PAIRS: Final = 50


def lift(bench: Bench, reason: str) -> tuple[str, ...]:
    """Lift every stop that covers nothing but the self-test model, and remove its STOP files; returns what it lifted.

    Raises OSError.
    """
    directory = OrderDirectory(bench.orders)
    found = directory.snapshot(bench.judge)
    held = found.still_held(0)
    lifts = [each.id for each in held if isinstance(each, StopOrder) and bench.concerns(each.scope)]
    if lifts:
        now, entropy = bench.now(), bench.entropy(ENTROPY_BYTES)
        order = issue_resume(lifts, reason=reason, who=bench.who, source=Source.DRILL, now=now, entropy=entropy)
        directory.put(Issuer.open(bench.state).signed(order))
    files = [each.id for each in found.standing if bench.concerns(each.scope)]
    for each in files:
        (directory.orders / each.removeprefix("file:")).unlink(missing_ok=True)
    return (*lifts, *files)


def standing(bench: Bench, words: frozenset[str], asl: int) -> tuple[str, bool]:
    """Say which stop covers the self-test model already, empty where none does, and whether it is a drill's own.

    Raises OSError.
    """
    state: State = OrderDirectory(bench.state).snapshot(bench.judge)
    stop = state.holding(asl, words)
    if stop is None:
        return "", False
    return f"{stop.scope} is stopped (order {stop.order})", Scope.parse(stop.scope).of_self_test


def tidy(bench: Bench) -> None:
    """Remove the orders of drills that are over, but for the newest; a stop before the resume that lifted it.

    What is removed holds nothing: each stop was lifted, and nobody but drills is covered by it. Raises OSError.
    """
    directory = OrderDirectory(bench.state)
    reading = directory.read()
    orders: dict[str, Order] = {each.id: each for each in reading.fresh}
    own = drilled(orders)
    held = {each.id for each in State.of(reading.fresh, bench.judge).still_held(0)}
    over = sorted(own - held)[: -2 * KEPT_PAIRS]
    stops = [each for each in over if isinstance(orders[each], StopOrder)]
    for each in (*stops, *(each for each in over if each not in stops)):
        (directory.orders / f"{each}.json").unlink(missing_ok=True)
        with suppress(OSError):
            (bench.state / "accepted" / f"{each}.json").unlink(missing_ok=True)


def clear(bench: Bench) -> None:
    """Remove every order of a rehearsal, where nothing is held any more; raises OSError."""
    # By id, so by time: a stop goes before the resume that lifted it.
    for path in sorted((bench.orders / "orders").glob("*")) if bench.rehearsal else ():
        path.unlink(missing_ok=True)
