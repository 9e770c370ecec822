"""Findings of the types in plain words, never with a value of the file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.policy.fields import PATTERN_WORDS, Frozen
from guard.policy.model import GuardConfig, ModelPolicy, RuleSet, Standard, TiersFile
from guard.policy.source import ConfigError, Document, parse
from guard.policy.validate import validate
from tests.bad_config.test_bad_config import HERE

KINDS: tuple[tuple[str, type[Frozen]], ...] = (
    ("guard.yaml", GuardConfig),
    ("tiers.yaml", TiersFile),
    ("models/demo.yaml", ModelPolicy),
    ("rules/demo.yaml", RuleSet),
    ("standards/own.yaml", Standard),
)
SECRET = "sk-PLAINTEXT"
ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.just(SECRET),
    st.just(()),
    st.just({}),
    st.just({SECRET: SECRET}),
    st.just(({"use": SECRET},)),
    st.just(({"check": SECRET},)),
)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    return [(*above, step) for step, _ in below] + [p for step, each in below for p in places(each, (*above, step))]


def replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    if isinstance(value, dict):
        return {**value, place[0]: replaced(value[place[0]], place[1:], new)}
    return tuple(replaced(each, place[1:], new) if i == place[0] else each for i, each in enumerate(value))


@settings(deadline=None)  # the machine may be busy
@given(st.sampled_from(KINDS), ODD, st.data())
def test_any_value_in_any_place_is_accepted_or_refused_in_words_that_do_not_repeat_it(
    file: tuple[str, type[Frozen]], odd: Any, data: st.DataObject
) -> None:
    document = parse(file[0], (HERE / "base" / file[0]).read_bytes())
    place = data.draw(st.sampled_from(places(document.value)))
    changed = Document(document.file, b"", replaced(document.value, place, odd), document.lines)
    try:
        validate(changed, file[1])
    except ConfigError as error:
        for problem in error.problems:
            assert SECRET not in problem.message
            assert "Input should" not in problem.message
            assert problem.line >= 1


def test_a_misspelt_key_is_told_what_it_may_have_meant() -> None:
    text = (HERE / "base" / "models/demo.yaml").read_text().replace("safeguards:", "safegards:")
    with pytest.raises(ConfigError, match="safegards: is not a known key; `safeguards` is missing"):
        validate(parse("models/demo.yaml", text.encode()), ModelPolicy)


def test_every_pattern_of_the_types_has_words() -> None:
    def patterns(schema: Any) -> set[str]:
        if isinstance(schema, dict):
            own = {schema["pattern"]} if isinstance(schema.get("pattern"), str) else set()
            return own.union(*(patterns(each) for each in schema.values()))
        return set().union(*(patterns(each) for each in schema)) if isinstance(schema, list) else set()

    found = set().union(*(patterns(kind.model_json_schema()) for _, kind in KINDS))
    assert found
    assert found <= set(PATTERN_WORDS)
