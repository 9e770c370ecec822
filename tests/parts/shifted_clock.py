"""A wall clock that jumps under real programs; their steady clock goes on as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.parts.c_program import compiled


class ShiftedClock:
    """Right until it is told otherwise; ``environment`` is for the program that shall have it."""

    def __init__(self, workdir: Path) -> None:
        """Keep how far it is off in ``workdir``."""
        self._path = workdir / "shifted-clock"
        library = compiled(Path(__file__).with_suffix(".c"), "-shared", "-fPIC")
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(self._path)}

    def jump(self, seconds: int) -> None:
        """Be off by this from now on."""
        fresh = self._path.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._path)
