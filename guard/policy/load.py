"""Loading a configuration: whole or not at all, with every problem of every file reported together.

What is read is in `bundle`; here it is understood. Paths in the files are relative to the configuration directory;
nothing is interpolated. Weakness: files are read one after another, so a directory that is being written to can be read
half old and half new; replace it in one step, and compare the digest. A running guard looks twice before it takes one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from guard.policy.bundle import BUILTIN, Bundle, builtin_standards, digest_of, read_bundle
from guard.policy.config import Config
from guard.policy.fields import Frozen
from guard.policy.model import EvidenceFile, GuardConfig, ModelPolicy, OperatorsFile, RuleSet, Standard, TiersFile
from guard.policy.references import Loaded, Sources, check
from guard.policy.secret import read_secret
from guard.policy.source import ConfigError, Document, Problem, parse
from guard.policy.validate import validate

T = TypeVar("T", bound=Frozen)


class Memory:
    """The files that were understood last, so that a reload reads anew only what has changed; for one load at a time.

    Equal bytes of the same name are the same frozen value: what is compared by identity is compared in no time.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.known: dict[str, tuple[Document, Frozen]] = {}

    def recall(self, label: str, content: bytes) -> tuple[Document, Frozen] | None:
        """Return a file that had this very content."""
        found = self.known.get(label)
        return found if found is not None and found[0].content == content else None


def load(directory: Path, builtin: Path | None = None) -> Config:
    """Read and check a whole configuration; raises ConfigError with everything that is wrong with it.

    ``builtin`` is the folder of the built-in standards, by default that of this package.
    """
    return understand(read_bundle(directory, builtin), directory)


def understand(bundle: Bundle, directory: Path, memory: Memory | None = None) -> Config:
    """Make a configuration of its bytes; ``directory`` is what the paths in it are relative to. Raises ConfigError.

    With a ``memory``, what it knows is taken from there, and what is now understood is what it will know.
    """
    reading = _Reading(bundle, memory or Memory())
    guard = reading.one("guard.yaml", GuardConfig)
    tiers = reading.one("tiers.yaml", TiersFile)
    operators = reading.one("operators.yaml", OperatorsFile)
    models = reading.folder("models", ModelPolicy)
    rules = reading.folder("rules", RuleSet)
    evidence = reading.folder("evidence", EvidenceFile)
    standards = reading.folder("standards", Standard)
    shipped = reading.folder(BUILTIN, Standard)
    loaded = Loaded(guard, tiers, models, rules, evidence, standards, shipped, operators)
    problems = [*reading.problems, *check(loaded, Sources(reading.documents, reading.broken))]
    if problems or guard is None or tiers is None:
        raise ConfigError(problems)
    if memory is not None:
        memory.known = reading.known
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
        own=frozenset((each.name, each.version) for each in standards.values() if each not in shipped.values()),
        digest=bundle.digest,
        lines=MappingProxyType({name: MappingProxyType(each.lines) for name, each in reading.documents.items()}),
    )


def digest(documents: Iterable[Document]) -> str:
    """Return SHA-256 over names and contents, each with its length before it, in the order of names."""
    return digest_of({document.file: document.content for document in documents})


class _Reading:
    """What has been understood of one bundle, and what was wrong with it."""

    def __init__(self, bundle: Bundle, memory: Memory) -> None:
        self._bundle = bundle
        self._memory = memory
        self.documents: dict[str, Document] = {}
        self.known: dict[str, tuple[Document, Frozen]] = {}
        self.broken: set[str] = set(bundle.broken)
        self.problems: list[Problem] = list(bundle.problems)

    def one(self, label: str, kind: type[T]) -> T | None:
        """Understand one file; None when it is not there or something is wrong with it."""
        content = self._bundle.files.get(label)
        if content is None:
            return None
        recalled = self._memory.recall(label, content)
        if recalled is not None and isinstance(recalled[1], kind):
            self.documents[label], value = recalled[0], recalled[1]
            self.known[label] = recalled
            return value
        try:
            document = parse(label, content)
            value = validate(document, kind)
        except ConfigError as error:
            self.broken.add(label)
            self.problems.extend(error.problems)
            return None
        # The plain values are in the frozen one: kept twice they would be half of what a process holds.
        self.documents[label] = document = replace(document, value=None)
        self.known[label] = (document, value)
        return value

    def folder(self, name: str, kind: type[T]) -> dict[str, T]:
        """Understand every file of a folder, by ``name/file``."""
        found = {label: self.one(label, kind) for label in self._bundle.files if label.startswith(f"{name}/")}
        return {label: value for label, value in found.items() if value is not None}


__all__ = ["Config", "Memory", "builtin_standards", "digest", "load", "read_secret", "understand"]
