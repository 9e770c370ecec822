"""Records: what goes in comes out."""

from __future__ import annotations

import pytest

from guard.audit import leaves, records
from guard.audit.records import Kind
from tests.guard.audit.fakes import exchange, outcome


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        (Kind.OPENED, records.Opened(1.0, 2.0, "w1", 12, "", ("a", "b"))),
        (Kind.CONTROL, records.Control(1.0, 2.0, "ann", "stop", "model:demo", "drill")),
        (Kind.RECOVERED, records.Recovered(1.0, 2.0, "torn_tail", "seg", "torn", set_aside=4, offset=9, file="f")),
    ],
)
def test_the_other_records_come_back_as_they_were(kind: Kind, record: records.Record) -> None:
    assert records.decode(kind, records.encode(record)) == record


def test_a_lone_surrogate_in_a_field_is_written_as_a_replacement() -> None:
    written = records.Control(1.0, 2.0, "ann", "stop", "\ud800", "drill")
    read = records.decode(Kind.CONTROL, records.encode(written))
    assert isinstance(read, records.Control)
    assert read.subject == "\ufffd" * 3


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b'{"record":"part"}', b'{"record":"intent"}', b"\xff{"])
def test_a_payload_of_another_shape_is_an_error_that_does_not_quote_it(payload: bytes) -> None:
    with pytest.raises(records.RecordError, match=r"^not a record of kind intent$"):
        records.decode(Kind.INTENT, payload)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(records.RecordError, match="unknown record kind 99"):
        records.decode(99, b"{}")


def test_a_code_that_this_version_does_not_know_can_still_be_read() -> None:
    payload = records.encode(leaves.outcome(exchange(), outcome(), 0.0, 0.0))
    read = records.decode(Kind.OUTCOME, payload.replace(b'"blocked_output"', b'"of_next_year"'))
    assert isinstance(read, records.Outcome)
    assert read.ending == "of_next_year"
