"""The panel hands on what the supervisor's parts have, as the control page wants it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from guard.admin.overview import Lapse, LogHealth, Place
from guard.admin.running import Running
from guard.serve.panel import Panel


@dataclass
class Parts:
    """All parts in one, as a test says."""

    running: tuple[Running, ...] = (Running("m", "t", "k", 2),)
    places: tuple[Place, ...] = (Place("0", True, 2),)
    reports: tuple[Any, ...] = ()
    lapses: tuple[tuple[str, str, float], ...] = (("m", "model_card", 5.0),)
    failing: dict[str, str] = field(default_factory=dict)
    sealed: bool = True
    witnesses: tuple[Any, ...] = ()
    problem: str = ""
    findings: tuple[str, ...] = ("one",)
    pending: tuple[Any, ...] = ("case",)
    acts: list[tuple[str, ...]] = field(default_factory=list)

    def note(self, *act: str) -> None:
        """Remember."""
        self.acts.append(act)


@dataclass
class Witness:
    """One that was asked."""

    problem: str
    name: str = "w1"

    @property
    def key(self) -> Witness:
        """Its key has its name."""
        return self


def panel(parts: Parts) -> Panel:
    """Put it over these parts."""
    each = cast(Any, parts)
    return Panel(each, each, each, each, each, each, each, each)


def test_numbers_are_handed_on() -> None:
    found = panel(Parts())
    assert found.running() == (Running("m", "t", "k", 2),)
    assert found.places() == (Place("0", True, 2),)
    assert found.lapses() == (Lapse("m", "model_card", 5.0),)
    assert found.incidents() == cast(Any, ("case",))
    assert found.incident_findings() == found.drill_findings() == ("one",)
    assert found.log_health() == LogHealth((), sealed=True)
    assert not found.leaving()


def test_what_is_wrong_with_the_log_is_named_with_its_writer_witness_or_authority() -> None:
    parts = Parts(
        failing={"worker-1": "a gap", "all": "no space"},
        witnesses=(Witness("cannot be reached"), Witness("")),
        problem="answered with status 503",
    )
    assert panel(parts).log_health().troubles == (
        "all: no space",
        "worker-1: a gap",
        "witness w1: cannot be reached",
        "time stamps: answered with status 503",
    )


def test_an_act_goes_on_record() -> None:
    parts = Parts()
    panel(parts).note("Ana", "sign in", "ana", "")
    assert parts.acts == [("Ana", "sign in", "ana", "")]
