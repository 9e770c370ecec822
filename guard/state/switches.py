"""The kill switch as one worker sees it: the orders on disk, noticed by a mapped word and, failing that, by looking.

What a worker has once read it does not forget while it lives, even if the file is removed (`vanished` tells of it)
or damaged (which it does not notice). A worker started afterwards sees the directory as it is then. Orders of drills
are the exception (`drilled`): they are forgotten with their files.
"""

from __future__ import annotations

from itertools import islice

from guard.state.directory import OrderDirectory, Reading, Stamp
from guard.state.drilled import forgettable
from guard.state.merge import TWO_PERSON_ASL, Judge, Judged, StandingStop, State, met
from guard.state.orders import Order, ResumeOrder
from safeguards.decision import Failure, Unavailable
from safeguards.exchange import Exchange
from safeguards.ports import Clock, Stop
from safeguards.scope import ALL

# File systems keep times in ticks (4 to 10 ms; 2 s on the coarsest), so a second change may hide behind the first:
# for this long after a change the directory is listed at every poll. Seconds.
SETTLE_SECONDS = 2.5
# A resume may come to count: its issuer's clock ran ahead, a key could not be read. It is judged again so often, and so
# many at a time, because a judgement takes a fraction of a millisecond of the worker's loop.
REJUDGE_SECONDS = 1.0
MAX_REJUDGED = 8
_EVERY = frozenset({ALL})  # every exchange answers to it


