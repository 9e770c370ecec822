"""The words by which a stop can name an exchange."""

from __future__ import annotations

from dataclasses import replace

from safeguards.exchange import Caller
from safeguards.scope import Capability, ScopeKind, word
from tests.safeguards.exchanges import exchange


def test_an_exchange_answers_to_every_kind_of_scope() -> None:
    caller = Caller("key-1", "ACME Ltd", "gold", attributes=("region=eu", "vendor=acme"))
    made = replace(exchange(), caller=caller, release="2026-10", capabilities=(Capability.TOOLS, Capability.STREAMING))
    assert made.scopes == {
        "all",
        "level:1",
        "level:2",
        "level:3",
        "model:demo",
        "version:demo/2026-10",
        "tier:gold",
        "key:key-1",
        "org:ACME Ltd",
        "operation:chat",
        "capability:tools",
        "capability:streaming",
        "attribute:region=eu",
        "attribute:vendor=acme",
    }
    assert {each.partition(":")[0] for each in made.scopes} == {kind.value for kind in ScopeKind}


def test_what_is_not_said_is_not_answered_to() -> None:
    assert not any(each.startswith(("version:", "capability:", "attribute:")) for each in exchange().scopes)


def test_a_level_that_no_standard_has_answers_to_the_highest_that_can_be_named() -> None:
    assert {each for each in replace(exchange(), asl=99).scopes if each.startswith("level:")} == {
        f"level:{level}" for level in range(1, 10)
    }


def test_a_word_is_the_kind_and_the_subject() -> None:
    assert word(ScopeKind.ALL, "") == "all"
    assert word(ScopeKind.ORGANISATION, "ACME Ltd") == "org:ACME Ltd"
