"""The JSON Schema of each kind of configuration file, so that an editor completes keys and marks mistakes.

Made from the types that read the files, so it refuses nothing that they accept. It accepts more: what holds between
two keys, two files or two items of a list is for `guard check` to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from guard.policy.fields import Frozen
from guard.policy.model import EvidenceFile, GuardConfig, ModelPolicy, OperatorsFile, RuleSet, Standard, TiersFile

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
KINDS: Final[Mapping[str, type[Frozen]]] = MappingProxyType(
    {
        "guard": GuardConfig,
        "tiers": TiersFile,
        "operators": OperatorsFile,
        "model": ModelPolicy,
        "rules": RuleSet,
        "evidence": EvidenceFile,
        "standard": Standard,
    }
)


def schema(kind: str) -> Mapping[str, Any]:
    """Return the JSON Schema of one kind of file; raises KeyError for a kind that does not exist."""
    return {"$schema": DRAFT, **KINDS[kind].model_json_schema(by_alias=True, mode="validation")}


def schema_text(kind: str) -> str:
    """Return it as the content of a file; errors as `schema`."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def write_schemas(directory: Path) -> tuple[Path, ...]:
    """Write ``<kind>.json`` for every kind into a directory, made if it is missing; raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = tuple(directory / f"{kind}.json" for kind in KINDS)
    for kind, path in zip(KINDS, paths, strict=True):
        path.write_text(schema_text(kind), encoding="utf-8")
    return paths
