"""Every switch that a configuration has: each boolean and each word from a closed list, found in the JSON Schemas.

Nothing is listed by hand, so a new key is a new switch by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from guard.policy.schema import schema

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Switch:
    """One place of one file, its form (with ``*`` for items and names), and all that can stand there."""

    kind: str
    place: Place
    form: tuple[str, ...]
    values: tuple[Any, ...]


def forms(kind: str) -> frozenset[tuple[str, ...]]:
    """Return the form of every switch that the schema of this kind of file knows."""
    whole = schema(kind)
    return frozenset(form for form, _ in _forms(whole, whole, ()))


def switches(kind: str, document: Any) -> tuple[Switch, ...]:
    """Return every switch of a document: what it has, and beside it what it could have."""
    whole = schema(kind)
    return tuple(Switch(kind, place, form, values) for place, form, values in _found(whole, whole, document, (), ()))


def put(document: Any, switch: Switch, value: Any) -> None:
    """Set a switch in a document."""
    for step in switch.place[:-1]:
        document = document[step]
    document[switch.place[-1]] = value


_WORDS: Final = ("boolean", "enum")


def _resolved(whole: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in part:
        part = whole["$defs"][part["$ref"].rpartition("/")[2]]
    return part


def _branches(whole: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The alternatives of a part, resolved; itself if it has none."""
    part = _resolved(whole, part)
    many = part.get("anyOf") or part.get("oneOf")
    if many is None:
        yield part
        return
    for each in many:
        yield from _branches(whole, each)


def _values(part: Mapping[str, Any]) -> tuple[Any, ...]:
    if part.get("type") == "boolean":
        return (False, True)
    return tuple(part.get("enum", ()))


def _below(part: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What lies below a part: its keys, its items, what any name may hold."""
    yield from part.get("properties", {}).items()
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            yield "*", part[key]
    for each in part.get("patternProperties", {}).values():
        yield "*", each


def _forms(
    whole: Mapping[str, Any], part: Mapping[str, Any], form: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
    for branch in _branches(whole, part):
        if values := _values(branch):
            yield form, values
        for step, below in _below(branch):
            yield from _forms(whole, below, (*form, step))


def _found(
    whole: Mapping[str, Any], part: Mapping[str, Any], value: Any, place: Place, form: tuple[str, ...]
) -> Iterator[tuple[Place, tuple[str, ...], tuple[Any, ...]]]:
    for branch in _branches(whole, part):
        if values := _values(branch):
            yield place, form, values
        if isinstance(value, dict):
            named = branch.get("properties", {})
            if not _is(branch, value):
                continue
            for key, below in named.items():
                yield from _found(whole, below, value.get(key), (*place, key), (*form, key))
            for step, below in _below(branch):
                for key in value.keys() - named.keys() if step == "*" else ():
                    yield from _found(whole, below, value[key], (*place, key), (*form, "*"))
        elif isinstance(value, list) and isinstance(branch.get("items"), dict):
            for index, item in enumerate(value):
                yield from _found(whole, branch["items"], item, (*place, index), (*form, "*"))


def _is(branch: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether this alternative is the one that a section is written as, by the words that tell alternatives apart."""
    for key, below in branch.get("properties", {}).items():
        words = [below["const"]] if "const" in below else below.get("enum", ()) if key == "use" else ()
        if words and key in value and value[key] not in words:
            return False
    return True
