"""What the tests have in C, compiled once per content of its sources."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.parts.debian import command

CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "c"
FLAGS: Final = ("-O2", "-std=gnu11", "-Wall", "-Wextra")


def compiled(source: Path, *flags: str, headers: Iterable[Path] = ()) -> Path:
    """The file made from ``source``; raises RuntimeError without a compiler, CalledProcessError for a bad source."""
    compiler = command("cc", "gcc", "libc6-dev")
    content = hashlib.sha256(" ".join((*FLAGS, *flags)).encode())
    for path in (source, *headers):
        content.update(path.read_bytes())
    made = CACHE / f"{source.stem}-{content.hexdigest()[:16]}"
    if not made.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = made.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *FLAGS, "-o", str(fresh), str(source), *flags], check=True, timeout=120)
        fresh.rename(made)
    return made
