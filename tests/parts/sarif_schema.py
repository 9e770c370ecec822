"""The part of SARIF 2.1.0's schema that the guard's output can touch, closed as the published one is.

Written by hand after OASIS's sarif-schema-2.1.0.json: the same names, types, required keys and enumerations of each
object used here, every one with ``additionalProperties: false``; what the guard never writes is left out, so it fails.
"""

from __future__ import annotations

from typing import Any, Final


def _closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def _many(items: dict[str, Any], *, least: int = 0, unique: bool = False) -> dict[str, Any]:
    return {"type": "array", "minItems": least, "uniqueItems": unique, "items": items}


_TEXT: Final = {"type": "string"}
_BAG: Final = {
    "type": "object",
    "properties": {"tags": _many(_TEXT, unique=True)},
    "additionalProperties": True,
}
_MESSAGE: Final = _closed(("text",), text=_TEXT, markdown=_TEXT)
_LEVEL: Final = {"enum": ["none", "note", "warning", "error"]}
_RULE: Final = _closed(
    ("id",),
    id=_TEXT,
    name=_TEXT,
    shortDescription=_MESSAGE,
    fullDescription=_MESSAGE,
    help=_MESSAGE,
    helpUri={"type": "string", "format": "uri"},
    defaultConfiguration=_closed(level=_LEVEL),
    properties=_BAG,
)
_LOCATION: Final = _closed(
    physicalLocation=_closed(
        ("artifactLocation",),
        artifactLocation=_closed(uri={"type": "string", "format": "uri-reference"}),
        region=_closed(startLine={"type": "integer", "minimum": 1}),
    ),
    logicalLocations=_many(_closed(name=_TEXT, kind=_TEXT), unique=True),
)
_RESULT: Final = _closed(
    ("message",),
    ruleId=_TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    level=_LEVEL,
    message=_MESSAGE,
    locations=_many(_LOCATION),
    partialFingerprints={"type": "object", "additionalProperties": _TEXT},
    properties=_BAG,
)
SARIF: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_closed(
        ("version", "runs"),
        version={"enum": ["2.1.0"]},
        runs=_many(
            _closed(
                ("tool",),
                tool=_closed(
                    ("driver",), driver=_closed(("name",), name=_TEXT, version=_TEXT, rules=_many(_RULE, unique=True))
                ),
                invocations=_many(
                    _closed(("executionSuccessful",), executionSuccessful={"type": "boolean"}), unique=True
                ),
                columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                results=_many(_RESULT),
                properties=_BAG,
            )
        ),
    ),
}
SARIF["properties"]["$schema"] = {"type": "string", "format": "uri"}
