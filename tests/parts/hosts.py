"""A guard that is served from a folder, as the tests of its switch and its drills see it from the host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.cli import main
from guard.state.directory import OrderDirectory
from guard.state.merge import State
from tests.guard.state.parts import of_a_known_host
from tests.parts.configuration import Credentials
from tests.parts.guard_process import GuardProcess


@dataclass(frozen=True, slots=True)
class Host:
    """A running guard, the folder of its configuration, and what its people and callers show."""

    guard: GuardProcess
    config: Path
    credentials: Credentials

    @property
    def state(self) -> Path:
        """Where its orders are."""
        return self.config / "var" / "state"

    @property
    def orders(self) -> State:
        """What was ordered."""
        return OrderDirectory(self.state).snapshot(of_a_known_host)

    def held(self) -> list[str]:
        """The scopes that are stopped for models below ASL-3."""
        return [str(each.scope) for each in self.orders.still_held(0)]

    def drill(self, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
        """Drill; returns the exit code and what was printed."""
        code = main(["drill", "--config", str(self.config), *options])
        told = capsys.readouterr()
        return code, told.out + told.err
