"""Resumes that wait for people's approval: each statement that the page wrote, and the approvals that came in for it.

So two people can each approve in their own browser. They are in the supervisor's memory alone, until the statement
expires or is used: a restart forgets them, and another replica's page does not know them. Nothing of it is believed: an
approval is judged again whenever it is looked at, and by every worker once it is part of a resume.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from guard.state.orders import MAX_SIGNATURES, Approver
from safeguards.ports import Clock

MOST: Final = 50
MOST_OF_ONE: Final = 5
NAME_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """One statement that waits; ``expires`` is seconds since the epoch, ``who`` asked for it, ``target`` is what for.

    ``approvers`` are of distinct persons; each counted when it came in.
    """

    name: str
    statement: str
    target: str
    who: str
    expires: float
    approvers: tuple[Approver, ...] = ()


class AskedStatements:
    """All that wait, oldest first. Not for several threads."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none."""
        self._clock = clock
        self._asked: dict[str, Asked] = {}

    def ask(self, statement: str, target: str, who: str, expires: float) -> Asked:
        """Let a statement wait, or return it if it does already; where there is no room the oldest goes.

        One person's are few, so that nobody can push out what others have asked for.
        """
        known = self.open()
        name = name_of(statement)
        if name in self._asked:
            return self._asked[name]
        mine = [each for each in known if each.who == who]
        if len(mine) >= MOST_OF_ONE:
            self.over(mine[0])
        elif len(known) >= MOST:
            self.over(known[0])
        self._asked[name] = asked = Asked(name, statement, target, who, expires)
        return asked

    def find(self, name: str) -> Asked | None:
        """Return the statement of this name, None when it does not wait, or waits no longer."""
        return next((each for each in self.open() if each.name == name), None)

    def approved(self, asked: Asked, approver: Approver) -> Asked:
        """Keep one person's approval, in place of an earlier one of the same person."""
        others = tuple(each for each in asked.approvers if each.person != approver.person)
        found = replace(asked, approvers=(*others, approver)[-MAX_SIGNATURES:])
        if asked.name in self._asked:
            self._asked[asked.name] = found
        return found

    def over(self, asked: Asked) -> None:
        """Forget one."""
        self._asked.pop(asked.name, None)

    def open(self) -> tuple[Asked, ...]:
        """Return all that wait; what has expired is forgotten."""
        now = self._clock.now()
        self._asked = {name: each for name, each in self._asked.items() if now < each.expires}
        return tuple(self._asked.values())


def name_of(statement: str) -> str:
    """Name a statement: the beginning of its SHA-256 in hexadecimal, which may stand in an address."""
    return hashlib.sha256(statement.encode("ascii", "replace")).hexdigest()[:NAME_DIGITS]
