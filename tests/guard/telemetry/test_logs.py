"""Log lines are whole, ASCII, parseable, bounded, and carry no text of any exchange."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.telemetry.logs import LINE_BYTES, Event, JsonLog, Level, rfc3339
from safeguards.decision import Ending
from safeguards.verdict import Code
from tests.guard.telemetry.records import ALLOWED, COMPLETION, EXCHANGE, OUTCOME, PROMPT, FixedClock


class Pipe:
    """A pipe whose reader is this test."""

    def __init__(self) -> None:
        """Open it."""
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    def lines(self) -> list[dict[str, Any]]:
        """All lines written since the last call."""
        try:
            read = os.read(self.read_end, 1 << 20)
        except BlockingIOError:
            return []
        assert read.endswith(b"\n")
        assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in read)
        return [json.loads(line, parse_constant=refuse) for line in read.splitlines()]


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.write_end)
    os.close(pipe.read_end)


def test_an_event_is_one_line_with_its_time_level_and_fields(pipe: Pipe) -> None:
    JsonLog(FixedClock(), pipe.write_end).emit(Level.WARNING, Event.WORKER_DEAF, worker=3, seconds=5.5, why=None)
    (line,) = pipe.lines()
    assert list(line)[:3] == ["time", "level", "event"]
    assert line == {
        "time": "2027-01-15T08:00:00.500Z",
        "level": "warning",
        "event": "worker_deaf",
        "worker": 3,
        "seconds": 5.5,
        "why": None,
    }


def test_less_than_the_configured_level_is_not_written(pipe: Pipe) -> None:
    log = JsonLog(FixedClock(), pipe.write_end, Level.WARNING)
    log.emit(Level.INFO, Event.STARTED)
    log.exchange(EXCHANGE, OUTCOME)
    log.emit(Level.ERROR, Event.LOG_FAILED)
    log.exchange(EXCHANGE, replace(OUTCOME, ending=Ending.STOPPED))
    assert [line["level"] for line in pipe.lines()] == ["error", "warning"]
    assert log.dropped == 0


def test_the_line_of_an_exchange_names_the_peer_where_a_certificate_was_shown(pipe: Pipe) -> None:
    log = JsonLog(FixedClock(), pipe.write_end)
    for peer in ("", "spiffe://example/chat", "\ud800"):
        log.exchange(replace(EXCHANGE, caller=replace(EXCHANGE.caller, peer=peer)), OUTCOME)
    log.exchange(replace(EXCHANGE, model="a\ud800b"), OUTCOME)
    assert [line.get("peer") for line in pipe.lines()] == [None, "spiffe://example/chat", "\\ud800", None]


def test_the_line_of_an_exchange_says_who_what_and_how_it_ended(pipe: Pipe) -> None:
    blocked = ALLOWED._replace(denied=True, blocked=True, rule="rule-7")
    outcome = replace(
        OUTCOME, ending=Ending.BLOCKED_OUTPUT, code=Code.CONTENT_BLOCKED, decisions=(ALLOWED, blocked), reason="secret"
    )
    JsonLog(FixedClock(), pipe.write_end).exchange(EXCHANGE, outcome)
    assert pipe.lines() == [
        {
            "time": "2027-01-15T08:00:01.750Z",
            "level": "warning",
            "event": "exchange",
            "id": "01hzexchange",
            "model": "demo",
            "tier": "general",
            "key": "key-1",
            "surface": "public",
            "operation": "chat",
            "streamed": True,
            "ending": "blocked_output",
            "code": "content_blocked",
            "safeguard": "patterns",
            "rule": "rule-7",
            "status": 200,
            "seconds": 1.5,
            "characters_in": len(PROMPT),
            "characters_out": 14,
            "prompt_tokens": 5,
            "completion_tokens": 9,
        }
    ]


@pytest.mark.parametrize("ending", Ending)
def test_no_exchange_brings_any_of_its_text_into_the_log(pipe: Pipe, ending: Ending) -> None:
    log = JsonLog(FixedClock(), pipe.write_end)
    log.exchange(EXCHANGE, replace(OUTCOME, ending=ending, reason=COMPLETION))
    text = json.dumps(pipe.lines())
    assert ending.value in text
    assert "PLANTED" not in text


def test_an_error_is_written_without_its_text(pipe: Pipe) -> None:
    try:
        int("PLANTED")
    except ValueError as error:
        JsonLog(FixedClock(), pipe.write_end).failure(Event.INTERNAL_ERROR, error, where="proxy")
    (line,) = pipe.lines()
    assert line["error"] == ["ValueError"]
    assert line["where"] == "proxy"
    assert line["frames"][0].startswith("telemetry/test_logs.py:")
    assert "PLANTED" not in json.dumps(line)


def test_fields_cannot_pretend_to_be_another_event(pipe: Pipe) -> None:
    JsonLog(FixedClock(), pipe.write_end).emit(Level.INFO, Event.STARTED, time="never", extra="x")
    assert pipe.lines()[0]["time"].startswith("2027")


def test_what_json_readers_disagree_about_is_made_plain(pipe: Pipe) -> None:
    log = JsonLog(FixedClock(), pipe.write_end)
    log.emit(
        Level.INFO,
        Event.STARTED,
        half="a\ud800b",
        huge=10**40,
        small=-(10**40),
        none=nan,
        some=["\udfff", "é"],
        yes=True,
    )
    line = pipe.lines()[0]
    assert line["half"] == "a\\ud800b"
    assert (line["huge"], line["small"], line["none"]) == (2**63 - 1, -(2**63), None)
    assert line["some"] == ["\\udfff", "é"]
    assert line["yes"] is True
    log.exchange(replace(EXCHANGE, model="a\ud800b"), replace(OUTCOME, prompt_tokens=10**40))
    assert pipe.lines()[0]["prompt_tokens"] == 2**63 - 1


@given(st.text(max_size=80), st.one_of(st.floats(), st.integers(), st.none(), st.booleans()))
def test_any_field_makes_exactly_one_ascii_line(text: str, value: float | None) -> None:
    pipe = Pipe()
    try:
        JsonLog(FixedClock(), pipe.write_end).emit(Level.INFO, Event.STARTED, text=text, value=value)
        (line,) = pipe.lines()
    finally:
        os.close(pipe.write_end)
        os.close(pipe.read_end)
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert line["text"] == text


def test_a_long_field_is_cut_and_a_line_that_is_still_too_long_says_only_that(pipe: Pipe) -> None:
    log = JsonLog(FixedClock(), pipe.write_end)
    log.emit(Level.INFO, Event.STARTED, text="x" * 10_000)
    assert pipe.lines()[0]["text"] == "x" * 512
    log.emit(Level.INFO, Event.STARTED, a="\u20ac" * 512, b="\u20ac" * 512)
    assert pipe.lines()[0] == {
        "time": "2027-01-15T08:00:00.500Z",
        "level": "info",
        "event": "started",
        "cut": pytest.approx(6 * 1024, abs=200),
    }


def test_a_full_pipe_costs_lines_and_never_time_and_no_half_line_is_written(pipe: Pipe) -> None:
    log = JsonLog(FixedClock(), pipe.write_end)
    assert os.get_blocking(pipe.write_end)
    for _ in range(1_000):
        log.emit(Level.INFO, Event.STARTED, text="x" * 500)
    assert log.dropped > 0
    whole = pipe.lines()
    assert len(whole) + log.dropped == 1_000
    log.emit(Level.INFO, Event.ENDED)
    assert pipe.lines()[0]["event"] == "ended"


@pytest.mark.parametrize("what", ["reader_left", "closed", "full_disk"])
def test_a_descriptor_that_fails_is_counted_and_ends_nothing(what: str) -> None:
    read_end, write_end = os.pipe()
    if what == "full_disk":
        os.dup2(os.open("/dev/full", os.O_WRONLY), write_end)
    log = JsonLog(FixedClock(), write_end)
    os.close(read_end)
    if what == "closed":
        os.close(write_end)
    log.emit(Level.INFO, Event.STARTED)
    log.exchange(EXCHANGE, OUTCOME)
    assert log.dropped == 2
    if what != "closed":
        os.close(write_end)


def test_a_file_takes_every_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    log = JsonLog(FixedClock(), fd)
    for _ in range(500):
        log.exchange(EXCHANGE, OUTCOME)
    os.close(fd)
    lines = path.read_bytes().splitlines()
    assert len(lines) == 500
    assert max(map(len, lines)) < LINE_BYTES
    assert log.dropped == 0


def test_a_time_no_calendar_has_is_unknown_and_not_an_error() -> None:
    assert rfc3339(0.0) == "1970-01-01T00:00:00.000Z"
    assert {rfc3339(seconds) for seconds in (nan, float("inf"), 1e30, -1e30)} == {"unknown"}


def test_lines_of_one_turn_of_the_loop_are_written_together_in_order_and_never_beyond_a_pipe_s_bound(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = os.write

    def noted(fd: int, data: bytes) -> int:
        if fd == pipe.write_end:
            sizes.append(len(data))
        return write(fd, data)

    monkeypatch.setattr("os.write", noted)
    log = JsonLog(FixedClock(), pipe.write_end)

    async def turn() -> None:
        for number in range(30):
            log.exchange(replace(EXCHANGE, id=f"id{number}"), OUTCOME)
        assert sizes == []
        await asyncio.sleep(0)
        log.exchange(replace(EXCHANGE, id="id30"), OUTCOME)
        await asyncio.sleep(0)

    asyncio.run(turn())
    assert [line["id"] for line in pipe.lines()] == [f"id{number}" for number in range(31)]
    assert max(sizes) <= LINE_BYTES
    assert len(sizes) < 15


def test_lines_of_one_turn_that_find_a_full_pipe_are_all_counted_as_dropped(pipe: Pipe) -> None:
    os.set_blocking(pipe.write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe.write_end, b"x" * 4096)
    log = JsonLog(FixedClock(), pipe.write_end)

    async def turn() -> None:
        for _ in range(5):
            log.exchange(EXCHANGE, OUTCOME)

    asyncio.run(turn())
    assert log.dropped == 5
