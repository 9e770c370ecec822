"""What the reader of an answer sees, without sockets."""

from __future__ import annotations

import asyncio

import pytest

from guard.upstream.answer import AT_ONCE, Answer
from guard.upstream.failure import UpstreamError, UpstreamFailure
from guard.upstream.http1 import Limits, ResponseReader
from tests.guard.upstream.scripted_server import until

WIRE = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 6\r\n\r\n"


class _FakeSource:
    def __init__(self) -> None:
        self.aborted = 0
        self.resumed = 0

    def abort(self) -> None:
        self.aborted += 1

    def resume(self) -> float:
        self.resumed += 1
        return 7.0


def make(*feeds: bytes) -> tuple[Answer, _FakeSource]:
    source, reader = _FakeSource(), ResponseReader(Limits())
    for data in feeds:
        reader.feed(data)
    answer = Answer(source, reader, asyncio.get_running_loop(), 0.0)
    if reader.complete:
        answer.ended(None)
    return answer, source


def test_what_waits_is_read_as_one_batch_and_the_end_is_none_again_and_again() -> None:
    async def main() -> None:
        answer, source = make(WIRE + b"ab", b"cd", b"ef")
        await answer.head()
        assert (answer.status, answer.header(b"content-type"), answer.header(b"x")) == (200, b"a/b", None)
        assert [await answer.read() for _ in range(3)] == [b"abcdef", None, None]
        answer.close()
        assert source.aborted == 0

    asyncio.run(main())


def test_closing_before_the_end_aborts_once_and_later_reads_fail() -> None:
    async def main() -> None:
        answer, source = make(WIRE + b"ab")
        answer.close()
        answer.close()
        assert source.aborted == 1
        with pytest.raises(UpstreamError) as caught:
            await answer.read()
        assert caught.value.kind is UpstreamFailure.ABORTED

    asyncio.run(main())


def test_an_abort_from_outside_wakes_the_waiting_read_with_its_reason() -> None:
    async def main() -> None:
        answer, source = make(WIRE)
        reading = asyncio.create_task(answer.read())
        await until(lambda: answer.waiting)
        answer.abort(LookupError("stopped"))
        answer.abort(ValueError("later reasons do not count"))
        with pytest.raises(LookupError):
            await reading
        assert (source.aborted, answer.waiting) == (1, False)

    asyncio.run(main())


def test_an_abort_drops_what_was_received_even_if_the_answer_is_complete() -> None:
    async def main() -> None:
        answer, source = make(WIRE + b"abcdef")
        answer.abort(LookupError("stopped"))
        with pytest.raises(LookupError):
            await answer.read()
        assert source.aborted == 0  # the connection serves it no longer

    asyncio.run(main())


def test_bytes_received_before_a_failure_are_read_before_it() -> None:
    async def main() -> None:
        answer, _ = make(WIRE + b"ab")
        answer.ended(UpstreamError(UpstreamFailure.TRUNCATED, "test"))
        assert await answer.read() == b"ab"
        for _ in range(2):
            with pytest.raises(UpstreamError):
                await answer.read()

    asyncio.run(main())


def test_two_readers_at_once_are_a_programming_error() -> None:
    async def main() -> None:
        answer, _ = make(WIRE)
        reading = asyncio.create_task(answer.read())
        await until(lambda: answer.waiting)
        with pytest.raises(RuntimeError, match="two tasks"):
            await answer.read()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    asyncio.run(main())


def test_a_cancelled_read_aborts_the_answer() -> None:
    async def main() -> None:
        answer, source = make(WIRE)
        reading = asyncio.create_task(answer.read())
        await until(lambda: answer.waiting)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert (source.aborted, answer.waiting) == (1, False)

    asyncio.run(main())


def test_taking_a_backlog_lets_the_source_go_on() -> None:
    async def main() -> None:
        answer, source = make(WIRE + b"ab")
        assert await answer.read() == b"ab"
        assert source.resumed == 0
        answer.reader.feed(b"cd")
        answer.paused = True
        assert await answer.read() == b"cd"
        assert (source.resumed, answer.last_read) == (1, 7.0)

    asyncio.run(main())


