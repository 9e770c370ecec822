"""Finding exchanges by what is on record of them: by id from the indexes, else in one pass over the log, by time.

The pass leaves out sealed segments whose index says that no request in them can be meant, by time, model, key, owner or
tier, while no exchange is under way that might end there.

An exchange is one when all that is asked for holds of its intent and its outcome; where an outcome is asked about, one
without cannot match. A known text is looked for by its keyed hash, so that it is found only as a whole passage or a
whole released channel, and only while the data key of its day exists and can be opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from guard.audit.body_places import where
from guard.audit.contents import Contents
from guard.audit.encryption import encoded
from guard.audit.lookup import About
from guard.audit.read import Damage, Entry, Item, iter_records, search
from guard.audit.records import Control, Intent, Opened, Outcome, Recovered

MAX_OPEN = 1_000_000
SETTLED = 10_000  # records after an outcome beyond which no other is awaited that sets it right


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an exchange must be; empty means anything. Times are seconds since the epoch.

    ``score`` is the least that a decision was scored with; without one no decision that has a score is asked for.
    """

    id: str = ""
    since: float = float("-inf")
    until: float = float("inf")
    model: str = ""
    key: str = ""
    owner: str = ""
    tier: str = ""
    ending: str = ""
    code: str = ""
    safeguard: str = ""
    category: str = ""
    rule: str = ""
    score: float | None = None

    @property
    def of_outcome(self) -> bool:
        """Tell whether it asks anything that only an outcome can answer."""
        return any((self.ending, self.code, self.of_decision))

    @property
    def of_decision(self) -> bool:
        """Tell whether it asks for a decision that denied or failed."""
        return any((self.safeguard, self.category, self.rule, self.score is not None))

    def asked(self, intent: Intent) -> bool:
        """Tell whether the intent may be one."""
        return self.since <= intent.time < self.until and all(
            wanted in {"", given}
            for wanted, given in (
                (self.id, intent.id),
                (self.model, intent.model),
                (self.key, intent.key),
                (self.owner, intent.owner),
                (self.tier, intent.tier),
            )
        )

    def answered(self, outcome: Outcome | None) -> bool:
        """Tell whether the outcome may be one; a decision counts if it denied or failed."""
        if outcome is None:
            return not self.of_outcome
        if not (self.ending in {"", outcome.ending} and self.code in {"", outcome.code}):
            return False
        if not self.of_decision:
            return True
        return any(
            (one.denied or one.failure is not None)
            and self.safeguard in {"", one.safeguard}
            and self.category in {"", one.category}
            and self.rule in {"", one.rule}
            and (self.score is None or (one.score is not None and one.score >= self.score))
            for one in outcome.decisions
        )


@dataclass(frozen=True, slots=True)
class Exchanged:
    """An exchange that was found; ``rest`` are its parts and recoveries, if they were asked for."""

    intent: Entry
    outcome: Entry | None
    rest: tuple[Entry, ...] = ()


class KnownText:
    """A text that is looked for; what opens the keys says whether a record has it."""

    def __init__(self, text: str, contents: Contents) -> None:
        """Take the text and the keys."""
        self._text = encoded(text)
        self._contents = contents
        self._hashes: dict[tuple[str, str], frozenset[str]] = {}

    def within(self, intent: Intent, outcome: Outcome | None) -> bool:
        """Tell whether it is a passage or a released text; raises ContentError for keys that are damaged."""
        if not intent.body:
            return False
        try:
            place = where(intent.body)
        except ValueError:
            return False
        hashes = self._hashes.get((place.retention, place.day))
        if hashes is None:
            keys = self._contents.keys(place.retention, place.day)
            hashes = frozenset(key.match(self._text).hex() for key in keys)
            self._hashes[place.retention, place.day] = hashes
        matches = [one.match for one in intent.passages]
        matches += [] if outcome is None else [one.match for one in outcome.released]
        return not hashes.isdisjoint(matches)


