"""Events of incidents reach the record in their order, each once, and a log that fails is not asked at every look."""

from __future__ import annotations

import asyncio
from pathlib import Path

from guard.incidents.folder import IncidentFolder
from guard.serve.noting import RETRY_SECONDS, Noting
from guard.telemetry.logs import JsonLog
from tests.guard.incidents.stories import Story
from tests.safeguards.exchanges import StillClock


class Recorder:
    """A record that works or fails, or raises what nobody expected."""

    def __init__(self) -> None:
        """Begin with nothing, working."""
        self.asked: list[str] = []
        self.answer: bool | Exception = True

    async def __call__(self, who: str, what: str, subject: str, reason: str) -> bool:
        """Take an act, and answer as told."""
        self.asked.append(what)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_record_that_fails_is_tried_again_after_a_while_and_nothing_is_lost(tmp_path: Path) -> None:
    clock, record, story, folder = StillClock(), Recorder(), Story(), IncidentFolder(tmp_path)
    noting = Noting(folder, record, JsonLog(clock), clock)
    events = story.opened(), story.triaged()
    for event in events:
        folder.add(event)

    async def go_on() -> None:
        noting.go_on()
        await noting.settle()

    assert noting.new(events) == events
    for answer, problem in (
        (False, "the request log cannot be written"),
        (ValueError(), "the request log: ValueError"),
    ):
        record.answer, record.asked = answer, []
        clock.monotonic += RETRY_SECONDS
        for _ in range(3):
            asyncio.run(go_on())
        assert (record.asked, noting.problem) == (["incident open"], problem)
    record.answer, record.asked = True, []
    clock.monotonic += RETRY_SECONDS
    asyncio.run(go_on())
    assert (record.asked, noting.problem) == (["incident open", "incident triage"], "")
    assert folder.recorded() == {event.id for event in events}
    assert Noting(folder, record, JsonLog(clock), clock).new(events) == ()


def test_what_was_written_but_not_noted_is_not_written_twice(tmp_path: Path) -> None:
    clock, record, story, folder = StillClock(), Recorder(), Story(), IncidentFolder(tmp_path)
    noting = Noting(folder, record, JsonLog(clock), clock)
    folder.add(story.opened())
    noting.new(folder.read(story.id).events)
    (folder.path / ".recorded").mkdir()

    async def go_on() -> None:
        noting.go_on()
        await noting.settle()

    asyncio.run(go_on())
    assert noting.problem == "what is on record cannot be noted: Is a directory"
    (folder.path / ".recorded").rmdir()
    clock.monotonic += RETRY_SECONDS
    asyncio.run(go_on())
    assert (record.asked, len(folder.recorded())) == (["incident open"], 1)
