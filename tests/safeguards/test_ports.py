"""What the ports hand over is frozen, and the guard's own parts fit them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from guard.classifiers.patterns import PatternClassifier, PatternRule
from safeguards.ports import Classifier, Hit, Session, Stop


def test_hits_and_stops_cannot_be_altered() -> None:
    with pytest.raises(FrozenInstanceError):
        Hit("r", "c", -1).rule = "x"  # type: ignore[misc]  # what the test is about
    with pytest.raises(FrozenInstanceError):
        Stop("o", "s", "r").order = "x"  # type: ignore[misc]  # what the test is about


def test_the_pattern_classifier_fits_the_port() -> None:
    classifier: Classifier = PatternClassifier("v", [PatternRule("r", "other", phrase="x")])
    session: Session = classifier.session()
    assert session.feed("ab", final=True) == 2
    assert classifier.judge(["x"]) == Hit("r", "other", -1)