class FileSwitches:
    """Implements the port `Ladder` over an `OrderDirectory`; for one thread of one process.

    While ``word`` holds what was ``seen``, an exchange that answers to nothing ``named`` goes on: most questions end
    there, also those of `guard.state.lease.LeasedSwitches`.
    """

    def __init__(self, directory: OrderDirectory, clock: Clock, judge: Judge) -> None:
        """Load what is there; if that fails, everything is refused until a `poll` succeeds.

        ``judge`` says what a resume counts for here: each process judges for itself, once, and again while it does not
        count.
        """
        self._directory = directory
        self._clock = clock
        self._judge = judge
        self._judged: dict[str, Judged] = {}
        self._waiting: dict[str, None] = {}  # ids of resumes that do not count, longest not judged first
        self._rejudged = clock.steady()
        self.word = directory.word
        self._orders: dict[str, Order] = {}
        self._standing: frozenset[StandingStop] = frozenset()
        self._state = State()
        self._failure = ""
        self._unreported: list[str] = []
        self.seen = -1
        self.named: frozenset[str] = frozenset()
        """The scopes of all stops in force for any model; everything while the orders cannot be read."""
        self._stamp: Stamp | None = None
        self._changed = clock.steady()
        self.vanished: frozenset[str] = frozenset()
        self._forgotten: frozenset[str] = frozenset()
        self._load()
        self._unreported.clear()

    @property
    def state(self) -> State:
        """What this process enforces now."""
        return self._state

    @property
    def failure(self) -> str:
        """Why the orders cannot be read, or empty."""
        return self._failure

    @property
    def counting(self) -> frozenset[str]:
        """The ids of all that is in force here: of every statement but the resumes that lift less than they say."""
        return self._state.ids - self._waiting.keys()

    def take(self, judge: Judge) -> None:
        """Judge by another policy from now on: what lifted goes on lifting, what did not is judged once more.

        A resume that counts only now is in what the next `poll` returns.
        """
        self._judge = judge
        self._judge_again(len(self._waiting))

    def covering(self, exchange: Exchange) -> Stop | None:
        """The stop that keeps this exchange from beginning, by any order put before the call; else None.

        Raises Unavailable when the orders cannot be read; stops that are already known still answer as such.
        """
        if self.word[0] == self.seen and self.named.isdisjoint(exchange.scopes):
            return None
        if self.word[0] != self.seen:
            self._load()
        stop = self._state.covering(exchange)
        if stop is None and self._failure:
            raise Unavailable(Failure.UNREACHABLE, self._failure)
        return stop

    def cutting(self, exchange: Exchange) -> Stop | None:
        """The stop that ends this exchange while it runs; as `covering` otherwise. Asked before every send."""
        if self.word[0] == self.seen and self.named.isdisjoint(exchange.scopes):
            return None
        if self.word[0] != self.seen:
            self._load()
        stop = self._state.cutting(exchange)
        if stop is None and self._failure:
            raise Unavailable(Failure.UNREACHABLE, self._failure)
        return stop

    def detour(self, exchange: Exchange) -> Stop | None:
        """The order by which another model is to answer this exchange; raises Unavailable as `covering`."""
        return self._known().detour(exchange)

    def diverts(self, exchange: Exchange) -> Stop | None:
        """The order by which prompts of certain categories are another model's; raises Unavailable as `covering`."""
        return self._known().diverts(exchange)

    def tightens(self, exchange: Exchange) -> Stop | None:
        """The order by which this exchange is judged more strictly; raises Unavailable as `covering`."""
        return self._known().tightens(exchange)

    def withdrawn(self, asl: int, scopes: frozenset[str]) -> Stop | None:
        """The order by which such a model is offered no more; raises Unavailable as `covering`."""
        return self._known().withdrawn(asl, scopes)

    def _known(self) -> State:
        if self.word[0] != self.seen:
            self._load()
        if self._failure:
            raise Unavailable(Failure.UNREACHABLE, self._failure)
        return self._state

    def poll(self) -> tuple[str, ...]:
        """Look whether anything changed that the word did not tell; returns every id applied since the last poll.

        The ids are those of stops, resumes that count for all that they say, and STOP files, also of those that
        `covering` noticed; a resume that comes to count later is among them then. Never raises.
        """
        try:
            self._directory.refresh()
            self.word = self._directory.word
            stamp = self._directory.stamp()
        except OSError as error:
            self._fail(error)
        else:
            settling = self._clock.steady() - self._changed < SETTLE_SECONDS
            # A standing stop may end by a repair of its file, which the directory's times do not show.
            unsure = settling or bool(self._failure) or bool(self._standing)
            if unsure or stamp != self._stamp or self.word[0] != self.seen:
                self._load()
        now = self._clock.steady()
        if self._waiting and now - self._rejudged >= REJUDGE_SECONDS:
            self._rejudged = now
            self._judge_again(MAX_REJUDGED)
        applied = tuple(self._unreported)
        self._unreported.clear()
        return applied

    def forgotten(self) -> frozenset[str]:
        """Return the orders of drills that were forgotten since the last call."""
        forgotten, self._forgotten = self._forgotten, frozenset()
        return forgotten

    def _load(self) -> None:
        """Read the word and the times before the names: what comes later then differs from what is remembered."""
        word = self.word[0]
        try:
            stamp = self._directory.stamp()
            reading = self._directory.read(self._orders)
        except OSError as error:
            self._fail(error)
            return
        if stamp != self._stamp:
            self._stamp = stamp
            self._changed = self._clock.steady()
        if self._failure:
            self._failure = ""
            self.named = _named(self._state)
        gone = frozenset(self._orders.keys() - reading.ids)
        over = forgettable(self._orders, gone)
        for order in over:
            del self._orders[order]
            self._judged.pop(order, None)
            self._waiting.pop(order, None)
        self._forgotten |= over
        self.vanished = gone - over
        if reading.fresh or over or reading.standing != self._standing:
            self._take_in(reading)
        self.seen = word

    def _take_in(self, reading: Reading) -> None:
        self._orders.update((order.id, order) for order in reading.fresh)
        resumes = (order for order in reading.fresh if isinstance(order, ResumeOrder))
        judged = {order.id: met(self._judge(order), self._orders) for order in resumes}
        self._judged |= judged
        self._waiting.update((order, None) for order, found in judged.items() if found.why)
        # Whoever waits for a resume must not be told that it is in force where it does not count.
        self._unreported.extend(order.id for order in reading.fresh if order.id not in self._waiting)
        self._unreported.extend(sorted(stop.id for stop in reading.standing - self._standing))
        self._standing = reading.standing
        self._merge()

    def _judge_again(self, most: int) -> None:
        """Judge so many of the resumes that do not count, those whose file is still there."""
        changed = False
        for one in list(islice(self._waiting, most)):
            del self._waiting[one]
            before = self._judged[one]
            found = before if one in self.vanished else met(self._judge(before.order), self._orders)
            if found.why:
                self._waiting[one] = None
            else:
                self._unreported.append(one)
            self._judged[one] = found
            changed |= found != before
        if changed:
            self._merge()

    def _merge(self) -> None:
        self._state = State.of(self._orders.values(), lambda order: self._judged[order.id], self._standing)
        self.named = _named(self._state)

    def _fail(self, error: OSError) -> None:
        self._failure = f"the stop orders cannot be read: {error.strerror or type(error).__name__}"
        self.named = _EVERY


def _named(state: State) -> frozenset[str]:
    """Return what stops from ASL-3 on name: nothing is lifted there that is not lifted below it too."""
    return frozenset(str(stop.scope) for stop in state.still_held(TWO_PERSON_ASL))
