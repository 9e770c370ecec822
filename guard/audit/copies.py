"""What a copy of the log looks like where nothing may be replaced: what grows in the log is a file for each step.

``<log>/checkpoint.<size>`` stands for ``checkpoint``, and ``epochs.<offset>``, joined in order, for ``epochs``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_STEP: Final = re.compile(r"[0-9]{20}")


def step(name: str, number: int) -> str:
    """The file's name for a step: the size of the log, or the offset that the file begins at."""
    return f"{name}.{number:020d}"


def newest(path: Path) -> Path:
    """The file itself, or in a copy its last step; raises FileNotFoundError if there is neither."""
    steps = _steps(path)
    if path.exists() or not steps:
        return path
    return steps[-1]


def joined(path: Path, limit: int) -> bytes:
    """The file's content, at most ``limit`` bytes, or in a copy that of its steps up to the first that is missing.

    Raises FileNotFoundError if there is neither, and OSError.
    """
    if path.exists() or not (steps := _steps(path)):
        with path.open("rb") as file:
            return file.read(limit)
    data = b""
    for each in steps:
        if int(each.name.rpartition(".")[2]) != len(data):
            break
        with each.open("rb") as file:
            data += file.read(limit - len(data))
    return data


def _steps(path: Path) -> list[Path]:
    try:
        found = [each for each in path.parent.iterdir() if each.stem == path.name and _STEP.fullmatch(each.suffix[1:])]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda each: each.name)
