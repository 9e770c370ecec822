"""What is served here: which scopes there are, and which models each touches."""

from __future__ import annotations

import pytest

from guard.state.scope import Scope
from guard.state.served import Principal, Served, ServedModel, UnknownScopeError

SERVED = Served(
    {
        "small": ServedModel(1, "", ("chat",)),
        "demo": ServedModel(2, "2026-10", ("chat", "embeddings")),
        "large": ServedModel(3, "7", ("messages",)),
    },
    {"general": ["small", "demo", "gone"], "research": ["large"], "nothing": []},
    {
        "app": Principal("general", "ACME Ltd", ("region=eu",)),
        "lab": Principal("research", "Lab", ("region=us",)),
        "lost": Principal("nothing", "Lab", ("region=us",)),
    },
    ["region=eu", "region=us", "region=unknown"],
)


@pytest.mark.parametrize(
    ("scope", "models"),
    [
        ("all", ["demo", "large", "small"]),
        ("level:1", ["demo", "large", "small"]),
        ("level:2", ["demo", "large"]),
        ("level:3", ["large"]),
        ("level:4", []),
        ("model:demo", ["demo"]),
        ("model:none", []),
        ("version:demo/2026-10", ["demo"]),
        ("version:demo/2026-11", []),
        ("tier:general", ["demo", "small"]),
        ("key:lab", ["large"]),
        ("key:none", []),
        ("org:ACME Ltd", ["demo", "small"]),
        ("org:Lab", ["large"]),
        ("operation:chat", ["demo", "small"]),
        ("operation:responses", []),
        ("capability:tools", ["demo", "large", "small"]),
        ("attribute:region=us", ["large"]),
        ("attribute:region=unknown", []),
    ],
)
def test_a_scope_touches_the_models_that_something_it_covers_may_ask(scope: str, models: list[str]) -> None:
    assert SERVED.touched(Scope.parse(scope)) == models


@pytest.mark.parametrize(
    "scope",
    [
        "all",
        "level:4",
        "model:demo",
        "version:large/7",
        "tier:nothing",
        "key:lost",
        "org:Lab",
        "operation:responses",
        "capability:tools",
        "attribute:region=unknown",
    ],
)
def test_what_there_is_may_be_stopped(scope: str) -> None:
    SERVED.require(Scope.parse(scope))


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("model:dmeo", "no model of that name; there are: demo, large, small"),
        ("version:demo/7", "no version of that name; there are: demo/2026-10, large/7"),
        ("tier:x", "no tier of that name; there are: general, nothing, research"),
        ("key:x", "no key of that name; there are: app, lab, lost"),
        ("org:acme", "no org of that name; there are: ACME Ltd, Lab"),
        ("attribute:region=mars", "no attribute of that name; there are: region=eu, region=unknown, region=us"),
    ],
)
def test_what_there_is_not_is_an_error_that_names_what_there_is(scope: str, said: str) -> None:
    with pytest.raises(UnknownScopeError, match=said):
        SERVED.require(Scope.parse(scope))


def test_about_a_key_its_tier_owner_and_attributes_are_known() -> None:
    words = SERVED.about("demo", Scope.parse("key:app"))
    assert {"all", "level:2", "model:demo", "version:demo/2026-10", "tier:general", "org:ACME Ltd"} <= words
    assert {"key:app", "attribute:region=eu"} <= words
    assert SERVED.about("small", Scope.parse("operation:chat")) == {"all", "level:1", "model:small", "operation:chat"}
