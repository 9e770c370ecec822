"""What supervisor and workers say to one another survives any cut, and never grows without bound."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.serve.control import (
    MAX_MESSAGE,
    MAX_UNHEARD,
    Beat,
    Drain,
    FromSupervisor,
    FromWorker,
    Ready,
    Wake,
    hear_supervisor,
    hear_worker,
    send,
)

PATIENCE = 30.0
FROM_WORKER: list[FromWorker] = [Ready("digest"), Beat(0, b"", 0), Beat(2**40, b"\x00" * 1000, 2**60)]
FROM_SUPERVISOR: list[FromSupervisor] = [Wake(), Drain(0.0), Drain(30.5)]


async def wire(messages: list[FromWorker] | list[FromSupervisor]) -> bytes:
    """The bytes of these messages."""
    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=ours)
    reader, back = await asyncio.open_connection(sock=theirs)
    for message in messages:
        send(writer, message)
    writer.close()
    data = await reader.read()
    back.close()
    return data


async def fed(pieces: list[bytes], hear: Callable[[asyncio.StreamReader], Awaitable[object]]) -> list[object]:
    """Everything that is heard of these bytes."""
    reader = asyncio.StreamReader()
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    heard = []
    while (message := await hear(reader)) is not None:
        heard.append(message)
    return heard


@settings(max_examples=50)
@given(st.lists(st.integers(0, 1100), max_size=8))
def test_messages_come_through_however_they_are_cut(cuts: list[int]) -> None:
    async def run() -> None:
        for messages, hear in ((FROM_WORKER, hear_worker), (FROM_SUPERVISOR, hear_supervisor)):
            data = await wire(messages)
            places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
            pieces = [data[start:end] for start, end in pairwise(places)]
            assert await fed(pieces, hear) == messages

    asyncio.run(run())


def test_a_message_cut_off_by_the_end_is_no_message() -> None:
    async def run() -> None:
        data = await wire(FROM_WORKER)
        for end in range(len(await wire(FROM_WORKER[:2])), len(data)):
            assert await fed([data[:end]], hear_worker) == FROM_WORKER[:2]

    asyncio.run(run())


@pytest.mark.parametrize(
    "data",
    [struct.pack("!I", MAX_MESSAGE + 1), b"\xff\xff\xff\xff", struct.pack("!I", 3) + b"abc", struct.pack("!I", 0)],
    ids=repr,
)
def test_what_no_process_of_ours_says_is_an_error(data: bytes) -> None:
    for hear in (hear_worker, hear_supervisor):
        with pytest.raises(ValueError, match=r"."):
            asyncio.run(fed([data], hear))


def test_reports_to_a_supervisor_that_does_not_listen_are_left_out_and_other_words_are_kept() -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=ours)
        for _ in range(200):
            send(writer, Beat(1, b"x" * 100_000, 1))
        held = writer.transport.get_write_buffer_size()
        assert MAX_UNHEARD <= held <= MAX_UNHEARD + 200_000
        send(writer, Ready("digest"))
        assert writer.transport.get_write_buffer_size() > held
        writer.transport.abort()
        theirs.close()

    asyncio.run(asyncio.wait_for(run(), PATIENCE))
