"""What may be done to an incident, by whichever way it is asked for: the rules are here, and the event file is the act.

The command line, the control page and the admin API call these; who may is asked before. It closes when every surface
has reported its fix (row I9). Each event sorts behind those that are there, even where the clock was set back since:
what counts is the order in which things were done. Weakness: between looking and writing nothing is locked, so that a
frozen writer holds up nobody; of two acts at the very same moment both are on record, and
`guard.incidents.incident.fold` says which holds. It is one file because every act is signed, checked and added alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from guard.incidents.case import Case, case_of
from guard.incidents.events import (
    ID,
    LATEST,
    MAX_REQUESTS,
    MAX_WORDS,
    Closed,
    Event,
    EventError,
    Imminent,
    Mitigated,
    Opened,
    Reported,
    Source,
    Stepped,
    Triaged,
    after,
    made,
)
from guard.incidents.folder import MAX_INCIDENTS, IncidentFolder, TooManyError
from guard.incidents.story import done
from guard.policy.config import Config

MAX_NAME: Final = 128
SHOWN: Final = 20
ROOM: Final = 100  # of all that are read, for those that are opened at the same moment


class UnknownIncidentError(LookupError):
    """There is no incident of that id, or what there is has no first event."""


class IncidentRefusedError(Exception):
    """The act is not one for this incident as it stands; the message says why. Nothing was done."""


class ChangedError(IncidentRefusedError):
    """Somebody did something meanwhile that whoever asks has not seen; ``incident`` is where."""

    def __init__(self, event: Event) -> None:
        """Take what was done meanwhile."""
        what = event.surface if isinstance(event, Mitigated) else "one" if isinstance(event, Opened) else "it"
        super().__init__(f"meanwhile {event.who} has {done(event)} {what}")
        self.incident = event.incident


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and by which way."""

    who: str
    source: Source


class IncidentDesk:
    """Acts on the incidents of one host; every act returns the incident as it then stands.

    Acts raise EventError for input that breaks a rule (it names the field), UnknownIncidentError, IncidentRefusedError
    and OSError. ``seen`` of an act is what `newest` said when it was asked for, None where nobody has looked.
    """

    def __init__(
        self,
        config: Config,
        folder: IncidentFolder,
        now: Callable[[], float],
        new_id: Callable[[float], str],
        is_stop: Callable[[str], bool],
        known: Callable[[str], Event | None] = lambda _: None,
    ) -> None:
        """Take names and clocks, the files, the time, what makes an id for a moment, stops, and events read already."""
        self._config = config
        self._folder = folder
        self._now = now
        self._new_id = new_id
        self._is_stop = is_stop
        self._known = known

    def take(self, config: Config) -> None:
        """Go by another configuration."""
        self._config = config

    @property
    def models(self) -> tuple[str, ...]:
        """What an incident can be of."""
        return tuple(sorted(self._config.models))

    # Looking.

    def find(self, one: str) -> Case:
        """Return the incident of this id; raises UnknownIncidentError or OSError."""
        if self._folder.has(one):
            found = case_of(self._config, self._folder.read(one, self._known))
            if found is not None:
                return found
        raise UnknownIncidentError("there is no incident of that id")

    def all(self) -> tuple[tuple[Case, ...], tuple[str, ...]]:
        """Return the incidents, oldest first, and in words what cannot be told as one; raises OSError."""
        cases: list[Case] = []
        damaged: list[str] = []
        ids, left = self._folder.newest()
        if left:
            damaged.append(f"{left} older incidents are not read: there are more than {MAX_INCIDENTS}")
        for one in ids:
            try:
                read = self._folder.read(one, self._known)
            except OSError as problem:
                damaged.append(f"{one} cannot be read: {problem.strerror or problem}")
                continue
            case = case_of(self._config, read)
            if case is None:
                damaged.append(f"{read.id} damaged: {', '.join(read.damaged) or 'without its first event'}")
            else:
                cases.append(case)
        return tuple(cases), tuple(damaged)

    def last(self) -> str:
        """Return the id of the newest incident, or nothing: what whoever opens one has seen; raises OSError."""
        return _latest(self._folder.ids())

    # Acting.

    def open(
        self,
        by: Actor,
        model: str,
        summary: str,
        *,
        discovered: float | None = None,
        severity: int | None = None,
        requests: Sequence[str] = (),
        stop: str = "",
        seen: str | None = None,
    ) -> Case:
        """Say that something was found; ``seen`` is what `last` said, and another one since of this model is told."""
        if model not in self._config.models:
            raise EventError(f"model: there is none of that name; there are: {', '.join(self.models[:SHOWN])}")
        if stop and ID.fullmatch(stop) is None:
            raise EventError("stop: is no id of an order")
        if stop and not self._is_stop(stop):  # an export reads the log from there on
            raise EventError("stop: there is no stop order of that id here")
        if len(requests) > MAX_REQUESTS or not all(_is_word(each) for each in requests):
            raise EventError(f"requests: at most {MAX_REQUESTS} ids, of at most {MAX_NAME} characters without a space")
        if discovered is not None and discovered > self._now():
            raise EventError("discovered: lies in the future")
        there = self._folder.ids()
        if len(there) >= MAX_INCIDENTS - ROOM:
            raise IncidentRefusedError(f"there are {len(there)} incidents, the most there may be: archive closed ones")
        for one in there if seen is not None else ():
            other = None if one <= (seen or "") else self._folder.read(one, self._known).incident
            if other is not None and (other.opened.model, other.closed) == (model, None):
                raise ChangedError(other.opened)
        signed = self._signed(by, _latest(there))
        opened = Opened(
            **signed,
            model=model,
            summary=words_of("summary", summary),
            discovered=signed["at"] if discovered is None else discovered,
            severity=severity,
            requests=tuple(requests),
            stop=stop,
        )
        return self._added(opened)

    def triage(
        self,
        by: Actor,
        one: str,
        severity: int,
        commander: str,
        imminent: Imminent,
        note: str = "",
        *,
        seen: str | None = None,
    ) -> Case:
        """Say how bad it is, who commands, and whether there is imminent risk; the last one holds."""
        case = self._still_open(one, seen)
        _unchanged(case, Triaged, seen)
        triaged = Triaged(
            **self._next(by, case),
            severity=severity,
            commander=_name("commander", commander),
            imminent=imminent,
            note=words_of("note", note) if note.strip() else "",
        )
        return self._added(triaged)

    def mitigate(self, by: Actor, one: str, surface: str, how: str, *, seen: str | None = None) -> Case:
        """Say that a surface has the fix, and by what."""
        case = self._still_open(one, seen)
        if surface not in case.surfaces:
            on = ", ".join(case.surfaces[:SHOWN]) or "none"
            raise EventError(f"surface: the model is not served on that surface; it is on: {on}")
        _unchanged(case, Mitigated, seen, surface)
        mitigated = Mitigated(
            **self._next(by, case),
            surface=surface,
            how=words_of("how", how),
            policy=self._config.digest,
        )
        return self._added(mitigated)

    def report(self, by: Actor, one: str, clock: str, reference: str, *, seen: str | None = None) -> Case:
        """Say that somebody outside was told, or need not be; a closed incident takes it too."""
        case = self.find(one)
        names = [each.name for each in self._config.guard.clocks]
        if clock not in names:
            there = ", ".join(names[:SHOWN]) or "none"
            raise EventError(f"clock: guard.yaml has no clock of that name; it has: {there}")
        _unchanged(case, Reported, seen, clock)
        reported = Reported(
            **self._next(by, case),
            clock=clock,
            reference=words_of("reference", reference),
        )
        return self._added(reported)

    def close(self, by: Actor, one: str, resolution: str, *, seen: str | None = None) -> Case:
        """End it; refused until it is triaged and every surface has reported its fix."""
        case = self.find(one)
        _unchanged(case, Closed, seen)
        if why := case.why_not_closed:
            raise IncidentRefusedError(f"not closed: {why}")
        closed = Closed(
            **self._next(by, case),
            resolution=words_of("resolution", resolution),
        )
        return self._added(closed)

    def _next(self, by: Actor, case: Case) -> dict[str, Any]:
        return self._signed(by, case.events[-1].id, case.id)

    def _signed(self, by: Actor, newest: str, one: str = "") -> dict[str, Any]:
        """Return what every event has, behind the ``newest`` there is; without an incident it is the first of one."""
        now = self._now()
        event = self._new_id(after(newest, now))
        who = "".join(letter if letter.isprintable() else "?" for letter in by.who[:MAX_NAME]) or "unknown"
        return {"id": event, "incident": one or event, "at": now, "who": who, "source": by.source}

    def _still_open(self, one: str, seen: str | None) -> Case:
        case = self.find(one)
        if case.incident.closed is not None:
            by = f"meanwhile {case.incident.closed.who} has closed it" if seen is not None else "it is closed"
            raise IncidentRefusedError(f"{by}; what comes up now is another incident")
        return case

    def _added(self, event: Event) -> Case:
        try:
            self._folder.add(event)
        except TooManyError as full:
            raise IncidentRefusedError(str(full)) from None
        return self.find(event.incident)


