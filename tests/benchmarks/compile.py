"""Compile the mock upstream and the load generator, once per content of their sources."""

from pathlib import Path

from tests.parts.c_program import compiled

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "bench"


def build(name: str) -> Path:
    """Give the program made from `name.c`."""
    return compiled(HERE / f"{name}.c", headers=sorted(HERE.glob("*.h")))
