"""Folders below .cache/ that hold what a lock names; made once per content of the lock, by any process."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "clients"


def installed(name: str, locks: Sequence[Path], install: Callable[[Path], None]) -> Path:
    """The folder; RuntimeError if it cannot be made. An installation that was killed leaves nothing behind in it."""
    content = b"".join(lock.read_bytes() for lock in locks)
    folder = CACHE / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=CACHE))
        try:
            install(unfinished)
            unfinished.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def run(*command: str | Path, folder: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a step of an installation; RuntimeError with its last words if it fails."""
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()[-2000:]
        raise RuntimeError(f"{' '.join(map(str, command[:3]))} … failed: {words}")
