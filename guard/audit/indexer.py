"""Keeping the indexes of a whole audit folder, a bounded piece at a time: what the supervisor does beside sealing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from guard.audit.gathering import Gathered
from guard.audit.index import FOLDER
from guard.audit.indexing import STRIDE_BYTES, grow, index_sealed
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

    def __init__(self, stride: int = STRIDE_BYTES) -> None:
        """Know nothing yet; a segment that is written is indexed by so many bytes at a time."""
        self._stride = stride
        self._known: dict[Path, _Known] = {}

    def round(
        self,
        directories: Iterable[Path],
        budget: int = BUDGET_BYTES,
        gathered: Mapping[str, Gathered] = MappingProxyType({}),
    ) -> str:
        """Index what has come, until about ``budget`` bytes are read; returns the first problem, if any.

        ``gathered`` is what sealing read, by the writer's name: what is in there is not read again.
        """
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
            read = gathered.get(directory.name) or Gathered()
            for path in paths:
                if budget <= 0:
                    break
                try:
                    with contextlib.suppress(ValueError):
                        if path is not paths[-1]:
                            budget -= _settle(path, known, read)
                        else:
                            budget -= _follow(path, known, read, self._stride)
                except OSError as error:
                    problem = problem or _words(path, error)
        return problem


def _settle(segment: Path, known: _Known, gathered: Gathered) -> int:
    """Index a sealed segment, once; returns its bytes."""
    if segment.name in known.settled:
        return 0
    size = segment.stat().st_size
    try:
        with contextlib.suppress(ValueError):  # too long to have one
            index_sealed(segment, gathered.sealed(segment))
    finally:
        gathered.indexed(segment)
    known.settled.add(segment.name)
    return size


def _follow(segment: Path, known: _Known, gathered: Gathered, stride: int) -> int:
    """Index what was added to the newest segment, unless that could not be understood; returns how many bytes."""
    size = segment.stat().st_size
    if known.stuck == (segment.name, size):
        return 0
    found = gathered.growing(segment)
    read = -1
    try:
        read = grow(segment, stride, found)
    finally:
        if read:
            gathered.indexed(segment)
    awaited = found is not None and found.end < size  # sealing has not come so far yet
    known.stuck = (segment.name, size) if read == 0 and not awaited else ("", 0)
    return read


def _words(path: Path, error: OSError) -> str:
    return f"{error.filename or path}: {error.strerror}"


def _clean(directory: Path, stems: set[str]) -> None:
    """Remove the indexes of segments that are gone, and what a kill left."""
    for path in (directory / FOLDER).glob("*"):
        if path.suffix == ".new" or path.stem not in stems:
            path.unlink(missing_ok=True)
