"""Peers are told until they obey, and whatever they answer is bounded and of themselves alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress

import pytest

from guard.state import peers as module
from guard.state.peers import Peer, Peers, PeerWord, spread_by_word
from guard.state.replicas import Replica, Report

ORDER = "01ARYZ6S410000000000000000"


def answer(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


def obeyed(**more: object) -> bytes:
    return json.dumps({"order": ORDER, "workers": 2, "missing": [], "streams_cut": 3, **more}).encode()


@asynccontextmanager
async def peer(answers: list[bytes]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives these answers, the last one for ever; an empty one hangs."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            asked.append(await reader.readexactly(length))
            said = answers[min(len(asked), len(answers)) - 1]
            if said:
                writer.write(said)
                await writer.drain()
            else:
                await reader.read()  # until whoever asks goes

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


async def said(told: Peers, name: str, good: Callable[[PeerWord], bool]) -> PeerWord:
    async with asyncio.timeout(30):
        while not good(told.words(ORDER)[name]):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    return told.words(ORDER)[name]


def run(answers: list[bytes], look: Callable[[Peers, list[bytes]], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with peer(answers) as (url, asked):
            told = Peers([Peer("far", url)], None)
            told.tell(ORDER, b"the order")
            try:
                await look(told, asked)
            finally:
                await told.close()

    asyncio.run(whole())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)


def test_a_peer_is_told_until_all_of_it_obeys_and_then_no_more() -> None:
    async def look(told: Peers, asked: list[bytes]) -> None:
        word = await said(told, "far", lambda each: each.obeyed)
        assert word == PeerWord(2, (), 3, "")
        told.tell(ORDER, b"the order")  # again: nothing more is asked
        assert asked == [b"the order"] * 4

    refused = answer(403, b'{"error": "its issuer is not known here"}')
    late = answer(202, obeyed(workers=1, missing=["1"]))
    run([answer(500, b"?"), refused, late, answer(200, obeyed())], look)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer(403, b'{"error": "too old"}'), "refuses it: too old"),
        (answer(404, b"{}"), "answers 404"),
        (answer(200, b"[]"), "answers 200, and not as a guard does"),
        (answer(200, b"\xff"), "answers 200, and not as a guard does"),
        (answer(200, obeyed(order="another")), "answers 200, and not as a guard does"),
        (answer(200, obeyed(workers=-1)), "answers 200, and not as a guard does"),
        (answer(302, b"") , "answers 302, and not as a guard does"),
        (b"what?\r\n\r\n", "cannot be reached: RemoteProtocolError"),
        (answer(200, b" " * (module.MAX_ANSWER + 1)), "cannot be reached: DecodingError"),
    ],
)  # fmt: skip
def test_what_a_peer_says_instead_is_told_in_bounds(given: bytes, words: str) -> None:
    async def look(told: Peers, _: list[bytes]) -> None:
        word = await said(told, "far", lambda each: each.problem != PeerWord().problem)
        assert word == PeerWord(problem=words)

    run([given], look)


def test_a_peer_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)

    async def look(told: Peers, _: list[bytes]) -> None:
        word = await said(told, "far", lambda each: "answer" in each.problem and each != PeerWord())
        assert word.problem in {"does not answer in time", "cannot be reached: ReadTimeout"}

    run([b""], look)


def test_of_very_many_orders_the_oldest_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 2)

    async def whole() -> None:
        told = Peers([Peer("far", "http://127.0.0.1:9")], None)
        for number in range(4):
            told.tell(f"order {number}", b"")
        assert [bool(told.words(f"order {number}")) for number in range(4)] == [False, False, True, True]
        await told.close()
        assert not told.words("order 3")

    asyncio.run(whole())


def test_nobody_is_told_where_there_are_no_peers() -> None:
    told = Peers((), None)
    told.tell(ORDER, b"")
    assert (bool(told), told.words(ORDER), told.names) == (False, {}, frozenset())


def test_a_peers_own_word_counts_for_more_than_what_was_heard_of_it() -> None:
    heard = [Replica("far", 1.0, Report(1, 0, 2, ())), Replica("third", 9.0, Report(1, 0, 2, ()))]
    words = {"far": PeerWord(2, (), 5, ""), "away": PeerWord(problem="cannot be reached: ConnectError")}
    found = spread_by_word(ORDER, heard, words)
    assert (found.replicas, found.replicas_of, found.workers, found.workers_of, found.streams_cut) == (1, 3, 2, 4, 5)
    assert found.missing == ("third (not heard for 9 s)", "away (cannot be reached: ConnectError)")


def test_a_peer_without_workers_has_not_obeyed() -> None:
    assert spread_by_word(ORDER, (), {"far": PeerWord(0, (), 0, "")}).missing == ("far (worker none)",)