class Skipping:
    """Says which sealed segments a search need not read."""

    def __init__(self, wanted: Wanted) -> None:
        """Take what is looked for; ``busy`` tells whether exchanges wait for what comes after them."""
        self._wanted = wanted
        self.busy: Callable[[], bool] = lambda: True

    def __call__(self, about: About) -> bool:
        """Tell whether nothing in the segment can matter."""
        wanted, facts = self._wanted, about.facts
        if self.busy():
            return False
        if about.latest < wanted.since or about.earliest >= wanted.until:
            return True
        given = ((wanted.model, facts.model), (wanted.key, facts.key), (wanted.owner, facts.owner))
        return any(
            value and known is not None and value not in known for value, known in (*given, (wanted.tier, facts.tier))
        )


def found(
    audit: Path,
    wanted: Wanted,
    text: KnownText | None = None,
    *,
    whole: bool = False,
    passed: Callable[[int], None] = lambda _: None,
) -> Iterator[Exchanged | Damage]:
    """As `exchanges`, of a whole log, reading no more of it than must be; raises LedgerError too."""
    if wanted.id:
        return exchanges(search(audit, wanted.id), wanted, text, whole=whole, passed=passed)
    skipping = Skipping(wanted)
    items = iter_records(audit, skips=skipping)
    return exchanges(items, wanted, text, whole=whole, passed=passed, skipping=skipping)


def exchanges(
    items: Iterable[Item],
    wanted: Wanted,
    text: KnownText | None = None,
    *,
    whole: bool = False,
    passed: Callable[[int], None] = lambda _: None,
    skipping: Skipping | None = None,
) -> Iterator[Exchanged | Damage]:
    """Every exchange that is wanted, by the time of its end, those without an end last; and damage, in its place.

    ``whole`` gives their parts along; ``passed`` is told how many records have been read. Raises ContentError, and
    MemoryError when more than a million exchanges are open at once.
    """
    running: dict[str, tuple[Entry, list[Entry]]] = {}
    ended: dict[str, tuple[Entry, Entry, list[Entry], int]] = {}
    cut: list[tuple[Entry, list[Entry]]] = []
    if skipping is not None:
        skipping.busy = lambda: bool(running or ended)

    def judged(intent: Entry, outcome: Entry | None, rest: list[Entry]) -> Iterator[Exchanged]:
        asked, answered = intent.record, None if outcome is None else outcome.record
        assert isinstance(asked, Intent)  # noqa: S101 - only such are kept
        assert answered is None or isinstance(answered, Outcome)  # noqa: S101 - as above
        if wanted.answered(answered) and (text is None or text.within(asked, answered)):
            yield Exchanged(intent, outcome, tuple(rest))

    for count, item in enumerate(items, 1):
        passed(count)
        while ended and next(iter(ended.values()))[3] + SETTLED < count:
            intent, outcome, rest, _ = ended.pop(next(iter(ended)))
            yield from judged(intent, outcome, rest)
        if isinstance(item, Damage):
            yield item
            continue
        record = item.record
        if isinstance(record, Opened | Control):
            continue
        if isinstance(record, Intent):
            if wanted.asked(record):
                if len(running) >= MAX_OPEN:
                    raise MemoryError(f"more than {MAX_OPEN} exchanges without an end")
                running[record.id] = item, []
        elif record.id in running:
            intent, rest = running[record.id]
            if isinstance(record, Outcome):
                del running[record.id]
                ended[record.id] = intent, item, rest, count
                continue
            if whole:
                rest.append(item)
            if isinstance(record, Recovered):
                cut.append(running.pop(record.id))
        elif record.id in ended and isinstance(record, Outcome):
            intent, first, rest, at = ended[record.id]
            ended[record.id] = intent, item, [*rest, first] if whole else rest, at
    for intent, outcome, rest, _ in ended.values():
        yield from judged(intent, outcome, rest)
    for intent, rest in (*cut, *running.values()):
        yield from judged(intent, None, rest)
