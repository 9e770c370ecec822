"""Brings a host's orders and those of its fleet together, and knows when it was last sure to have them all.

Down: every order of the engine's history is written into the host's directory, which alone is what workers obey, so a
stop that was seen once survives the loss of the engine. Up: what was ordered on this host goes into the history, also
later, when it could not at once. The lease is renewed only after both, from the moment before the engine was asked.

A history that goes back, or is another than the one that was seen, is not believed any more: its stops still stop, its
resumes are left out, it renews no lease, and all that this host holds is put into it again.

Of drills' stops nothing goes up. One that a drill put into the engine itself, to see it come down, is taken by the host
whose self-test model it names and by no other, and only while that drill may be under way.

It is one file, because every step of a turn leans on what the one before it left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from guard.state.directory import MAX_FILES, OrderDirectory
from guard.state.drilled import drills_own, drills_stop
from guard.state.engine import GENESIS, MAX_PAGE, ConflictError, EngineError, Entry, Head, StateEngine, chain
from guard.state.orders import Order, ResumeOrder, RuleOrder, StopOrder, decode, is_order_id
from guard.state.replicas import MAX_TOLD, Replica, Report, encode, read
from guard.state.scope import EVERYTHING, OrderError, Scope
from guard.state.seen import Distrust, Seen
from safeguards.ports import Clock
from safeguards.scope import SELF_TEST, ScopeKind

BEAT_SECONDS: Final = 1.0
HEAR_SECONDS: Final = 2.0  # every replica reads every other's words: n guards are n * n reports
POLL_SECONDS: Final = 0.25
TICK_SECONDS: Final = 0.02
LONGEST_PAUSE_SECONDS: Final = 1.0
MAX_STANDING: Final = MAX_TOLD // 2
DRILL_SECONDS: Final = 60.0  # no drill takes so long: an older stop is of one that is over, and was lifted
HURRY_SECONDS: Final = 15.0  # after an order: commands wait ten seconds for those who have not obeyed
NOT_YET: Final = "its engine was not reached yet"


class Proofs(Protocol):
    """Where moments of proof go."""

    def renew(self, proof: float) -> None:
        """There was proof at this moment of the clock's steady time."""


@dataclass(frozen=True, slots=True)
class Following:
    """How it stands, as of the last turn; ``problem`` is empty while the engine answers and is believed.

    ``stand_in`` tells of a STOP file that is there in place of an order, as long as the order cannot be written; those
    for the orders after it, if there are any, are not named.
    """

    engine: str = ""
    position: int = 0
    problem: str = NOT_YET
    distrust: str = ""
    replicas: tuple[Replica, ...] = ()
    stand_in: str = ""


