"""A safeguard that says nothing has nothing against it."""

from __future__ import annotations

from typing import Any

from safeguards.base import Safeguard
from safeguards.verdict import PASS, Cleared
from tests.safeguards.exchanges import content, exchange


class Silent(Safeguard):
    """Overrides nothing."""

    kind = "silent"


def test_the_defaults_pass_and_clear_all() -> None:
    outcome: Any = None
    assert Silent().admit(exchange()) is PASS
    assert Silent().watch(exchange(), content("abc")) == Cleared(3)
    assert Silent().close(exchange(), outcome) is None


def test_a_safeguard_watches_only_if_it_says_so() -> None:
    assert not Silent.watches
