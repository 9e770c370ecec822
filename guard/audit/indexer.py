"""Keeping the indexes of a whole audit folder, a bounded piece at a time: what the supervisor does beside sealing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.audit.index import FOLDER
from guard.audit.indexing import grow, index_sealed
from guard.audit.segments import listing

BUDGET_BYTES: Final = 16 * 1024 * 1024


@dataclass(slots=True)
class _Known:
    """What was done in one writer's folder.

    ``settled`` are sealed segments, ``stuck`` is the newest with its size when nothing more of it could be understood,
    ``cleaned`` how many segments there were when the indexes of others were removed.
    """

    settled: set[str]
    stuck: tuple[str, int] = ("", 0)
    cleaned: int = -1


class Indexer:
    """Keeps the indexes of one audit folder, a bounded piece at a time; from one thread."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[Path, _Known] = {}

    def round(self, directories: Iterable[Path], budget: int = BUDGET_BYTES) -> str:
        """Index what has come, until about ``budget`` bytes are read; returns the first problem, if any."""
        problem = ""
        for directory in directories:
            known = self._known.setdefault(directory, _Known(set()))
            try:
                paths = listing(directory)
                if known.cleaned != len(paths):
                    _clean(directory, {path.stem for path in paths})
                    known.cleaned = len(paths)
            except OSError as error:
                problem = problem or _words(directory, error)
                continue
            for path in paths:
                if budget <= 0:
                    break
                try:
                    with contextlib.suppress(ValueError):
                        budget -= _settle(path, known) if path is not paths[-1] else _follow(path, known)
                except OSError as error:
                    problem = problem or _words(path, error)
        return problem


def _settle(segment: Path, known: _Known) -> int:
    """Index a sealed segment, once; returns its bytes."""
    if segment.name in known.settled:
        return 0
    size = segment.stat().st_size
    with contextlib.suppress(ValueError):  # too long to have one
        index_sealed(segment)
    known.settled.add(segment.name)
    return size


def _follow(segment: Path, known: _Known) -> int:
    """Index what was added to the newest segment, unless that could not be understood; returns how many bytes."""
    size = segment.stat().st_size
    if known.stuck == (segment.name, size):
        return 0
    read = grow(segment)
    known.stuck = (segment.name, size) if read == 0 else ("", 0)
    return read


def _words(path: Path, error: OSError) -> str:
    return f"{error.filename or path}: {error.strerror}"


def _clean(directory: Path, stems: set[str]) -> None:
    """Remove the indexes of segments that are gone, and what a kill left."""
    for path in (directory / FOLDER).glob("*"):
        if path.suffix == ".new" or path.stem not in stems:
            path.unlink(missing_ok=True)
