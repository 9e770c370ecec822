"""An OpenAPI description of the data port, made out of the route table and the dialects' own tables of requests.

It says exactly what a table takes, so what fits it must be served and what does not must be refused. A kind of spec
that is not known here raises TypeError: whoever adds one has to say what it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from guard.wire import anthropic_messages, openai_chat, openai_responses_input
from guard.wire.openai_inputs import Inputs, Voiced
from guard.wire.table import Either, Flag, Free, Items, Number, OneOf, Record, Refused, Spec, Text
from tests.parts.route_tables import TABLES

Schema = dict[str, Any]
_TYPES: Final[Mapping[type, str]] = {str: "string", list: "array", dict: "object"}
_WRAPPED: Final[Mapping[type, str]] = {
    Voiced: "_of",
    anthropic_messages._Voice: "_spec",
    anthropic_messages.Cacheable: "_record",
}
_SCALAR: Final[Schema] = {
    "anyOf": [
        {"type": "string", "maxLength": 200},
        {"type": "integer", "minimum": -999, "maximum": 999},
        {"type": "boolean"},
    ]
}
_FREE: Final[Schema] = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}, {"type": "object", "additionalProperties": _SCALAR}]
    },
}


def opened(of: Any) -> Any:
    """The same description with every free structure unbounded: what breaks it now breaks the tables too."""
    if of == _FREE:
        return {"type": "object"}
    if isinstance(of, dict):
        return {key: opened(value) for key, value in of.items()}
    return [opened(each) for each in of] if isinstance(of, list) else of


def description(model: str) -> Schema:
    """The whole description, for a caller who may use this one model.

    A free structure is described smaller than it may be, so that what is made of it stays small.
    """
    paths: dict[str, Any] = {}
    for path, (table, _) in TABLES.items():
        body = schema(table)
        body["properties"]["model"] = {"enum": [model]}
        content = {"application/json": {"schema": body}}
        paths[path.decode()] = {
            "post": {
                "requestBody": {"required": True, "content": content},
                "responses": {"200": {"description": "served"}, "400": {"description": "not understood"}},
            }
        }
    return {"openapi": "3.1.0", "info": {"title": "the data port", "version": "1"}, "paths": paths}


def schema(spec: Spec) -> Schema:
    """What a spec takes, as JSON Schema."""
    if isinstance(spec, anthropic_messages._Opaque):
        return {"type": "string", "pattern": "^[A-Za-z0-9+/_=-]*$"} if spec._granted else {"enum": [""]}
    if isinstance(spec, Text):
        return {"type": "string", "maxLength": spec._limit}
    if isinstance(spec, Free):
        return _FREE
    if isinstance(spec, Number):
        kind = "integer" if float not in spec._types else "number"
        return {"type": kind, "minimum": spec._low, "maximum": spec._high}
    if isinstance(spec, Flag):
        return {"type": "boolean"}
    if isinstance(spec, OneOf):
        return {"enum": list(spec._values)}
    if isinstance(spec, Refused):
        return {"type": "null"}  # which means not given
    if isinstance(spec, Items):
        return {"type": "array", "items": schema(spec._of), "minItems": spec._least, "maxItems": spec._limit}
    if isinstance(spec, openai_responses_input.Empty):
        return {"type": "array", "maxItems": 0}
    if isinstance(spec, Inputs):
        text = {**schema(spec._of), "minLength": 1}
        return {"anyOf": [text, {"type": "array", "items": text, "minItems": 1, "maxItems": spec._limit}]}
    if isinstance(spec, Either):
        return {"anyOf": [{"type": _TYPES[kind], **schema(shape)} for kind, shape in spec._shapes.items()]}
    if isinstance(spec, Record):
        return _record(spec)
    name = _WRAPPED.get(type(spec))
    return schema(getattr(spec, name)) if name is not None else _kinds(spec)


def _record(spec: Record) -> Schema:
    properties = {}
    for key, inner in spec._keys.items():
        taken = schema(inner)
        properties[key] = taken if key in spec._required else {"anyOf": [taken, {"type": "null"}]}
    return {
        "type": "object",
        "properties": properties,
        "required": list(spec._required),
        "additionalProperties": False,
    }


def _kinds(spec: Spec) -> Schema:
    """A spec that tells objects apart by one of their keys."""
    key, default = "type", ""
    kinds: Mapping[str, Spec]
    if isinstance(spec, openai_responses_input.ByType):
        kinds, default = spec._types, spec._default
    elif isinstance(spec, anthropic_messages._Kinds):
        key, kinds, default = spec._key, spec._kinds, spec._default
    elif isinstance(spec, openai_chat._Part):
        kinds = {"text": openai_chat._TEXT_PART, "refusal": openai_chat._REFUSAL_PART}
    elif isinstance(spec, openai_chat._Message):
        key, kinds = "role", openai_chat._ROLES
    elif isinstance(spec, openai_responses_input._Message):
        key, kinds = "role", openai_responses_input._ROLES
    else:
        raise TypeError(f"{type(spec).__name__}: say here what it takes")
    served = {kind: schema(each) for kind, each in kinds.items() if not isinstance(each, Refused)}
    return {
        "anyOf": [
            _kind(key, kind, shape, default) for kind, found in served.items() for shape in found.get("anyOf", [found])
        ]
    }


def _kind(key: str, kind: str, taken: Schema, default: str) -> Schema:
    if key not in taken["properties"]:
        return taken
    required = taken["required"] if kind == default else [*dict.fromkeys((*taken["required"], key))]
    properties = {**taken["properties"], **({} if kind == default else {key: {"enum": [kind]}})}
    return {**taken, "properties": properties, "required": required}