def newest(case: Case, kind: type[Event], about: str = "") -> str:
    """Return the id of the last event that an act of this kind must have been given in view of, or nothing.

    ``about`` is the surface of a fix or the clock of a report. Who closes must have seen everything that people did.
    """
    found = _last(case, kind, about)
    return "" if found is None else found.id


def _last(case: Case, kind: type[Event], about: str) -> Event | None:
    def counts(event: Event) -> bool:
        if kind is Closed:
            return not isinstance(event, Stepped | Reported | Opened)
        if isinstance(event, Mitigated):
            return kind is Mitigated and event.surface == about
        if isinstance(event, Reported):
            return kind is Reported and event.clock == about
        return isinstance(event, kind)

    return next((event for event in reversed(case.events) if counts(event)), None)


def _unchanged(case: Case, kind: type[Event], seen: str | None, about: str = "") -> None:
    """Refuse an act that was given in view of something else than is there now."""
    last = _last(case, kind, about)
    if seen is not None and last is not None and last.id != seen:
        raise ChangedError(last)


def _latest(ids: Sequence[str]) -> str:
    """Return the last of these, or nothing; a name that somebody made up has no say in what comes behind it."""
    return next((one for one in reversed(ids) if made(one) < LATEST), "")


def _is_word(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME and text.isprintable() and " " not in text


def _name(field: str, text: str) -> str:
    text = text.strip()
    if not (0 < len(text) <= MAX_NAME and text.isprintable()):
        raise EventError(f"{field}: 1 to {MAX_NAME} printable characters")
    return text


def words_of(field: str, text: str) -> str:
    """Return words of a person's own, in one line; raises EventError naming the field."""
    text = text.strip()
    if not (0 < len(text) <= MAX_WORDS and text.isprintable()):
        raise EventError(f"{field}: 1 to {MAX_WORDS} printable characters in one line")
    return text
