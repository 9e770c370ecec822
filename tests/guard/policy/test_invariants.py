"""Every invariant says what it holds."""

from __future__ import annotations

from guard.policy.invariants import HOLDS, Invariant


def test_every_invariant_says_in_words_what_it_holds() -> None:
    assert set(HOLDS) == set(Invariant)
    assert len(set(HOLDS.values())) == len(HOLDS)
