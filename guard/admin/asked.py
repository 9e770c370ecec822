"""Resumes that wait for people's approval: each statement that the page wrote, and the approvals that came in for it.

So two people can each approve in their own browser, also if the guard is started anew between them. They wait until the
statement expires or is used, on this host alone: another replica's page does not know them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Protocol

import msgspec

from guard.state.asked import Asked
from guard.state.orders import MAX_SIGNATURES, Approver
from safeguards.ports import Clock

MOST: Final = 50
MOST_OF_ONE: Final = 5


class Folder(Protocol):
    """Where they lie; `guard.state.asked.AskedFolder` is one."""

    def read(self) -> tuple[Asked, ...]:
        """Return what lies there, the oldest first."""

    def write(self, asked: Asked) -> None:
        """Put it there; raises OSError."""

    def remove(self, name: str) -> None:
        """It waits no longer; raises OSError."""


class AskedStatements:
    """All that wait, oldest first. Not for several threads.

    Where the disk takes nothing they wait in memory alone: nobody is kept from approving.
    """

    def __init__(self, clock: Clock, folder: Folder) -> None:
        """Begin with what lies in the folder."""
        self._clock = clock
        self._folder = folder
        self._asked = {each.name: each for each in folder.read()[-MOST:]}
        self.open()

    def ask(self, statement: str, target: str, who: str, expires: float) -> Asked:
        """Let a statement wait, or return it if it does already; where there is no room the oldest goes.

        One person's are few, so that nobody can push out what others have asked for.
        """
        known = self.open()
        asked = Asked(statement, target, who, expires)
        if asked.name in self._asked:
            return self._asked[asked.name]
        mine = [each for each in known if each.who == who]
        if len(mine) >= MOST_OF_ONE:
            self.over(mine[0])
        elif len(known) >= MOST:
            self.over(known[0])
        return self._keep(asked)

    def find(self, name: str) -> Asked | None:
        """Return the statement of this name, None when it does not wait, or waits no longer."""
        return next((each for each in self.open() if each.name == name), None)

    def approved(self, asked: Asked, approver: Approver) -> Asked:
        """Keep one person's approval, in place of an earlier one of the same person."""
        others = tuple(each for each in asked.approvers if each.person != approver.person)
        found = msgspec.structs.replace(asked, approvers=(*others, approver)[-MAX_SIGNATURES:])
        return self._keep(found) if asked.name in self._asked else found

    def over(self, asked: Asked) -> None:
        """Forget one."""
        self._asked.pop(asked.name, None)
        with suppress(OSError):  # a file that stays is found to lift nothing, and expires
            self._folder.remove(asked.name)

    def open(self) -> tuple[Asked, ...]:
        """Return all that wait; what has expired is forgotten."""
        now = self._clock.now()
        for each in [each for each in self._asked.values() if now >= each.expires]:
            self.over(each)
        return tuple(self._asked.values())

    def _keep(self, asked: Asked) -> Asked:
        self._asked[asked.name] = asked
        with suppress(OSError):
            self._folder.write(asked)
        return asked
