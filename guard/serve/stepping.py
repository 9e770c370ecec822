"""Moving a model down by the guard itself: one recorded order for each ground, whatever happens in between.

The id of the order carries what it is for (`guard.hooks.signal.entropy`), so the orders are the memory: after a crash
between the order and whatever else is written about it, the order is found, and none is given twice. The guard only
ever tightens (law 5): nothing here lifts anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from guard.admin.switchboard import Switchboard
from guard.hooks.signal import entropy, mark
from guard.state.merge import State
from guard.state.orders import Source, StopOrder
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Cause

WHO: Final = "guard"
_RANDOM_BYTES: Final = 3


@dataclass(frozen=True, slots=True)
class Ground:
    """What a model is moved down for: ``subject`` is the incident, or the band's name."""

    alias: str
    cause: Cause
    subject: str

    @property
    def mark(self) -> str:
        """What every order for it has in its id."""
        return mark(self.entropy(b""))

    def entropy(self, random: bytes) -> bytes:
        """The end of an order's id."""
        return entropy(f"trip:{self.cause}", f"model:{self.alias}", self.subject, random)


class Stepping:
    """Gives such orders, and finds those that were given."""

    def __init__(
        self,
        board: Switchboard,
        known: Callable[[], State],
        randomness: Callable[[int], bytes],
        meter: Meter,
        log: JsonLog,
    ) -> None:
        """Take what stops, what is known of the orders, randomness, and where it is counted and logged."""
        self._board = board
        self._known = known
        self._randomness = randomness
        self._meter = meter
        self._log = log
        self._seen = State()
        self._given: dict[str, tuple[StopOrder, ...]] = {}
        self._held: dict[int, frozenset[str]] = {}

    def down(self, ground: Ground, reason: str, *, stop: bool) -> str:
        """Order the model a rung down its ladder, or to ``stop``; returns its id. Raises OSError or OrderError."""
        making = ground.entropy(self._randomness(_RANDOM_BYTES))
        if stop:
            placed = self._board.stop(f"model:{ground.alias}", reason, WHO, Source.TRIP, entropy=making)
        else:
            placed = self._board.step_down(ground.alias, reason, WHO, Source.TRIP, entropy=making)
        self._meter.inc(self._meter.bind("guard_trips_total", ground.alias, ground.cause))
        self._log.emit(Level.ERROR, Event.TRIPPED, model=ground.alias, order=placed.order, reason=reason)
        return placed.order

    def given(self, ground: Ground) -> tuple[StopOrder, ...]:
        """Every order that was ever given for it, whether it holds or was lifted, oldest first."""
        self._look()
        return self._given.get(ground.mark, ())

    def held(self, asl: int) -> frozenset[str]:
        """The ids of all stops that hold for models of this level."""
        state = self._look()
        if asl not in self._held:
            self._held[asl] = frozenset(stop.id for stop in state.still_held(asl))
        return self._held[asl]

    def _look(self) -> State:
        """Sort the orders when they are others than before: they are asked for at every look at every band."""
        state = self._known()
        if state is not self._seen:
            self._seen, self._given, self._held = state, {}, {}
            for stop in sorted((each for each in state.stops if each.source is Source.TRIP), key=lambda each: each.id):
                self._given[mark(stop.id)] = (*self._given.get(mark(stop.id), ()), stop)
        return state
