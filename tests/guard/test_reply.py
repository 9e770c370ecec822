"""A reply counts and states only what the server has taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from guard.reply import Reply, Unattached
from tests.guard.road import Line


def reply(line: Line) -> Reply:
    return Reply(line.send, line, "id1")


def test_a_whole_answer_has_its_length_and_identity() -> None:
    line = Line()
    one = reply(line)
    asyncio.run(one.whole(403, b"{}", (b"x-should-retry", b"false")))
    assert (line.status, line.body, line.ended) == (403, b"{}", True)
    assert line.headers == {
        b"content-type": b"application/json",
        b"content-length": b"2",
        b"cache-control": b"no-store",
        b"x-request-id": b"id1",
        b"x-should-retry": b"false",
    }
    assert (one.started, one.ended, one.status, one.sent) == (True, True, 403, 2)


def test_a_stream_sends_its_status_with_the_first_bytes_and_ends_once() -> None:
    line = Line()
    one = reply(line)

    async def main() -> None:
        assert (one.started, line.sent) == (False, [])
        await one.stream(b"a")
        await one.stream(b"bc")
        await one.end(b"d")

    asyncio.run(main())
    assert (line.status, line.body, line.ended, one.sent) == (200, b"abcd", True, 4)
    assert line.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert b"content-length" not in line.headers


def test_a_stream_of_one_piece_is_begun_by_its_end() -> None:
    line = Line()
    asyncio.run(reply(line).end(b"all"))
    assert (line.status, line.body, line.ended) == (200, b"all", True)


SENDS: dict[str, Callable[[Reply], Awaitable[None]]] = {
    "whole": lambda one: one.whole(200, b"words"),
    "stream": lambda one: one.stream(b"words"),
    "end": lambda one: one.end(b"words"),
}


@pytest.mark.parametrize("name", SENDS)
@pytest.mark.parametrize("taken", [0, 1])
def test_what_a_stuck_caller_did_not_take_is_not_counted(name: str, taken: int) -> None:
    line = Line(slow=False)
    one = reply(line)

    async def main() -> None:
        line.stuck = asyncio.Event()
        task = asyncio.ensure_future(SENDS[name](one))
        await asyncio.sleep(0)
        if taken:
            line.stuck.set()
            line.stuck = asyncio.Event()
            for _ in range(3):
                await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (one.started, one.ended, one.sent, line.body) == (bool(taken), False, 0, b"")


@pytest.mark.parametrize("problem", [TimeoutError(), OSError(), RuntimeError()])
def test_last_words_that_cannot_be_sent_cost_the_connection(problem: Exception) -> None:
    line = Line()

    async def fails() -> None:
        raise problem

    asyncio.run(reply(line).finish(fails()))
    assert line.aborted == 1


def test_last_words_that_are_not_taken_in_time_cost_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.reply.FINISH_SECONDS", 0.01)
    line = Line(stuck=None)

    async def main() -> None:
        line.stuck = asyncio.Event()
        one = reply(line)
        await one.finish(one.end(b"bye"))

    asyncio.run(main())
    assert (line.aborted, line.body) == (1, b"")


def test_a_server_without_a_handle_changes_nothing() -> None:
    connection = Unattached()
    connection.last()
    connection.abort()
    connection.when_gone(lambda: None)
