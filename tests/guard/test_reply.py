"""A reply counts and states only what the server has taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from guard.reply import Head, Reply, Unattached
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
        assert not one.flowing
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


class Wire:
    """A server's shorter way; ``stuck`` takes nothing."""

    def __init__(self) -> None:
        """Nothing taken."""
        self.taken: list[tuple[Head | None, bytes, bool, bool]] = []
        self.stuck = False

    async def answer(self, head: Head | None, data: bytes, *, chunked: bool, ends: bool) -> None:
        """As `Wire.answer`."""
        if self.stuck:
            await asyncio.Event().wait()
        self.taken.append((head, data, chunked, ends))

    @property
    def flowing(self) -> bool:
        """As `Wire.flowing`."""
        return bool(self.taken) and not self.stuck

    def piece(self, data: bytes) -> None:
        """As `Wire.piece`."""
        self.taken.append((None, data, True, False))


def test_by_the_wire_each_piece_is_one_call_and_the_first_has_the_head() -> None:
    line, wire = Line(), Wire()

    async def main() -> None:
        whole = Reply(line.send, line, "id1", wire)
        await whole.whole(503, b"{}", (b"retry-after", b"1"))
        assert (whole.started, whole.ended, whole.status, whole.sent) == (True, True, 503, 2)
        streamed = Reply(line.send, line, "id2", wire)
        await streamed.stream(b"a")
        assert (streamed.started, streamed.ended, streamed.status) == (True, False, 200)
        assert streamed.flowing
        streamed.flow(b"bc")
        await streamed.end(b"d")
        assert (streamed.ended, streamed.sent) == (True, 4)

    asyncio.run(main())
    (first, _, *framing), *pieces = wire.taken
    assert first is not None
    assert first[0] == 503
    assert dict(first[1])[b"retry-after"] == b"1"
    assert framing == [False, True]
    assert [piece[1:] for piece in pieces] == [(b"a", True, False), (b"bc", True, False), (b"d", True, True)]
    assert [piece[0] is None for piece in pieces] == [False, True, True]
    assert line.sent == []


@pytest.mark.parametrize("name", SENDS)
def test_what_a_stuck_wire_did_not_take_is_not_counted(name: str) -> None:
    line, wire = Line(), Wire()
    wire.stuck = True
    one = Reply(line.send, line, "id1", wire)

    async def main() -> None:
        task = asyncio.ensure_future(SENDS[name](one))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (one.started, one.ended, one.sent, one.status) == (False, False, 0, 0)


def test_a_server_without_a_handle_changes_nothing() -> None:
    connection = Unattached()
    connection.last()
    connection.abort()
    connection.when_gone(lambda: None)
