"""The records of a decision are frozen, and a failure that is raised carries its kind."""

from __future__ import annotations

import pytest

from safeguards.decision import Decision, Failure, Target, Unavailable


def test_what_cannot_judge_says_how_it_failed() -> None:
    problem = Unavailable(Failure.OVERLOAD, "the queue is full")
    assert (problem.failure, problem.reason, str(problem)) == (
        Failure.OVERLOAD,
        "the queue is full",
        "the queue is full",
    )


def test_a_decision_cannot_be_altered() -> None:
    decision = Decision("words", Target.INPUT, enforced=True, denied=False, blocked=False, seconds=0.0)
    with pytest.raises(AttributeError):
        decision.denied = True  # type: ignore[misc]  # what the test is about
