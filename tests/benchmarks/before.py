"""The guard as it was at an earlier commit, to be measured in the same run as the guard as it is.

Its source tree is unpacked into a temporary folder and runs in this environment, with today's dependencies and today's
configuration of the benchmark: what differs is the guard's own code, and nothing else.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_PARTS: Final = ("guard", "safeguards", "config")


def resolve(commit: str, root: Path = ROOT) -> str:
    """Return the full name of a commit; raises ValueError if there is none."""
    command = [_program("git"), "rev-parse", "--quiet", "--verify", "--end-of-options", f"{commit}^{{commit}}"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=30)
    if found.returncode:
        raise ValueError(f"{commit!r} is no commit of this repository")
    return found.stdout.strip()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ValueError(f"{name} is not installed")
    return found


def environment(source: Path) -> dict[str, str]:
    """Return the environment in which Python finds the guard in this source tree."""
    return {**os.environ, "PYTHONPATH": str(source)}


@contextlib.contextmanager
def unpacked(commit: str, root: Path = ROOT) -> Iterator[Path]:
    """Unpack the source tree of a commit for a while; raises RuntimeError if Python would run another."""
    with tempfile.TemporaryDirectory(prefix="before-", ignore_cleanup_errors=True) as folder:
        archive = subprocess.run(
            [_program("git"), "archive", "--format=tar", commit, *_PARTS],
            cwd=root,
            capture_output=True,
            check=True,
            timeout=60,
        )
        subprocess.run([_program("tar"), "-x", "-C", folder], input=archive.stdout, check=True, timeout=60)
        source = Path(folder).resolve()
        code = "import guard, safeguards; print(guard.__file__); print(safeguards.__file__)"
        ran = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env=environment(source),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        if any(source not in Path(each).resolve().parents for each in ran.stdout.split()):
            raise RuntimeError(f"the guard of {commit} does not come from its own source tree")
        yield source
