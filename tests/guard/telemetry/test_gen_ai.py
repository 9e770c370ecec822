"""The table of OpenTelemetry names."""

from __future__ import annotations

import re

from guard.telemetry import gen_ai


def names() -> list[str]:
    return [value for name, value in vars(gen_ai).items() if name.isupper() and isinstance(value, str)]


def test_each_name_stands_once_and_has_the_form_of_an_attribute() -> None:
    assert len(names()) > 20
    assert len(set(names())) == len(names())
    assert all(re.fullmatch(r"(gen_ai|guard|error|http)(\.[a-z_]+)+", name) for name in names())


def test_an_operation_is_told_in_opentelemetrys_words_and_an_unknown_one_in_its_own() -> None:
    assert gen_ai.operation_name("completions") == "text_completion"
    assert gen_ai.operation_name("messages") == "chat"
    assert gen_ai.operation_name("rerank") == "rerank"
