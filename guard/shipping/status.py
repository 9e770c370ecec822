"""What shipping tells: a small file in the folder of state that the supervisor and every worker read.

Workers read it rather than hear of it: it stops growing with the process that writes it, whatever stopped that, so the
records' lag can only be overstated.
"""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Final

import msgspec

from guard.audit.segments import describe
from guard.audit.tiles import write_atomically
from guard.shipping.cursor import FOLDER
from safeguards.decision import Failure, Unavailable
from safeguards.ports import Clock

FILE: Final = "status.json"
FRESH_SECONDS: Final = 0.5
MAX_BYTES: Final = 1024 * 1024


class Status(msgspec.Struct, frozen=True):
    """How shipping stands.

    ``shipped_to``: every record written before this moment has a copy (seconds since the epoch); ``problem`` says why
    it does not go on, empty while it does; ``bytes``, ``objects`` and ``failures`` count since the process began, and
    ``records`` is how many each log has in its copy.
    """

    shipped_to: float
    problem: str = ""
    bytes: int = 0
    objects: int = 0
    failures: int = 0
    records: dict[str, int] = {}


def write_status(state: Path, status: Status) -> None:
    """Put it in its place; raises OSError."""
    write_atomically(state / FOLDER / FILE, msgspec.json.encode(status), durable=False)


def read_status(state: Path) -> Status | None:
    """The last one, None if there is none or it is none; raises OSError."""
    try:
        with (state / FOLDER / FILE).open("rb") as file:
            return msgspec.json.decode(file.read(MAX_BYTES), type=Status)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


class CopiesBehind:
    """Implements `safeguards.ports.Copies` from that file, read twice a second at most."""

    def __init__(self, state: Path, clock: Clock) -> None:
        """Take the folder of state."""
        self._state = state
        self._clock = clock
        self._read = -inf
        self._shipped_to: float | None = None
        self._problem = ""

    def lag(self) -> float:
        """As `Copies.lag`."""
        steady = self._clock.steady()
        if steady - self._read >= FRESH_SECONDS:
            self._read = steady
            try:
                status = read_status(self._state)
            except OSError as error:
                self._shipped_to, self._problem = None, describe(error)
            else:
                self._shipped_to = None if status is None else status.shipped_to
                self._problem = "nothing was shipped yet"
        if self._shipped_to is None:
            raise Unavailable(Failure.UNREACHABLE, f"how far records lag is not known: {self._problem}")
        return max(0.0, self._clock.now() - self._shipped_to)
