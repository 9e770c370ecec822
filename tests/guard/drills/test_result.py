"""A result is written and read back whole; what is none is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.drills.result import MAX_BYTES, DrillError, Failure, Kind, Result, Times, decode, encode
from guard.telemetry.metric import Drill, DrillFailure

IDENTITY = "0" * 26
SECONDS = st.none() | st.floats(0, 1e6)


@settings(deadline=None)
@given(
    st.sampled_from(Kind),
    st.lists(st.builds(Times, st.text(max_size=9), SECONDS, SECONDS, SECONDS), max_size=4).map(tuple),
    st.none() | st.sampled_from(Failure),
    st.text(max_size=99),
    st.text(max_size=99),
)
def test_what_is_written_is_read_back(
    kind: Kind, workers: tuple[Times, ...], failure: Failure | None, why: str, skipped: str
) -> None:
    result = Result(IDENTITY, kind, "order", 1.5, "x", workers, "", failure, why, skipped)
    assert decode(encode(result)) == result
    assert result.succeeded is (failure is None and not skipped)


@settings(deadline=None)
@given(st.binary(max_size=99))
def test_any_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(raw)


@pytest.mark.parametrize(
    "change",
    [
        (b'"version":1', b'"version":2'),
        (b'"at":1.5', b'"at":-1.5'),
        (IDENTITY.encode(), b"../../etc"),
        (b"{", b'{"a":1,'),
    ],
)
def test_what_this_guard_does_not_write_is_refused(change: tuple[bytes, bytes]) -> None:
    raw = encode(Result(IDENTITY, Kind.STOP, "order", 1.5, "x"))
    with pytest.raises(ValueError, match=r"."):
        decode(raw.replace(*change, 1))
    with pytest.raises(ValueError, match=r"."):
        decode(raw + b" " * MAX_BYTES)


def test_it_is_said_in_a_line_by_the_slowest_worker() -> None:
    times = (Times("0", 0.010, 0.02, 0.03), Times("1", 0.024, 0.02, 0.03))
    done = Result(IDENTITY, Kind.STOP, "order", 1.0, "x", times)
    assert done.words() == "2 workers cut within 24 ms, refused, and resumed"
    failed = Result(IDENTITY, Kind.STOP, "order", 1.0, "x", failure=Failure.NOT_CUT, why="worker 1")
    assert failed.words() == "FAILED, not_cut: worker 1"
    served = Result(IDENTITY, Kind.STOP, "disruptive:order", 1.0, "x", why="model demo stopped", disrupted="demo")
    assert served.words() == "model demo stopped"
    assert Result(IDENTITY, Kind.STOP, "order", 1.0, "x", skipped="all is stopped").words() == "skipped: all is stopped"


def test_the_words_of_a_failure_are_bounded_and_printable() -> None:
    failed = DrillError(Failure.INTERNAL, "a\x1b\n" + "b" * 999)
    assert failed.why == "a??" + "b" * 497


def test_the_metrics_know_every_kind_and_every_failure() -> None:
    assert [each.value for each in Drill] == [each.value for each in Kind]
    assert [each.value for each in DrillFailure] == [each.value for each in Failure]
