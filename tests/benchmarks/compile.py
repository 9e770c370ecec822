"""Compile the mock upstream and the load generator, once per content of their sources."""

import hashlib
import subprocess
from pathlib import Path

from tests.parts.debian import command

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "bench"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")


def build(name: str) -> Path:
    """Give the program made from `name.c`; it is compiled when no build of this very source is in the cache."""
    compiler = command("cc", "gcc", "libc6-dev")
    content = hashlib.sha256(" ".join(FLAGS).encode())
    for source in (HERE / f"{name}.c", *sorted(HERE.glob("*.h"))):
        content.update(source.read_bytes())
    program = CACHE / f"{name}-{content.hexdigest()[:16]}"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(".new")
        subprocess.run([compiler, *FLAGS, "-o", str(fresh), str(HERE / f"{name}.c")], check=True, timeout=120)
        fresh.rename(program)
    return program
