"""What drills act with: where orders lie, what judges resumes, the time, and randomness."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.drills.places import REHEARSAL, RUN
from guard.state.engine import StateEngine
from guard.state.merge import Judge
from guard.state.scope import Scope

WHO: Final = "guard drill"


class NoWayError(Exception):
    """A way that cannot be gone here; the words say why, and are the guard's own.

    ``order`` is the id of one that may have been given all the same.
    """

    def __init__(self, why: str, order: str = "") -> None:
        """Take the words."""
        super().__init__(why)
        self.order = order


@dataclass(frozen=True, slots=True)
class Bench:
    """What a drill acts with: the state folder, what judges resumes, the time, randomness.

    With ``rehearsal`` the orders lie beside the real ones, and the self-test model alone is judged by them. ``release``
    is the self-test model's, ``who`` the name in which orders are given, and ``engine`` opens that of the fleet (it
    raises what it likes), None without a fleet.
    """

    state: Path
    judge: Judge
    now: Callable[[], float]
    entropy: Callable[[int], bytes] = os.urandom
    rehearsal: bool = False
    release: str = "host"
    who: str = WHO
    engine: Callable[[], StateEngine] | None = None

    @property
    def orders(self) -> Path:
        """The folder in which the orders' directory is."""
        return self.state / RUN / REHEARSAL if self.rehearsal else self.state

    def concerns(self, scope: Scope) -> bool:
        """Whether a stop of this scope is a drill's to lift: every one in a rehearsal, else of the model alone."""
        return self.rehearsal or scope.of_self_test
