"""Every kind of event has its words, and they are the ones that the record has."""

from __future__ import annotations

from typing import get_args

from guard.incidents.events import Event
from guard.incidents.story import act, done, words
from tests.guard.incidents.stories import Story

TOLD = {
    "Opened": ("open", "opened", "demo: a way around"),
    "Triaged": ("triage", "triaged", "severity 2, commander ben, imminent risk no"),
    "Mitigated": ("mitigate", "fixed", "public: a rule"),
    "Reported": ("report", "reported", "day: letter 1"),
    "Stepped": ("step", "moved down", f"{'0' * 26}: late"),
    "Closed": ("close", "closed", "fixed"),
}


def test_every_event_is_told_by_its_act_and_its_words() -> None:
    story = Story()
    makers = (story.opened, story.triaged, story.mitigated, story.reported, story.stepped, story.closed)
    events = [make() for make in makers]
    assert {type(each).__name__: (act(each), done(each), words(each)) for each in events} == TOLD
    assert {each.__name__ for each in get_args(Event)} == set(TOLD)
