"""The snapshot of a whole configuration, immutable; a reload makes another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from guard.policy.model import Attestation, GuardConfig, ModelPolicy, OperatorsFile, RuleSet, Standard, TiersFile
from guard.policy.source import Place, Problem, located


@dataclass(frozen=True, slots=True)
class SignedStandard:
    """Who signed a standard of the operator's own, and from when until when that holds (seconds since the epoch)."""

    people: tuple[str, ...]
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that was loaded, already checked against itself.

    ``models`` is by alias, ``standards`` by (name, version), ``evidence`` by alias, ``rules`` by the path that a
    classifier mount gives in ``settings.rules``; ``operators`` is None where there is no operators.yaml. ``digest`` is
    hexadecimal SHA-256 over every file that was read, comments included: for each in the order of names, the lengths
    (8 bytes, big-endian) and bytes of its name and its content. A built-in standard's name begins with ``builtin/``.
    ``lines`` is, by the name of each file, the line of each of its places, so that what is found later is still named
    where it was written. ``own`` are the standards that are not built in, ``signed`` those of them that enough people
    signed, by fingerprint (`guard.approval.profiles` finds them; without it nobody has). Not picklable: every process
    loads its own.
    """

    directory: Path
    guard: GuardConfig
    tiers: TiersFile
    operators: OperatorsFile | None
    models: Mapping[str, ModelPolicy]
    standards: Mapping[tuple[str, str], Standard]
    evidence: Mapping[str, tuple[Attestation, ...]]
    rules: Mapping[str, RuleSet]
    digest: str
    lines: Mapping[str, Mapping[Place, int]]
    own: frozenset[tuple[str, str]] = frozenset()
    signed: Mapping[str, SignedStandard] = field(default_factory=lambda: MappingProxyType({}))

    def standard(self, model: str) -> Standard:
        """Return the standard that a model must meet; KeyError for an unknown model."""
        framework = self.models[model].framework
        return self.standards[framework.name, framework.version]

    def standards_of(self, model: str) -> tuple[Standard, ...]:
        """Return every standard that binds a model, its own first; KeyError for an unknown model."""
        further = (self.standards[each.name, each.version] for each in self.models[model].also)
        return (self.standard(model), *further)

    def problem(self, file: str, place: Place, message: str) -> Problem:
        """Name a defect at a place of one of the files that were read; KeyError for another file."""
        return located(file, self.lines[file], place, message)
