"""Loading a configuration: whole or not at all, with every problem of every file reported together.

The layout is closed: ``guard.yaml``, ``tiers.yaml``, perhaps ``operators.yaml``, and the folders ``models`` (one file
per model, named after it), ``rules``, ``evidence`` and ``standards``. ``approvals`` is not read here and not part of
the digest, because approvals name it. Names that begin with a dot are skipped, because mounted volumes put theirs
there; every other file in a folder must be ``<name>.yaml`` and is read, used or not. Paths in the files are relative to
the configuration directory; nothing is interpolated. Weakness: files are read one after another, so a directory that is
being written to can be read half old and half new; replace it in one step, and compare the digest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from guard.policy.config import Config
from guard.policy.fields import Frozen
from guard.policy.file import UnreadableError, read_regular
from guard.policy.model import EvidenceFile, GuardConfig, ModelPolicy, OperatorsFile, RuleSet, Standard, TiersFile
from guard.policy.references import Loaded, Sources, check
from guard.policy.secret import read_secret
from guard.policy.source import MAX_BYTES, ConfigError, Document, Problem, parse
from guard.policy.validate import validate

MAX_FILES = 5000

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.yaml")
_PACKAGE = Path(__file__).resolve().parents[1]

T = TypeVar("T", bound=Frozen)


def builtin_standards() -> Path:
    """Return the folder of the built-in standards: the package's data, or in a checkout ``config/standards``."""
    installed = _PACKAGE / "data" / "standards"
    return installed if installed.is_dir() else _PACKAGE.parent / "config" / "standards"


def load(directory: Path, builtin: Path | None = None) -> Config:
    """Read and check a whole configuration; raises ConfigError with everything that is wrong with it.

    ``builtin`` is the folder of the built-in standards, by default that of this package.
    """
    reading = _Reading(directory)
    guard = reading.file("guard.yaml", GuardConfig)
    tiers = reading.file("tiers.yaml", TiersFile)
    operators = reading.optional("operators.yaml", OperatorsFile)
    models = reading.folder("models", ModelPolicy, required=True)
    rules = reading.folder("rules", RuleSet)
    evidence = reading.folder("evidence", EvidenceFile)
    standards = reading.folder("standards", Standard)
    own = directory / "standards"
    builtin = builtin or builtin_standards()
    shipped: Mapping[str, Standard] = {}
    if not (own.is_dir() and builtin.is_dir() and own.samefile(builtin)):
        shipped = reading.folder("builtin", Standard, required=True, place=builtin)
    reading.strangers()
    loaded = Loaded(guard, tiers, models, rules, evidence, standards, shipped)
    problems = [*reading.problems, *check(loaded, Sources(reading.documents, reading.broken))]
    if problems or guard is None or tiers is None:
        raise ConfigError(problems)
    return Config(
        directory=directory,
        guard=guard,
        tiers=tiers,
        operators=operators,
        models=MappingProxyType({policy.model: policy for policy in models.values()}),
        standards=MappingProxyType(
            {(each.name, each.version): each for each in (*shipped.values(), *standards.values())}
        ),
        evidence=MappingProxyType(
            {
                policy.model: evidence[policy.evidence].attestations
                if isinstance(policy.evidence, str)
                else policy.evidence
                for policy in models.values()
            }
        ),
        rules=MappingProxyType(dict(rules)),
        digest=digest(reading.documents.values()),
        own=frozenset((each.name, each.version) for each in standards.values() if each not in shipped.values()),
        lines=MappingProxyType({name: MappingProxyType(each.lines) for name, each in reading.documents.items()}),
    )


def digest(documents: Iterable[Document]) -> str:
    """Return SHA-256 over names and contents, each with its length before it, in the order of names."""
    whole = hashlib.sha256()
    for document in sorted(documents, key=lambda each: each.file):
        for part in (document.file.encode(), document.content):
            whole.update(len(part).to_bytes(8, "big"))
            whole.update(part)
    return whole.hexdigest()


class _Reading:
    """What has been read of one directory, and what was wrong with it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.documents: dict[str, Document] = {}
        self.broken: set[str] = set()
        self.problems: list[Problem] = []

    def file(self, name: str, kind: type[T], path: Path | None = None) -> T | None:
        """Read one file; None when something is wrong with it."""
        try:
            content, _ = read_regular(path or self._directory / name, MAX_BYTES)
            document = parse(name, content)
            value = validate(document, kind)
        except UnreadableError as error:
            self._wrong(name, [Problem(name, 0, "", str(error))])
            return None
        except ConfigError as error:
            self._wrong(name, error.problems)
            return None
        self.documents[name] = document
        return value

    def optional(self, name: str, kind: type[T]) -> T | None:
        """Read one file that may be absent; None also when something is wrong with it."""
        try:
            (self._directory / name).lstat()
        except FileNotFoundError:
            return None
        except OSError:
            pass  # reading it says what is wrong
        return self.file(name, kind)

    def folder(self, name: str, kind: type[T], *, required: bool = False, place: Path | None = None) -> dict[str, T]:
        """Read every file of a folder, by ``name/file``."""
        names = self._names(place or self._directory / name, name, required=required)
        values: dict[str, T] = {}
        for each in names:
            if not _FILE_NAME.fullmatch(each):
                words = "must be named with letters, digits, dot, underscore or hyphen, and end in .yaml"
                self.problems.append(Problem(f"{name}/{_shown(each)}", 0, "", words))
                continue
            label = f"{name}/{each}"
            value = self.file(label, kind, place / each if place else None)
            if value is not None:
                values[label] = value
        return values

    def strangers(self) -> None:
        """Refuse YAML files beside guard.yaml that nothing would read."""
        for each in self._names(self._directory, ".", required=False):
            if each.endswith((".yaml", ".yml")) and each not in {"guard.yaml", "tiers.yaml", "operators.yaml"}:
                self.problems.append(Problem(_shown(each), 0, "", "is not a file of a configuration"))

    def _names(self, place: Path, label: str, *, required: bool) -> list[str]:
        try:
            names = sorted(path.name for path in place.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            names = []
        except OSError as error:
            self.problems.append(Problem(label, 0, "", f"cannot be read ({error.strerror})"))
            return []
        if required and not names:
            self.problems.append(Problem(label, 0, "", "is missing or has no file"))
        if len(names) > MAX_FILES:
            self.problems.append(Problem(label, 0, "", f"has more than {MAX_FILES} files"))
            return []
        return names

    def _wrong(self, name: str, problems: Iterable[Problem]) -> None:
        self.broken.add(name)
        self.problems.extend(problems)


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)


__all__ = ["Config", "builtin_standards", "digest", "load", "read_secret"]
