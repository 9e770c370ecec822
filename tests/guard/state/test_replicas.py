"""What replicas say of an order, and when it may be called obeyed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.state.acknowledgements import Acknowledgements, process_started
from guard.state.engine import MAX_REPORT_BYTES, Heard
from guard.state.replicas import SILENT_SECONDS, Applied, Replica, Report, Spread, compose, encode, read, spread


def said(name: str, *applied: Applied, workers: int = 2, ago: float = 0.1) -> Replica:
    return Replica(name, ago, Report(1, 1, workers, applied))


OBEYED = Applied("order", 2, (), 5)


def test_an_order_is_obeyed_when_every_worker_of_every_replica_applies_it() -> None:
    assert spread("order", [said("a", OBEYED), said("b", OBEYED)]) == Spread(2, 2, 4, 4, 10, ())


@pytest.mark.parametrize(
    ("replica", "named"),
    [
        (said("b"), "b (has not seen it)"),
        (said("b", Applied("another", 2, (), 0)), "b (has not seen it)"),
        (said("b", Applied("order", 1, ("1",), 0)), "b (worker 1)"),
        (said("b", Applied("order", 0, (), 0), workers=0), "b (worker none)"),
        (said("b", OBEYED, ago=SILENT_SECONDS + 1), "b (not heard for 6 s)"),
        (Replica("b", 0.1, None), "b (another version)"),
    ],
)
def test_whoever_has_not_obeyed_for_sure_is_named(replica: Replica, named: str) -> None:
    found = spread("order", [said("a", OBEYED), replica])
    assert (found.replicas, found.replicas_of, found.missing) == (1, 2, (named,))


def test_nobody_is_not_everybody() -> None:
    assert spread("order", []) == Spread(0, 0, 0, 0, 0, ())


def test_what_workers_acknowledged_is_what_is_said(tmp_path: Path) -> None:
    pid = os.getpid()
    own = Acknowledgements(tmp_path, "0", pid=pid, started=process_started(pid) or 0)
    own.record({"order": 3}, 1.0)
    report = compose(tmp_path, ["0", "1"], ["order", "later"], position=9, lapsed=(4, 3), trouble="x" * 500)
    assert report.applied == (Applied("order", 1, ("1",), 3), Applied("later", 0, ("0", "1"), 0))
    assert (report.position, report.workers, report.lapsed, len(report.trouble)) == (9, 2, (3, 4), 200)
    (found,) = read([Heard("a", 0.5, encode(report))])
    assert found.report == report


def test_a_report_always_fits() -> None:
    long = tuple(Applied(f"{n:026d}", 1, tuple(f"{m:064d}" for m in range(20)), 1) for n in range(200))
    raw = encode(Report(1, 1, 2, long))
    assert len(raw) <= MAX_REPORT_BYTES
    (found,) = read([Heard("a", 0.0, raw)])
    assert found.report is not None
    assert found.report.applied[-1] == long[-1]


@given(st.binary(max_size=200) | st.sampled_from([b"{}", b'{"version":2,"position":0,"workers":0,"applied":[]}']))
def test_any_other_words_are_no_report(raw: bytes) -> None:
    (found,) = read([Heard("a", 0.0, raw)])
    assert found.report is None
