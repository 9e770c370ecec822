"""From a document to a frozen type, with every finding in plain words at the line of its key.

No message repeats a value of the file: somebody may have put a secret where a reference belongs.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from guard.policy.fields import PATTERN_WORDS, Frozen, MisplacedError
from guard.policy.source import ConfigError, Document, Place, Problem

M = TypeVar("M", bound=Frozen)

_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be a text (put it in quotes)",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "none_required": "must be null",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "date_type": "must be a day written as 2027-01-31",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters",
    "too_long": "has more items than {max_length}",
    "too_short": "must not be empty",
    "finite_number": "must be a finite number",
}


def validate(document: Document, kind: type[M]) -> M:
    """Check a document against its type; raises ConfigError with all findings."""
    try:
        return kind.model_validate(document.value)
    except ValidationError as error:
        findings = error.errors(include_url=False, include_input=False)
        inner = {each["loc"][:depth] for each in findings for depth in range(len(each["loc"]))}
        # A list whose every item was refused is reported as empty as well; that would only mislead.
        findings = [each for each in findings if each["type"] != "too_short" or each["loc"] not in inner]
        absent = {finding["loc"] for finding in findings if finding["type"] == "missing"}
        raise ConfigError(_problem(document, finding, absent) for finding in findings) from None


def _problem(document: Document, finding: Any, absent: set[Place]) -> Problem:
    """Put one finding into words; ``absent`` is where required keys are missing: what a misspelt key may have meant."""
    kind, loc, context = finding["type"], finding["loc"], finding.get("ctx", {})
    place = _place(document.value, loc, keep_last=kind == "missing")
    if kind == "value_error":
        error = context["error"]
        return document.problem(place + error.place if isinstance(error, MisplacedError) else place, str(error))
    if kind == "unknown_check":
        return document.problem((*place, "check"), finding["msg"])
    if kind == "union_tag_not_found":
        return document.problem((*place, context["discriminator"].strip("'")), "is required")
    if kind == "union_tag_invalid":
        expected = _plain(context["expected_tags"])
        return document.problem((*place, context["discriminator"].strip("'")), f"must be {expected}")
    if kind == "extra_forbidden":
        siblings = [str(other[-1]) for other in absent if other[:-1] == loc[:-1]]
        meant = difflib.get_close_matches(str(loc[-1]), siblings, n=1)
        return document.problem(
            place, f"is not a known key; `{meant[0]}` is missing" if meant else "is not a known key"
        )
    if kind == "string_pattern_mismatch":
        return document.problem(place, PATTERN_WORDS[context["pattern"]])
    if kind in {"enum", "literal_error"}:
        context = {"expected": _plain(context["expected"])}
    words = _WORDS.get(kind)
    return document.problem(
        place, words.format_map({k: _round(v) for k, v in context.items()}) if words else finding["msg"]
    )


def _place(value: Any, loc: Place, *, keep_last: bool) -> Place:
    """Follow a finding's location through the file's own value, leaving out the names of alternatives in the types."""
    place: list[str | int] = []
    for index, step in enumerate(loc):
        below = _below(value, step)
        if below:
            value = below[0]
        elif not (keep_last and index == len(loc) - 1):
            continue
        place.append(step)
    return tuple(place)


def _below(value: Any, step: str | int) -> tuple[Any] | None:
    if isinstance(value, dict) and step in value:
        return (value[step],)
    if isinstance(value, tuple) and isinstance(step, int) and step < len(value):
        return (value[step],)
    return None


def _round(bound: Any) -> Any:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _plain(expected: str) -> str:
    """Turn the validator's list of words ("<U.A: 'a'>, <U.B: 'b'>" or "'a', 'b' or 'c'") into "a, b or c"."""
    words = [part.rsplit("'", 2)[-2] if "'" in part else part for part in expected.replace(" or ", ", ").split(", ")]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