class _Taker:
    """Takes batches until one is ``last``; notes them, and whether a task's turn brought them."""

    def __init__(self, last: bytes = b"", raises: BaseException | None = None) -> None:
        self.taken: list[bytes] = []
        self.tasks: list[object] = []
        self._last = last
        self._raises = raises

    def __call__(self, batch: bytes) -> bool:
        self.taken.append(batch)
        self.tasks.append(asyncio.current_task())
        if batch == self._last and self._raises is not None:
            raise self._raises
        return batch != self._last


def arrive(answer: Answer, data: bytes) -> None:
    answer.reader.feed(data)
    if answer.reader.complete:
        answer.ended(None)
    else:
        answer.wake()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_what_follows_takes_each_batch_where_it_arrives_until_the_end() -> None:
    async def main() -> None:
        answer, _ = make(CHUNKED + chunk(b"waits"))
        take = _Taker()
        following = asyncio.create_task(answer.follow(take))
        await until(lambda: answer.waiting)
        for data in (b"ab", b"cd"):
            arrive(answer, chunk(data))
            assert take.taken[-1] == data  # before the task has had a turn
        arrive(answer, chunk(b"ef") + END)
        assert await following is False
        assert take.taken == [b"waits", b"ab", b"cd", b"ef"]
        assert (take.tasks[0], following in take.tasks[1:]) == (following, False)

    asyncio.run(main())


def test_a_batch_that_is_not_taken_whole_wakes_the_task_and_the_next_one_waits_for_it() -> None:
    async def main() -> None:
        answer, _ = make(CHUNKED)
        take = _Taker(last=b"ab")
        following = asyncio.create_task(answer.follow(take))
        await until(lambda: answer.waiting)
        arrive(answer, chunk(b"ab"))
        arrive(answer, chunk(b"cd"))
        assert await following is True
        assert take.taken == [b"ab"]
        assert await answer.read() == b"cd"

    asyncio.run(main())


@pytest.mark.parametrize("problem", [LookupError("a finding"), asyncio.CancelledError(), SystemExit(3)])
def test_what_taking_raises_is_raised_in_the_task(problem: BaseException) -> None:
    async def main() -> None:
        answer, _ = make(CHUNKED)
        raised: list[BaseException] = []

        async def follow() -> None:
            try:
                await answer.follow(_Taker(b"ab", problem))
            except BaseException as found:  # noqa: BLE001 - whatever it is
                raised.append(found)

        following = asyncio.create_task(follow())
        await until(lambda: answer.waiting)
        arrive(answer, chunk(b"ab"))
        arrive(answer, chunk(b"cd"))
        await following
        assert raised == [problem]

    asyncio.run(main())


def test_after_a_cut_nothing_is_taken_any_more() -> None:
    async def main() -> None:
        answer, source = make(CHUNKED)
        take = _Taker()
        following = asyncio.create_task(answer.follow(take))
        await until(lambda: answer.waiting)
        following.cancel()
        arrive(answer, chunk(b"ab"))  # comes before the task has noticed
        with pytest.raises(asyncio.CancelledError):
            await following
        assert (take.taken, source.aborted, answer.waiting) == ([], 1, False)

    asyncio.run(main())


def test_a_failure_comes_after_what_was_received_before_it() -> None:
    async def main() -> None:
        answer, _ = make(CHUNKED)
        take = _Taker()
        following = asyncio.create_task(answer.follow(take))
        await until(lambda: answer.waiting)
        answer.reader.feed(chunk(b"ab"))
        answer.ended(UpstreamError(UpstreamFailure.TRUNCATED, "test"))
        with pytest.raises(UpstreamError):
            await following
        assert take.taken == [b"ab"]

    asyncio.run(main())


def test_a_large_batch_waits_for_its_turn() -> None:
    async def main() -> None:
        answer, source = make(CHUNKED)
        take = _Taker()
        following = asyncio.create_task(answer.follow(take))
        await until(lambda: answer.waiting)
        answer.reader.feed(chunk(b"x" * AT_ONCE))
        answer.paused = True
        answer.wake()
        assert (take.taken, source.resumed) == ([], 0)
        await until(lambda: answer.waiting)
        assert (take.tasks, source.resumed) == ([following], 1)
        arrive(answer, chunk(b"ab"))
        arrive(answer, END)
        assert await following is False
        assert take.taken == [b"x" * AT_ONCE, b"ab"]

    asyncio.run(main())
