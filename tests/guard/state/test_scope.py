"""Scopes: the forms that are read, those that are not, and the names of the files that stand for them."""

from __future__ import annotations

import pytest
from hypothesis import given

from guard.state.scope import EVERYTHING, OrderError, Scope
from tests.guard.state.test_orders import scopes


@given(scopes)
def test_a_scope_is_read_back_from_its_own_form(scope: Scope) -> None:
    assert Scope.parse(str(scope)) == scope


@given(scopes)
def test_a_scope_is_read_back_from_the_name_of_its_file(scope: Scope) -> None:
    assert "/" not in scope.file
    assert Scope.of_file(scope.file) == scope


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "ALL",
        "all:",
        "all:demo",
        "model",
        "model:",
        "model:a b",
        "model:a/b",
        "model:é",
        "model:a\n",
        "Model:demo",
        "organisation:acme",
        "key:a:b",
        "model:" + "a" * 129,
        "level:0",
        "level:10",
        "level:x",
        "version:demo",
        "version:demo/",
        "version:/1",
        "org:",
        "org:a\u202eb",
        "org:" + "a" * 257,
        "attribute:region",
        "attribute:region=",
        "attribute:=eu",
        "attribute:Region=eu",
    ],
)
def test_any_other_scope_is_refused_with_the_valid_forms(text: str) -> None:
    with pytest.raises(OrderError, match=r"all, level:<ASL> .* model:<alias>, .*, attribute:<name>=<value>"):
        Scope.parse(text)


@pytest.mark.parametrize(
    ("text", "known"), [("operation:chatting", "chat, completions"), ("capability:images", "tools, streaming")]
)
def test_of_a_closed_list_the_words_that_it_has_are_named(text: str, known: str) -> None:
    with pytest.raises(OrderError, match=known):
        Scope.parse(text)


@pytest.mark.parametrize("name", ["STOPP", "stop", "STOP.", "STOP.model", "STOP.org.%ff", "STOP.operation.chatting"])
def test_a_file_of_another_name_stands_for_no_scope(name: str) -> None:
    with pytest.raises(OrderError):
        Scope.of_file(name)


def test_files_are_named_as_people_would_name_them() -> None:
    assert Scope.of_file("STOP") == EVERYTHING
    assert Scope.of_file("STOP.model.a.b") == Scope.parse("model:a.b")
    assert Scope.parse("version:demo/2").file == "STOP.version.demo%2F2"
    assert Scope.of_file("STOP.org.ACME%20Ltd") == Scope.parse("org:ACME Ltd")
