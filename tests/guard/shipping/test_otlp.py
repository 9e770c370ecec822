"""A collector is told of every request once it is signed, at least once, and of nothing that stands for a text."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from guard.audit.frames import encode
from guard.audit.read import Entry, iter_records
from guard.audit.records import Kind, Outcome
from guard.audit.segments import first_of, listing, name
from guard.shipping import otlp
from guard.shipping.cursor import Cursor
from guard.shipping.heads import read_heads
from guard.shipping.otlp import LogSink
from guard.shipping.store import StoreError
from guard.telemetry.tracing import trace_id
from tests.guard.audit.fakes import KEEP, exchange, outcome, quiet_ledger
from tests.guard.audit.sealed_log import Guard, write
from tests.guard.shipping.collector import Collector, attributes, collector
from tests.guard.shipping.fakes import key


def sink(guard: Guard, url: str, authorization: str | None = None, answer_seconds: float = 10.0) -> LogSink:
    """As a process begins, from what is on the disk."""
    return LogSink(
        key(guard), url, Cursor(guard.state, "otlp"), authorization=authorization, answer_seconds=answer_seconds
    )


def tell(guard: Guard, to: Collector) -> tuple[str, ...]:
    return sink(guard, to.url).round(guard.audit, read_heads(guard.audit).sizes)


def test_intents_and_outcomes_are_told_once_they_are_signed_and_once_only(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    with collector() as there:
        write(guard.audit, "worker-0", 0, 2)
        guard.ring()
        assert tell(guard, there) == ()
        assert there.bodies == []
        guard.seal()
        assert tell(guard, there) == ()
        expected = ["intent worker-0-0", "outcome worker-0-0", "intent worker-0-1", "outcome worker-0-1"]
        assert there.names() == expected
        assert tell(guard, there) == ()
        write(guard.audit, "worker-0", 2, 1)
        guard.seal()
        assert tell(guard, there) == ()
        assert there.names() == [*expected, "intent worker-0-2", "outcome worker-0-2"]
        first = there.records()[0]
        assert attributes(first)["log"] == f"{key(guard).name}/worker-0"
        assert first.trace_id.hex() == trace_id("worker-0-0")
        assert first.time_unix_nano == 1_700_000_000_000_000_000
        assert [each.severity_text for each in there.records()[:2]] == ["INFO", "WARN"]


def test_what_a_record_says_is_there_but_for_what_stands_for_texts(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    ledger = quiet_ledger(guard.audit)
    asked = exchange("r1", text="FORBIDDEN-MARKER")
    ledger.intent(asked, durable=False, keep=KEEP)
    ledger.outcome(asked, outcome("FORBIDDEN-MARKER"), durable=False)
    ledger.close()
    guard.seal()
    (ended,) = [
        one.record for one in iter_records(guard.audit) if isinstance(one, Entry) and isinstance(one.record, Outcome)
    ]
    with collector() as there:
        tell(guard, there)
        said = b"".join(there.bodies)
        _, told = there.records()
    assert ended.body
    assert ended.flagged
    for withheld in ("FORBIDDEN-MARKER", ended.body, ended.flagged, ended.released[0].match, "commitment", '"match"'):
        assert withheld.encode() not in said
    fields = {each.key: each.value for each in told.body.kvlist_value.values}
    assert fields["ending"].string_value == "blocked_output"
    assert fields["status"].int_value == 200
    assert fields["seconds"].double_value == 1.5
    denied = {each.key: each.value for each in fields["decisions"].array_value.values[1].kvlist_value.values}
    assert (denied["rule"].string_value, denied["denied"].bool_value) == ("r7", True)


def test_a_batch_that_was_not_taken_is_sent_again_and_none_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "BATCH", 4)
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 6)
    guard.seal()
    with collector() as there:
        for status in (503, 400, 302):
            there.status = status
            with pytest.raises(StoreError, match=f"otlp_logs: the collector answered {status}"):
                tell(guard, there)
        assert there.names() == []
        there.status = 200
        assert tell(guard, there) == ()
        assert there.names() == [f"{kind} worker-0-{number}" for number in range(6) for kind in ("intent", "outcome")]
        assert max(len(request.resource_logs[0].scope_logs[0].log_records) for request in there.sent) <= 4


@pytest.mark.parametrize("answer", [b"", b"{}", b"not json", b"[]", b'{"partialSuccess":{"rejectedLogRecords":"x"}}'])
def test_an_answer_that_rejects_nothing_is_taken(tmp_path: Path, answer: bytes) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 1)
    guard.seal()
    with collector() as there:
        there.said = answer
        assert tell(guard, there) == ()


def test_what_a_collector_rejects_is_told_and_not_repeated(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 1)
    guard.seal()
    with collector() as there:
        there.said = b'{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}'
        assert tell(guard, there) == ("otlp_logs: the collector rejected 2 of 2 records",)
        assert tell(guard, there) == ()
        there.said = b" " * (otlp.MAX_ANSWER + 1)
        write(guard.audit, "worker-0", 1, 1)
        guard.seal()
        with pytest.raises(StoreError, match="answer is too long"):
            tell(guard, there)


def test_records_that_are_gone_before_they_were_told_are_named(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 4)
    guard.seal()
    with collector() as there:
        tell(guard, there)
        for number in range(1, 4):
            write(guard.audit, "worker-0", number * 40, 40)
        guard.seal()
        listing(guard.audit / "worker-0")[3].unlink()
        (missing,) = tell(guard, there)
        assert "are gone and were never shipped" in missing
        assert tell(guard, there) == ()


def test_the_header_is_sent_and_no_error_tells_it(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 1)
    guard.seal()
    sizes = read_heads(guard.audit).sizes
    with collector() as there:
        sink(guard, there.url, "Bearer a-secret").round(guard.audit, sizes)
        assert there.headers[0]["authorization"] == "Bearer a-secret"
        assert there.headers[0]["content-type"] == "application/json"
    write(guard.audit, "worker-0", 1, 1)
    guard.seal()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = "http://{}:{}/".format(*silent.getsockname())
        with pytest.raises(StoreError) as told:
            sink(guard, url, "Bearer a-secret", 0.2).round(guard.audit, read_heads(guard.audit).sizes)
    assert str(told.value) == "otlp_logs: ReadTimeout"
    with pytest.raises(StoreError, match="must be ASCII"):
        sink(guard, url, "Bearer schlüssel")


def test_a_round_ends_after_the_batch_that_is_sent_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "BATCH", 4)
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 6)
    guard.seal()
    with collector() as there:
        told = sink(guard, there.url)
        told.close()
        assert told.round(guard.audit, read_heads(guard.audit).sizes) == ()
        assert there.bodies == []
        tell(guard, there)
        assert len(there.names()) == 12


def test_what_is_wrong_with_one_log_holds_up_no_other(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    write(guard.audit, "worker-0", 0, 1)
    write(guard.audit, "worker-1", 0, 1)
    guard.seal()
    with collector() as there:
        tell(guard, there)
        write(guard.audit, "worker-0", 1, 1)
        write(guard.audit, "worker-1", 1, 1)
        guard.seal()
        newest = listing(guard.audit / "worker-0")[-1]
        newest.with_name(name(1)).unlink()
        newest.rename(newest.with_name(name(first_of(newest) - 1)))
        (problem,) = tell(guard, there)
        assert "worker-0" in problem
        assert "again" in problem
        assert there.names()[-2:] == ["intent worker-1-1", "outcome worker-1-1"]


@pytest.mark.parametrize("payload", [b"no record", b'{"a":' * 600 + b"1" + b"}" * 600])
def test_what_cannot_be_read_is_told_as_that(tmp_path: Path, payload: bytes) -> None:
    directory = tmp_path / "audit" / "worker-0"
    directory.mkdir(parents=True)
    (directory / name(1)).write_bytes(encode(Kind.OUTCOME, 1, payload))
    guard = Guard(tmp_path)
    guard.ring()
    with collector() as there:
        assert sink(guard, there.url).round(guard.audit, {"worker-0": 1}) == ()
        assert there.names() == ["unreadable"]
