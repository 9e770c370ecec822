"""What is counted, logged and recorded of webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from guard.hooks.desk import Act, Result
from guard.hooks.drilled import drill_hooks
from guard.hooks.hook import Hook
from guard.serve.hooking import MAX_RECORDS, Hooking
from guard.telemetry.logs import Event, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Hooked, Origin
from tests.guard.hooks.deliveries import NOW, Orders, hook

ONE = hook("alertmanager")


class Noon:
    """A clock that stands until a test moves it."""

    moved = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return NOW

    def steady(self) -> float:
        """Monotonic seconds."""
        return self.moved


class Acts:
    """What is remembered."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.remembered: list[tuple[Any, ...]] = []

    def remember(self, *what: Any) -> None:
        """Keep it."""
        self.remembered.append(what)


class Log:
    """What is logged."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.lines: list[tuple[Any, ...]] = []

    def emit(self, level: Level, event: Event, **fields: Any) -> None:
        """Keep it."""
        self.lines.append((level, event, fields))


class Office:
    """A hooking and what stands around it."""

    def __init__(self) -> None:
        """Begin with one hook."""
        self.acts, self.log, self.meter = Acts(), Log(), Meter(Origin.SUPERVISOR)
        self.clock = Noon()
        own = drill_hooks(b"a" * 32, "host")
        self.hooking = Hooking({"test": ONE}, own, Orders(), self.acts, self.meter, self.log, self.clock)  # type: ignore[arg-type]  # what it uses of them

    def received(self, *acts: Act, one: Hook = ONE, proved: bool = True) -> None:
        """A message came."""
        self.hooking.received(one, acts, proved=proved)

    def counted(self, name: str = "test") -> dict[str, float]:
        """The counters of a hook that are not nought."""
        found = {key[2]: value for key, value in self.meter.state().counters.items() if key[1:2] == (name,)}
        return {result: value for result, value in found.items() if value}


@pytest.fixture
def office() -> Office:
    return Office()


def test_the_metric_knows_every_result_by_the_same_word() -> None:
    assert [each.value for each in Hooked] == [each.value for each in Result]


def test_every_hook_counts_from_nought_so_that_an_increase_can_be_seen(office: Office) -> None:
    def names() -> set[tuple[str, str]]:
        counters = office.meter.state().counters
        return {(key[1], key[2]) for key in counters if key[0] == "guard_hook_received_total"}

    assert names() == {("test", result) for result in Result}
    office.hooking.take({"later": ONE})
    assert ("later", "refused") in names()
    assert (office.hooking.receiver.find("later"), office.hooking.receiver.find("test")) == (ONE, None)


def test_a_stop_is_counted_and_left_to_its_order_to_be_recorded(office: Office) -> None:
    office.received(Act(Result.STOPPED, "all", "words", "order"))
    assert office.counted() == {"stopped": 1.0}
    assert office.acts.remembered == []
    assert office.meter.state().gauges["guard_hook_last_authentic_timestamp_seconds", "test"] == NOW


@pytest.mark.parametrize("result", [Result.REFUSED, Result.STALE, Result.MALFORMED])
def test_what_is_not_authentic_is_logged_and_not_put_on_record(result: Result, office: Office) -> None:
    office.received(Act(result, "", "no signature is by a secret of the hook"), proved=False)
    assert office.counted() == {result.value: 1.0}
    assert office.acts.remembered == []
    fields = {"who": "hook:test", "reason": "no signature is by a secret of the hook"}
    assert office.log.lines == [(Level.WARNING, Event.HOOK_REFUSED, fields)]
    assert office.meter.state().gauges["guard_hook_last_authentic_timestamp_seconds", "test"] == 0.0


def test_a_stop_that_is_only_a_file_is_recorded_because_the_file_does_not_say_who(office: Office) -> None:
    office.received(Act(Result.STOPPED, "all", "words", "file:STOP"))
    (found,) = office.acts.remembered
    assert found[1:5] == ("hook:test", "hook", "stopped all", "words")


def told(acts: Sequence[Act]) -> tuple[Any, ...]:
    office = Office()
    office.received(*acts)
    (found,) = office.acts.remembered
    return tuple(found)


def test_a_message_is_one_record_of_everything_but_its_stops() -> None:
    acts = [
        Act(Result.STOPPED, "all", "one", "order"),
        Act(Result.RESOLVED, "", "two"),
        Act(Result.REPEATED, "model:demo", "three"),
        Act(Result.REPEATED, "model:demo", "three"),
    ]
    assert told(acts) == (
        Event.HOOK_RECEIVED,
        "hook:test",
        "hook",
        "resolved, repeated model:demo, repeated model:demo",
        "two; three",
        Level.INFO,
    )


def test_a_drills_message_is_left_to_the_drill_and_one_that_is_turned_away_is_logged(office: Office) -> None:
    (own, *_) = drill_hooks(b"a" * 32, "host").values()
    office.received(Act(Result.STOPPED, "model:guard-selftest", "words", "order"), one=own)
    assert office.log.lines == []
    office.received(Act(Result.REFUSED, "", "no signature"), one=own, proved=False)
    fields = {"who": f"hook:{own.name}", "reason": "no signature"}
    assert office.log.lines == [(Level.WARNING, Event.HOOK_REFUSED, fields)]
    assert office.acts.remembered == []
    assert office.counted(own.name) == {}


@pytest.mark.parametrize("result", [Result.UNBOUND, Result.FAILED, Result.MALFORMED, Result.REFUSED])
def test_what_went_wrong_is_a_warning(result: Result) -> None:
    assert told([Act(Result.RESOLVED, "", ""), Act(result, "", "words")])[-1] is Level.WARNING


def test_a_hook_cannot_fill_the_record_and_what_comes_beyond_is_counted_and_logged(office: Office) -> None:
    for _ in range(MAX_RECORDS + 5):
        office.received(Act(Result.RESOLVED, "", "words"))
    assert len(office.acts.remembered) == MAX_RECORDS
    assert [line[:2] for line in office.log.lines] == [(Level.INFO, Event.HOOK_RECEIVED)] * 5
    assert office.counted() == {"resolved": MAX_RECORDS + 5.0}
    office.received(Act(Result.RESOLVED, "", "words"), one=hook("grafana", name="other"))
    assert len(office.acts.remembered) == MAX_RECORDS + 1
    office.clock.moved = 60.0
    office.received(Act(Result.RESOLVED, "", "words"))
    assert len(office.acts.remembered) == MAX_RECORDS + 2


def test_a_record_is_bounded_and_steers_no_terminal() -> None:
    wicked = "\x1b[2J\u202e\n" + "x" * 1000
    _, _, _, subject, reason, _ = told([Act(Result.RESOLVED, "", wicked)] * 5000)
    assert subject == ", ".join(["resolved"] * 10) + " and 4990 more"
    assert reason.isprintable()
    assert len(reason) <= 500