class Follower:
    """One replica's; for one thread. What it tells is in `following`, which others may read at any time."""

    def __init__(
        self,
        engine: StateEngine,
        directory: OrderDirectory,
        seen: Seen,
        lease: Proofs,
        clock: Clock,
        name: tuple[str, str],
        report: Callable[[tuple[str, ...], int, str], Report],
        fresh: Callable[[], None],
    ) -> None:
        """Take the engine, this host's orders, and what was seen; ``name`` is the replica's and its incarnation's.

        ``report`` makes what the replica says of these orders, at this position, with this trouble; ``fresh`` is called
        after orders have come into the directory.
        """
        self._engine = engine
        self._directory = directory
        self._seen = seen
        self._lease = lease
        self._clock = clock
        self._name, self._incarnation = name
        self._report = report
        self._fresh = fresh
        self._known: set[str] = set()
        self._unfit: frozenset[str] = frozenset()
        self._drills: set[str] = set()  # stops of drills, which are read once
        self._written: set[str] = set()
        self._recent: deque[str] = deque(maxlen=MAX_TOLD)
        self._standing: dict[str, None] = {}
        self._at = Head("", 0, GENESIS)
        self._saved: Head | None = None
        self._distrust: Distrust | None = None
        self._begun = False
        self._told = Report(1, 0, 0, ())
        self._beaten = self._heard = self._latest = float("-inf")
        self._stand_in = ""
        self._stood_for: dict[str, Scope] = {}
        self.following = Following()
        self.waited_for = False
        """Whether somebody waits for the others' words: then they are asked for at every turn."""

    async def turn(self) -> None:
        """Go once around: ask, take over, push, tell; raises EngineError or OSError, and the next turn tries again."""
        try:
            await self._turn()
        except (EngineError, OSError) as problem:
            words = problem.strerror if isinstance(problem, OSError) else str(problem)
            self._say(words or type(problem).__name__)
            raise

    async def pause(self, failures: int) -> None:
        """Wait for the next turn: for a hint, for something ordered here, at most a quarter of a second.

        After one failure there is no waiting, since most are of a connection alone; after more in a row up to a second.
        """
        now = self._clock.steady()
        until = now + (POLL_SECONDS if not failures else min(LONGEST_PAUSE_SECONDS, POLL_SECONDS * (failures - 1)))
        while self._clock.steady() < until:
            grown = await self._engine.hint(TICK_SECONDS)
            if not failures and (grown or self.waited_for or self._news_here()):
                return

    async def leave(self) -> None:
        """End: the others need not wait for this replica any more."""
        await self._engine.forget(self._name)
        await self._engine.aclose()

    async def _turn(self) -> None:
        if not self._begun:
            self._distrust, self._saved = self._seen.distrust(), self._seen.head()
            self._begun = True
        if self._seen.take_acceptance():
            self._distrust, self._saved = None, None
            self._anew()
        asked = self._clock.steady()
        words = self._words()
        beat = asked - self._beaten >= BEAT_SECONDS or words != self._told
        if beat:
            head = await self._engine.beat(self._name, self._incarnation, encode(words))
        else:
            head = await self._engine.head()
        await self._take_over(head)
        await self._push()
        if beat:
            self._told, self._beaten = words, asked
            if self._distrust is None:
                self._lease.renew(asked)
        others = None
        if self.waited_for or asked - self._heard >= HEAR_SECONDS:
            others, self._heard = read(await self._engine.heard()), asked
        self._say("", others)

    async def _take_over(self, head: Head) -> None:
        """Read the history up to this head at least."""
        if wrong := self._contradiction(head):
            self._doubt(head.engine, wrong)
            self._anew()  # not believed any more already, and changed once more
        if self._written - self._directory.held():
            # Somebody removed what the history holds: whoever starts later would not know it, so it is written again.
            self._at = Head(head.engine, 0, GENESIS)
            self._written.clear()
        self._at = Head(head.engine, self._at.position, self._at.digest)
        fresh = False
        try:
            while self._at.position < head.position:
                page = await self._engine.since(self._at.position)
                if not page or len(page) > MAX_PAGE:
                    raise EngineError("the engine's history is shorter than its head")
                held = self._directory.held()
                for number, entry in enumerate(page):
                    try:
                        fresh |= self._enter(entry, head, held)
                    except FileExistsError:
                        raise  # written here in this very moment: the next turn compares
                    except OSError as problem:
                        if not await self._stand_in_from(page[number:], head, held):
                            raise
                        fresh = True
                        raise OSError(problem.errno, f"{problem.strerror}: {self._stand_in}") from problem
        finally:
            if fresh:
                self._fresh()
        if self._distrust is None and self._at != self._saved:
            self._seen.saw(self._at)
            self._saved = self._at

    def _contradiction(self, head: Head) -> str:
        """Why this head cannot follow what was seen before, or empty."""
        last = self._at if self._at.position else self._saved
        if last is None or not last.engine:
            return ""
        if head.engine != last.engine:
            return "another history answers than the one that was seen here"
        if head.position < last.position:
            return f"the history went back from position {last.position} to {head.position}"
        if head.position == last.position and head.digest != last.digest:
            return f"the history was changed at or before position {last.position}"
        return ""

    def _enter(self, entry: Entry, head: Head, held: frozenset[str]) -> bool:
        """Take one entry over; returns whether it was new here."""
        if entry.position != self._at.position + 1 or not is_order_id(entry.order):
            raise EngineError(f"the engine's history is damaged at position {self._at.position + 1}")
        digest = chain(self._at.digest, entry)
        for known in (head, self._saved):
            if known is not None and entry.position == known.position and digest != known.digest:
                self._doubt(head.engine, f"the history was changed at or before position {entry.position}")
        fresh = self._take(entry, held)
        # A drill's is removed when it is over, and nobody wants it back.
        if (fresh or entry.order in held) and entry.order not in self._drills:
            self._written.add(entry.order)
        self._at = Head(head.engine, entry.position, digest)
        self._known.add(entry.order)
        return fresh

    def _take(self, entry: Entry, held: frozenset[str]) -> bool:
        """Put an order's bytes into the directory; what cannot be read stops everything there."""
        order: Order | None = None
        with suppress(OrderError):
            order = decode(entry.raw)
        if self._distrust is not None and order is not None and not isinstance(order, StopOrder | RuleOrder):
            return False
        if isinstance(order, ResumeOrder) and order.version == 1:
            return False  # it would count by the permission of its file alone, so it may not come by another way
        if order is not None and drills_stop(order) and self._may_be(entry, held):
            self._drills.add(entry.order)
            if not self._drilled_here(order):
                return False
        else:
            self._hear_of(entry.order, order)
        if entry.order in held:
            if entry.order in self._stood_for:
                self._stood_in(entry.order, _covered(order))
            # A file that was damaged here stops everything by itself; one that can be read says which is the lie.
            if self._directory.bytes_of(entry.order) != entry.raw and self._usable(entry.order) is not None:
                self._doubt(self._at.engine, f"order {entry.order} has another text there than here")
            return False
        self._directory.adopt(entry.order, entry.raw)
        self._stood_in(entry.order, _covered(order))
        return True

    def _may_be(self, entry: Entry, held: frozenset[str]) -> bool:
        """Whether nothing else goes by this id here: a text that looks like a drill's must not hide an order."""
        return entry.order not in held or self._directory.bytes_of(entry.order) == entry.raw

    def _drilled_here(self, order: Order) -> bool:
        """Whether a drill of this very host gave this stop by the engine just now; others' and old ones are nothing."""
        own = Scope(ScopeKind.VERSION, f"{SELF_TEST}/{self._name}")
        recent = abs(self._clock.now() - order.created) < DRILL_SECONDS
        return recent and isinstance(order, StopOrder) and order.scope == own

    async def _stand_in_from(self, page: Sequence[Entry], head: Head, held: frozenset[str]) -> bool:
        """Stop by files, which need no room on the disk, what is not held of the history from here to its head.

        The orders themselves are tried again at the next turn. Returns whether there is such a file for one of them.
        """
        words, many = "", head.position - self._at.position > MAX_FILES
        done: dict[Scope, str] = {}
        with suppress(EngineError, OSError):  # of more pages: there is no proof in any case
            while page:
                for entry in page:
                    scope = None if entry.order in held else _covered_by(entry)
                    if scope is None:
                        continue
                    if many:  # more files than a directory may hold stop everything, and so does one
                        scope = EVERYTHING
                    if scope not in done:
                        with suppress(OSError):
                            done[scope] = self._directory.stand_in(scope)
                    if name := done.get(scope):
                        self._stood_for[entry.order] = scope
                        words = words or _stands(name, entry.order)
                last = page[-1].position
                page = () if many or last >= head.position else _after(last, await self._engine.since(last))
        if words:
            self._stand_in = words
        return bool(words)

    def _stood_in(self, order: str, scope: Scope | None) -> None:
        """Remove the file that stood in for this order, unless it still stands in for another."""
        stood = self._stood_for.pop(order, scope)
        if stood is not None and stood not in self._stood_for.values():
            self._directory.stood_in(stood)
        if not self._stood_for:
            self._stand_in = ""

    async def _push(self) -> None:
        """Put into the history what was ordered on this host."""
        held = self._directory.held()
        self._drills &= held
        unfit = set(self._drills)
        for order in sorted(held - self._known - self._drills):
            raw = self._usable(order)
            read = None if raw is None else decode(raw)
            # What cannot be read stops this host and is of no use to others; a drill is its own host's alone.
            if raw is None or read is None or drills_own(read, self._find):
                unfit.add(order)
                if read is not None and drills_stop(read):
                    self._drills.add(order)
                continue
            self._hear_of(order, read)
            try:
                await self._engine.put(order, raw)
            except ConflictError:
                self._doubt(self._at.engine, f"order {order} has another text there than here")
            self._known.add(order)
        self._unfit = frozenset(unfit)

    def _hear_of(self, order: str, read: Order | None) -> None:
        """Tell of this order from now on: for as long as it is new, and a stop until a resume has named it."""
        if isinstance(read, StopOrder):
            self._standing[order] = None
        elif isinstance(read, ResumeOrder):
            for lifted in read.lifts:
                self._standing.pop(lifted, None)
        if order not in self._recent:
            self._recent.append(order)
            self._latest = self._clock.steady()

    def _find(self, order: str) -> Order | None:
        """Return an order of this host; None where it is not there or nobody can read it."""
        raw = self._usable(order)
        return None if raw is None else decode(raw)

    def _usable(self, order: str) -> bytes | None:
        """Return the bytes of an order of this host; None where nobody can read it as that order."""
        try:
            raw = self._directory.bytes_of(order)
            return raw if decode(raw).id == order else None
        except (OrderError, OSError):
            return None

    def _doubt(self, engine: str, why: str) -> None:
        """Believe this engine no more: the first time raises EngineError; then all is read anew."""
        if self._distrust is None:
            self._distrust = Distrust(engine, why, self._clock.now())
            self._seen.doubt(self._distrust)
            self._anew()
            raise EngineError(why)

    def _anew(self) -> None:
        self._at = Head("", 0, GENESIS)
        self._saved = None
        self._known.clear()
        self._written.clear()

    def _news_here(self) -> bool:
        """Whether something was ordered on this host, or a worker has obeyed since it was last told."""
        try:
            if self._directory.held() - self._known - self._unfit:
                return True
            if self._clock.steady() - self._latest > HURRY_SECONDS:
                return False  # nobody waits any more: a beat tells it soon enough
            waiting = any(each.missing or not each.workers for each in self._told.applied)
            return waiting and self._words().applied != self._told.applied
        except OSError:
            return False

    def _words(self) -> Report:
        trouble = "" if self._distrust is None else self._distrust.why
        # Stops that stand come last, where a report that is too long loses nothing: they are asked about for weeks.
        standing = sorted(self._standing)[-MAX_STANDING:]
        told = (*(order for order in self._recent if order not in standing), *standing)
        return self._report(told, self._at.position, trouble)

    def _say(self, problem: str, replicas: tuple[Replica, ...] | None = None) -> None:
        distrust = "" if self._distrust is None else self._distrust.why
        told = self.following.replicas if replicas is None else replicas
        self.following = Following(
            self._at.engine, self._at.position, problem or distrust, distrust, told, self._stand_in
        )


def _covered_by(entry: Entry) -> Scope | None:
    """What stops until this entry can be written: what cannot be read stops everything."""
    if not is_order_id(entry.order):
        return EVERYTHING
    try:
        return _covered(decode(entry.raw))
    except OrderError:
        return EVERYTHING


def _covered(order: Order | None) -> Scope | None:
    """What an order stops or screens; nothing for a resume or a drill's stop, everything for what cannot be read."""
    if order is None:
        return EVERYTHING
    return None if isinstance(order, ResumeOrder) or drills_stop(order) else order.scope


def _after(position: int, page: Sequence[Entry]) -> Sequence[Entry]:
    """A page, as far as it leads on: a page that does not would be read for ever."""
    return page if 0 < len(page) <= MAX_PAGE and page[-1].position > position else ()


def _stands(name: str, order: str) -> str:
    return f"the file orders/{name} stops in place of order {order}, which cannot be written"
