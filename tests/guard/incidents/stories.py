"""Events of one incident, made short, and a configuration with the clocks that they run by."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from guard.incidents.events import Closed, Imminent, Mitigated, Opened, Reported, Stepped, Triaged
from guard.state.orders import order_id
from tests.parts.configuration import Credentials, ModelSpec, write_configuration

HOUR: Final = 3600.0
BEGAN: Final = 1_780_000_000.0
CLOCKS: Final = (
    {"name": "day", "starts": "imminent_risk", "hours": 24, "to": "the office is told", "source": "a law"},
    {
        "name": "half-month",
        "starts": "discovered",
        "hours": 360,
        "from_severity": 3,
        "to": "a report",
        "source": "a law",
    },
)


class Story:
    """Makes the events of one incident, an hour apart unless told otherwise."""

    def __init__(self, model: str = "demo", began: float = BEGAN) -> None:
        """Begin."""
        self._numbers: Iterator[int] = itertools.count()
        self._model = model
        self.now = began
        self.id = ""

    def _common(self, hours: float) -> dict[str, Any]:
        self.now += hours * HOUR
        one = order_id(self.now, next(self._numbers).to_bytes(10, "big"))
        self.id = self.id or one
        return {"id": one, "incident": self.id, "at": self.now, "who": "ana"}

    def opened(self, **more: Any) -> Opened:
        """Discovered now."""
        return Opened(
            **{**self._common(0), "model": self._model, "summary": "a way around", "discovered": self.now, **more}
        )

    def triaged(self, severity: int = 2, imminent: Imminent = Imminent.NO, hours: float = 1.0) -> Triaged:
        """By the commander ben."""
        return Triaged(**self._common(hours), severity=severity, commander="ben", imminent=imminent)

    def mitigated(self, surface: str = "public", hours: float = 1.0) -> Mitigated:
        """By a rule."""
        return Mitigated(**self._common(hours), surface=surface, how="a rule")

    def reported(self, clock: str = "day", hours: float = 1.0) -> Reported:
        """To the office."""
        return Reported(**self._common(hours), clock=clock, reference="letter 1")

    def stepped(self, hours: float = 1.0) -> Stepped:
        """By the guard."""
        return Stepped(**self._common(hours), order="0" * 26, reason="late")

    def closed(self, hours: float = 1.0) -> Closed:
        """For good."""
        return Closed(**self._common(hours), resolution="fixed")


def write(
    directory: Path, response: dict[str, Any] | None, *, asl: int = 2, surfaces: tuple[str, ...] = ()
) -> Credentials:
    """Write a configuration with the clocks and one model, ``demo``, on ``public`` and these surfaces."""
    more = dict.fromkeys(surfaces, 0)
    credentials = write_configuration(
        directory, models=[ModelSpec(asl=asl, surfaces=("public", *surfaces))], surfaces=more
    )
    guard = json.loads((directory / "guard.yaml").read_text())
    (directory / "guard.yaml").write_text(json.dumps({**guard, "clocks": CLOCKS}))
    path = directory / "models" / "demo.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "response": response}))
    return credentials
