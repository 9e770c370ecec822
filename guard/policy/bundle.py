"""The bytes of a whole configuration as they were read at one moment, and what could not be read.

The layout is closed: ``guard.yaml``, ``tiers.yaml``, perhaps ``operators.yaml``, and the folders ``models`` (one file
per model, named after it), ``rules``, ``evidence`` and ``standards``; the built-in standards stand under ``builtin``.
``approvals`` is not read here and not part of the digest, because approvals name it. Names that begin with a dot are
skipped, because mounted volumes put theirs there; every other file in a folder must be ``<name>.yaml`` and is read,
used or not. A snapshot folder holds exactly these names, so it is read in the same way.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from guard.policy.file import UnreadableError, read_regular
from guard.policy.source import MAX_BYTES, Problem

MAX_FILES = 5000
MAX_TOTAL = 268_435_456
TOP: Final = ("guard.yaml", "tiers.yaml", "operators.yaml")
OPTIONAL: Final = "operators.yaml"
FOLDERS: Final = ("models", "rules", "evidence", "standards")
BUILTIN: Final = "builtin"

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.yaml")
_PACKAGE = Path(__file__).resolve().parents[1]

Stamps = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Contents by label (``models/demo.yaml``); ``broken`` names files that are there and could not be read.

    ``digest`` is hexadecimal SHA-256 over all of them: for each in the order of labels, the lengths (8 bytes,
    big-endian) and bytes of its label and its content.
    """

    files: Mapping[str, bytes]
    broken: frozenset[str]
    problems: tuple[Problem, ...]
    digest: str


class UnsettledError(Exception):
    """The files changed while they were read."""


def builtin_standards() -> Path:
    """Return the folder of the built-in standards: the package's data, or in a checkout ``config/standards``."""
    installed = _PACKAGE / "data" / "standards"
    return installed if installed.is_dir() else _PACKAGE.parent / "config" / "standards"


def read_bundle(directory: Path, builtin: Path | None = None) -> Bundle:
    """Read a configuration directory; ``builtin`` is the folder of the built-in standards, by default the package's.

    Files are read one after another; `read_settled` notices when somebody writes meanwhile.
    """
    reading = _Reading(directory)
    reading.all_folders()
    own = directory / "standards"
    builtin = builtin or builtin_standards()
    if not (own.is_dir() and builtin.is_dir() and own.samefile(builtin)):
        reading.folder(BUILTIN, required=True, place=builtin)
    return reading.bundle()


def read_snapshot(directory: Path) -> Bundle:
    """Read a folder that a bundle was written to, the built-in standards of that time included."""
    reading = _Reading(directory)
    reading.all_folders()
    reading.folder(BUILTIN)
    return reading.bundle()


def read_settled(directory: Path, builtin: Path | None = None) -> tuple[Bundle, Stamps]:
    """As `read_bundle`, with the stamps of what was read; raises UnsettledError if a file changed meanwhile."""
    before = stamps(directory)
    bundle = read_bundle(directory, builtin)
    if stamps(directory) != before:
        raise UnsettledError
    return bundle, before


def stamps(directory: Path) -> Stamps:
    """Return what changes when a file of the configuration does: device, inode, size and times of each.

    Cheap (a call of the system for each file) and bounded; what cannot be looked at is left out, and so is what nobody
    would read.
    """
    found: dict[str, tuple[int, ...]] = {}
    for name in TOP:
        _stamp(found, name, directory / name)
    for folder in FOLDERS:
        try:
            with os.scandir(directory / folder) as entries:
                for count, entry in enumerate(entries):
                    if count > MAX_FILES:
                        break
                    if not entry.name.startswith("."):
                        _stamp(found, f"{folder}/{entry.name}", Path(entry.path))
        except OSError:
            continue
    return found


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return the digest of these contents by label."""
    whole = hashlib.sha256()
    for label in sorted(files):
        for part in (label.encode(), files[label]):
            whole.update(len(part).to_bytes(8, "big"))
            whole.update(part)
    return whole.hexdigest()


def _stamp(found: dict[str, tuple[int, ...]], label: str, path: Path) -> None:
    try:
        now = path.stat()  # follows the links of mounted volumes
    except OSError:
        return
    found[label] = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


class _Reading:
    """What has been read of one directory, and what was wrong with it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, bytes] = {}
        self._broken: set[str] = set()
        self._problems: list[Problem] = []
        self._total = 0

    def all_folders(self) -> None:
        """Read everything but the built-in standards."""
        for name in TOP:
            if name != OPTIONAL or os.path.lexists(self._directory / name):
                self._file(name, self._directory / name)
        for folder in FOLDERS:
            self.folder(folder, required=folder == "models")
        self._strangers()

    def folder(self, name: str, *, required: bool = False, place: Path | None = None) -> None:
        """Read every file of a folder, by ``name/file``."""
        place = place or self._directory / name
        for each in self._names(place, name, required=required):
            if _FILE_NAME.fullmatch(each):
                self._file(f"{name}/{each}", place / each)
            else:
                words = "must be named with letters, digits, dot, underscore or hyphen, and end in .yaml"
                self._problems.append(Problem(f"{name}/{_shown(each)}", 0, "", words))

    def bundle(self) -> Bundle:
        """Return what there is by now."""
        files = MappingProxyType(self._files)
        return Bundle(files, frozenset(self._broken), tuple(self._problems), digest_of(files))

    def _file(self, label: str, path: Path) -> None:
        try:
            content, _ = read_regular(path, MAX_BYTES)
        except UnreadableError as error:
            self._wrong(label, str(error))
            return
        self._total += len(content)
        if self._total > MAX_TOTAL:
            self._wrong(label, f"makes the configuration larger than {MAX_TOTAL} bytes")
            return
        self._files[label] = content

    def _wrong(self, label: str, words: str) -> None:
        self._broken.add(label)
        self._problems.append(Problem(label, 0, "", words))

    def _strangers(self) -> None:
        """Refuse YAML files beside guard.yaml that nothing would read."""
        for each in self._names(self._directory, ".", required=False):
            if each.endswith((".yaml", ".yml")) and each not in TOP:
                self._problems.append(Problem(_shown(each), 0, "", "is not a file of a configuration"))

    def _names(self, place: Path, label: str, *, required: bool) -> list[str]:
        try:
            names = sorted(path.name for path in place.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            names = []
        except OSError as error:
            self._problems.append(Problem(label, 0, "", f"cannot be read ({error.strerror})"))
            return []
        if required and not names:
            self._problems.append(Problem(label, 0, "", "is missing or has no file"))
        if len(names) > MAX_FILES:
            self._problems.append(Problem(label, 0, "", f"has more than {MAX_FILES} files"))
            return []
        return names


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)
