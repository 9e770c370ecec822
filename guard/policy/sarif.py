"""What `guard check` finds as SARIF 2.1.0, the format in which code hosts and editors show findings beside the lines.

A rule is a row of a standard, ``<name>/<version>/<row>``; its name is the check. An invalid configuration is a run that
did not succeed, with one finding a problem. Source: OASIS, Static Analysis Results Interchange Format 2.1.0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from guard import __version__
from guard.policy.config import Config
from guard.policy.floor import binding_rows, unmet
from guard.policy.model import ClassifierMount, Row, SafeguardKind, Standard
from guard.policy.report import instant
from guard.policy.source import Place, Problem
from guard.policy.standard import AttestedRow, CheckName, MountedRow, ScreensRow

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
INVALID: Final = "invalid-configuration"
_UNVERIFIED: Final = "unverified"
# Where a model's file has what a check without parameters looks at.
_PLACES: Final[Mapping[CheckName, Place]] = {
    CheckName.DURABLE_INTENT: ("safeguards", 0, "settings"),
    CheckName.PARTS_ON_TWO_DEVICES: ("safeguards", 0, "settings"),
    CheckName.LIMITS_PER_KEY: ("safeguards",),
    CheckName.LISTED_OPERATIONS: ("operations",),
    CheckName.CONTROLS_AS_REPORTED: ("evidence",),
}


def sarif(config: Config, at: datetime) -> tuple[str, bool]:
    """Return the unmet rows of every model at an instant as one SARIF log, and whether every model is routable."""
    rules: dict[str, Row] = {}
    results = []
    for alias in sorted(config.models):
        rows = {row.id: row for row in binding_rows(config, alias)}
        # A row that the guard adds by itself goes under the model's own standard.
        of = dict.fromkeys(rows, config.standard(alias))
        of |= {row.id: each for each in config.standards_of(alias) for row in each.rows}
        named = {name: _rule_id(of[name], row) for name, row in rows.items()}
        rules |= {named[name]: row for name, row in rows.items()}
        for each in unmet(config, alias, at):
            row = rows[each.row]
            results.append(_result(config, alias, named[each.row], row, each.why))
    names = list(rules)
    for result in results:
        result["ruleIndex"] = names.index(result["ruleId"])
    descriptors = [_descriptor(name, row) for name, row in rules.items()]
    properties = {"at": instant(at), "configuration": config.digest}
    return _log(descriptors, results, properties, succeeded=True), not results


def sarif_invalid(directory: Path, problems: Iterable[Problem]) -> str:
    """Return why a configuration could not be checked at all as a SARIF log."""
    rule = {
        "id": INVALID,
        "shortDescription": {"text": "The configuration cannot be used."},
        "defaultConfiguration": {"level": "error"},
    }
    results = [
        {
            "ruleId": INVALID,
            "ruleIndex": 0,
            "level": "error",
            "message": {"text": f"{problem.path}: {problem.message}" if problem.path else problem.message},
            "locations": [_location(directory, problem.file, problem.line)],
        }
        for problem in problems
    ]
    return _log([rule], results, {}, succeeded=False)


def _log(
    rules: list[dict[str, Any]], results: list[dict[str, Any]], properties: Mapping[str, str], *, succeeded: bool
) -> str:
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "asl-guard", "version": __version__, "rules": rules}},
        "invocations": [{"executionSuccessful": succeeded}],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    if properties:
        run["properties"] = properties
    whole = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _rule_id(standard: Standard, row: Row) -> str:
    return f"{standard.name}/{standard.version}/{row.id}"


def _descriptor(name: str, row: Row) -> dict[str, Any]:
    check = row.check or _UNVERIFIED
    return {
        "id": name,
        "name": str(check),
        "shortDescription": {"text": row.requires},
        "help": {"text": f"Source: {row.source}"},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": [f"{row.axis}-{row.level}", str(check)]},
    }


def _result(config: Config, alias: str, rule: str, row: Row, why: str) -> dict[str, Any]:
    file, place = place_of(config, alias, row)
    line = config.problem(file, place, "").line
    return {
        "ruleId": rule,
        "level": "error",
        "message": {"text": f"{alias}: {why}"},
        "locations": [_location(config.directory, file, line, alias)],
        # The same finding of another day or after lines have moved is the same finding.
        "partialFingerprints": {"modelAndRow/v1": hashlib.sha256(f"{alias}\0{rule}".encode()).hexdigest()},
        "properties": {"model": alias, "axis": str(row.axis), "asl": row.level},
    }


def place_of(config: Config, alias: str, row: Row) -> tuple[str, Place]:
    """Return the file and the key in it at which somebody would begin to mend an unmet row."""
    file, policy = f"models/{alias}.yaml", config.models[alias]
    match row:
        case AttestedRow():
            claims = [each.claim for each in config.evidence[alias]]
            found = row.parameters.claim in claims
            index: Place = (claims.index(row.parameters.claim),) if found else ()
            if isinstance(policy.evidence, str):
                return policy.evidence, ("attestations", *index)
            return file, ("evidence", *index)
        case MountedRow():
            return file, _mount(config, alias, row.parameters.safeguard)
        case ScreensRow():
            for number, mount in enumerate(policy.safeguards):
                if isinstance(mount, ClassifierMount) and row.parameters.target in mount.settings.screens:
                    return file, ("safeguards", number)
            return file, _mount(config, alias, SafeguardKind.CLASSIFIER)
        case _:
            if row.check is CheckName.AUTHENTICATED:
                return "tiers.yaml", ("keys",)
            # What no key of the file could mend stands where the file takes it on: its standard and its levels.
            return file, ("asl",) if row.check is None else _PLACES.get(row.check, ("asl",))


def _mount(config: Config, alias: str, kind: SafeguardKind) -> Place:
    uses = [mount.use for mount in config.models[alias].safeguards]
    return ("safeguards", uses.index(kind)) if kind in uses else ("safeguards",)


def _location(directory: Path, file: str, line: int, model: str = "") -> dict[str, Any]:
    path = directory / file
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    physical: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if line:
        physical["region"] = {"startLine": line}
    location: dict[str, Any] = {"physicalLocation": physical}
    if model:
        location["logicalLocations"] = [{"name": model, "kind": "model"}]
    return location
