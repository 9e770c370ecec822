"""Only what a grant names passes."""

from __future__ import annotations

import pytest

from safeguards.access import Access
from safeguards.verdict import PASS, Block, Code
from tests.safeguards.exchanges import exchange

ACCESS = Access({"gold": frozenset({"chat", "embeddings"}), "empty": frozenset()})


@pytest.mark.parametrize("operation", ["chat", "embeddings"])
def test_a_granted_operation_passes(operation: str) -> None:
    assert ACCESS.admit(exchange(operation=operation)) is PASS


@pytest.mark.parametrize(
    ("tier", "operation", "rule"),
    [
        ("gold", "completions", "operation"),
        ("gold", "", "operation"),
        ("empty", "chat", "operation"),
        ("silver", "chat", "tier"),
        ("Gold", "chat", "tier"),
        ("", "chat", "tier"),
    ],
)
def test_what_no_grant_names_is_denied(tier: str, operation: str, rule: str) -> None:
    block = ACCESS.admit(exchange(tier=tier, operation=operation))
    assert isinstance(block, Block)
    assert (block.code, block.rule) == (Code.ACCESS_DENIED, rule)


def test_without_grants_nobody_passes() -> None:
    assert isinstance(Access({}).admit(exchange()), Block)


def test_grants_are_taken_when_it_is_made() -> None:
    grants = {"gold": frozenset({"chat"})}
    access = Access(grants)
    grants.clear()
    assert access.admit(exchange()) is PASS
