"""What the witness is told becomes numbers and lines, and none of it holds a text."""

from __future__ import annotations

import asyncio
import json
import os

from guard.arrival import Arrival
from guard.audit.ledger import Stats
from guard.refusal import Refused
from guard.telemetry.logs import JsonLog
from guard.telemetry.meter import Meter
from guard.telemetry.metric import AuthFailure, Origin
from guard.witness import Witness
from safeguards.verdict import Code
from tests.guard.road import Line, Road


class Bench:
    """A witness whose lines go into a pipe."""

    def __init__(self, road: Road) -> None:
        """Watch this road beside its own notes."""
        self.meter = Meter(Origin.WORKER)
        self._read, self._write = os.pipe()
        self.witness = Witness(self.meter, JsonLog(road.clock, fd=self._write), None)

    def lines(self) -> list[dict[str, object]]:
        """Everything that was written."""
        os.close(self._write)
        with os.fdopen(self._read) as reader:
            return [json.loads(line) for line in reader]

    def count(self, name: str, *labels: str) -> float:
        """The sum of a counter's or gauge's series with these labels, or how often a histogram was observed."""
        state = self.meter.state()
        plain = {**state.counters, **state.gauges}
        found = sum(value for key, value in plain.items() if key[0] == name and set(labels) <= set(key[1:]))
        cells = [cell for key, cell in state.histograms.items() if key[0] == name and set(labels) <= set(key[1:])]
        return found + sum(sum(cell[1:]) for cell in cells)


def arrival(road: Road) -> Arrival:
    asyncio.run(road.travel(Line()))
    return road.notes.began_with[0]


def test_an_exchange_is_counted_once_and_leaves_one_line() -> None:
    road = Road()
    one = arrival(road)
    bench = Bench(road)
    bench.witness.began(one)
    assert bench.count("guard_requests_in_flight", "demo") == 1
    bench.witness.took(one, 0.001, 0.002)
    bench.witness.ended(one, road.notes.outcomes[0])
    assert bench.count("guard_requests_in_flight", "demo") == 0
    assert bench.count("guard_requests_total", "demo", "served") == 1
    for phase in ("request", "first_byte", "total"):
        assert bench.count("guard_overhead_seconds", "demo", phase) == 1
    (line,) = bench.lines()
    assert (line["event"], line["id"], line["ending"]) == ("exchange", "id0", "served")
    assert "one two" not in json.dumps(line)


def test_times_that_never_came_are_not_counted() -> None:
    road = Road()
    bench = Bench(road)
    bench.witness.took(arrival(road), None, None)
    assert bench.count("guard_overhead_seconds") == 0
    assert bench.lines() == []


def test_every_code_of_a_refusal_is_counted_and_every_reason_of_a_bad_credential() -> None:
    bench = Bench(Road())
    for code in Code:
        reasons = [each.value for each in AuthFailure] if code in {Code.UNAUTHENTICATED, Code.KEY_EXPIRED} else ["why"]
        for reason in reasons:
            bench.witness.refused(Refused(code, "messages: words of a caller", model="demo", reason=reason), "id1")
            assert bench.count("guard_refusals_total", code.value) >= 1
    assert bench.count("guard_auth_failures_total") == 2 * len(AuthFailure)
    assert "words of a caller" not in json.dumps(bench.lines())


def test_the_logs_figures_are_taken_over_as_differences() -> None:
    bench = Bench(Road())

    def stats(durable: int, failed: int) -> Stats:
        return Stats(durable, 0, failed, 5.0, 0.0, 2, "s", 1, 1, (0.001, 0.002))

    bench.witness.audited(stats(3, 0))
    bench.witness.audited(stats(5, 1))
    assert bench.count("guard_audit_records_total", "durable") == 5
    assert bench.count("guard_audit_records_total", "failed") == 1
    assert bench.count("guard_audit_append_seconds") == 4
    assert bench.count("guard_audit_backlog_records") == 2
    bench.lines()
