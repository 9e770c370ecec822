"""Every place of a request into which a caller can write a text, found by walking a dialect's own table.

A kind of spec that is not known here raises TypeError: whoever adds one has to say what can be written into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from guard.wire import anthropic_messages, openai_chat, openai_responses_input
from guard.wire.openai_inputs import Inputs, Voiced
from guard.wire.table import Either, Flag, Free, Items, JsonText, Number, OneOf, Record, Refused, Spec, Text
from tests.parts.configuration import MARKER

FIRST, SECOND = "FORBIDDEN", "-MARKER"
_KIND: Final = ("type", "role")
_NO_TEXT: Final = (Number, Flag, OneOf, Refused)
_WRAPPED: Final[Mapping[type, str]] = {
    Voiced: "_of",
    anthropic_messages._Voice: "_spec",
    anthropic_messages.Cacheable: "_record",
}


@dataclass(frozen=True, slots=True)
class Plant:
    """A valid value but for the text planted at ``place``; ``served`` is whether text may stand there at all.

    ``alone``: nothing else stands in the value, so that it can be half of a text whose other half is its neighbour.
    """

    place: str
    value: Any
    served: bool = True
    alone: bool = False


def escaped(text: str, letters: int) -> str:
    """The text with so many of its first letters in JSON's escapes."""
    return "".join(f"\\u{ord(letter):04x}" for letter in text[:letters]) + text[letters:]


def nested(text: str) -> str:
    """A document with a string that is a document in which the text's first letter is escaped."""
    return json.dumps({"a": f'{{"b": "{escaped(text, 1)}"}}'})


def minimal(spec: Spec) -> Any:
    """The least value that a spec takes, with empty texts wherever it lets them be empty."""
    if isinstance(spec, Text):
        return ""
    if isinstance(spec, Record):
        given = {key: minimal(spec._keys[key]) for key in spec._required}
        named = {key: minimal(each) for key, each in spec._keys.items() if key in _KIND and isinstance(each, OneOf)}
        return {**named, **given}
    if isinstance(spec, OneOf):
        return spec._values[0]
    if isinstance(spec, Flag):
        return False
    if isinstance(spec, Items):
        return [minimal(spec._of)] * spec._least
    if isinstance(spec, Either):
        return minimal(next(iter(spec._shapes.values())))
    if isinstance(spec, Inputs):
        return "x"
    if isinstance(spec, Free):
        return {}
    if isinstance(spec, Number):
        return int(max(spec._low, 1))
    inner = _wrapped(spec)
    if inner is not None:
        return minimal(inner)
    key, kinds, _ = _kinds(spec)
    kind, table = next(iter(kinds.items()))
    return {key: kind, **minimal(table)}


def whole(spec: Spec, text: str = MARKER) -> Iterator[Plant]:
    """This text in each place that the spec has, one at a time."""
    if isinstance(spec, Text):
        opaque = isinstance(spec, anthropic_messages._Opaque)
        yield Plant("", text, served=not opaque or spec._granted, alone=True)  # type: ignore[attr-defined]  # of _Opaque
        if isinstance(spec, JsonText):
            for letters in (1, len(text)):
                yield Plant(f"({letters} escaped)", f'{{"a": "{escaped(text, letters)}"}}')
            yield Plant("(nested)", nested(text))
    elif isinstance(spec, Free):
        yield Plant("(key)", {text: True}, alone=True)
        yield Plant("(value)", {"a": text})
        yield Plant("(deep)", {"a": [1, {"b": [text]}]})
        yield Plant("(nested)", json.loads(nested(text)))
    elif isinstance(spec, Record):
        least = minimal(spec)
        for key, inner in spec._keys.items():
            for each in whole(inner, text):
                yield Plant(f".{key}{each.place}", {**least, key: each.value}, each.served, each.alone)
        yield Plant("(unknown key)", {**least, "unknown_key": text}, served=False)
        yield Plant("(named key)", {**least, text: True}, served=False)
    elif isinstance(spec, Items):
        for each in whole(spec._of, text):
            yield Plant(f"[]{each.place}", [each.value] * max(1, spec._least), each.served, each.alone)
    elif isinstance(spec, Either):
        for shape_of, shape in spec._shapes.items():
            for each in whole(shape, text):
                yield Plant(f"<{shape_of.__name__}>{each.place}", each.value, each.served, each.alone)
    elif isinstance(spec, Inputs):
        yield Plant("", text, alone=True)
        yield Plant("[]", ["x", text])
        yield Plant("(part)", [{"type": "text", "text": text}], served=False)
    elif isinstance(spec, openai_responses_input.Empty):
        yield Plant("[]", [text], served=False)
    elif isinstance(spec, _NO_TEXT):
        yield Plant("", text, served=False)
    elif (wrapped := _wrapped(spec)) is not None:
        yield from whole(wrapped, text)
    else:
        key, kinds, refused = _kinds(spec)
        for kind, table in kinds.items():
            for each in whole(table, text):
                value = {key: kind, **each.value} if isinstance(each.value, dict) else each.value
                yield Plant(f"({kind}){each.place}", value, each.served, each.alone)
        for kind in refused:
            yield Plant(f"({kind})", {key: kind, "text": text}, served=False)
        yield Plant("(unknown kind)", {key: text}, served=False)


def split(spec: Spec) -> Iterator[Plant]:
    """The two halves of the marker in neighbouring items of each list that the spec has."""
    if isinstance(spec, Record):
        least = minimal(spec)
        for key, inner in spec._keys.items():
            for each in split(inner):
                yield Plant(f".{key}{each.place}", {**least, key: each.value})
    elif isinstance(spec, Items):
        for each in split(spec._of):
            yield Plant(f"[]{each.place}", [each.value])
        if spec._limit > 1:
            for first, second in zip(whole(spec._of, FIRST), whole(spec._of, SECOND), strict=True):
                if first.served and first.alone:
                    yield Plant(f"[0][1]{first.place}", [first.value, second.value])
    elif isinstance(spec, Either):
        for shape_of, shape in spec._shapes.items():
            for each in split(shape):
                yield Plant(f"<{shape_of.__name__}>{each.place}", each.value)
    elif isinstance(spec, Inputs):
        yield Plant("[0][1]", [FIRST, SECOND])
    elif (wrapped := _wrapped(spec)) is not None:
        yield from split(wrapped)
    elif not isinstance(spec, (Text, Free, openai_responses_input.Empty, *_NO_TEXT)):
        key, kinds, _ = _kinds(spec)
        for kind, table in kinds.items():
            for each in split(table):
                yield Plant(f"({kind}){each.place}", {key: kind, **each.value})


def _wrapped(spec: Spec) -> Spec | None:
    name = _WRAPPED.get(type(spec))
    return None if name is None else getattr(spec, name)


def _kinds(spec: Spec) -> tuple[str, Mapping[str, Spec], tuple[str, ...]]:
    """Of a spec that tells objects apart: by which key, the table of each kind, and the kinds it names to refuse."""
    if isinstance(spec, openai_responses_input.ByType):
        return "type", spec._types, tuple(spec._refused)
    if isinstance(spec, anthropic_messages._Kinds):
        return spec._key, spec._kinds, ()
    if isinstance(spec, openai_chat._Part):
        return "type", {"text": openai_chat._TEXT_PART, "refusal": openai_chat._REFUSAL_PART}, ()
    if isinstance(spec, openai_chat._Message):
        return "role", openai_chat._ROLES, ()
    if isinstance(spec, openai_responses_input._Message):
        return "role", openai_responses_input._ROLES, ()
    raise TypeError(f"{type(spec).__name__}: say here what can be written into it")
