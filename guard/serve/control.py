"""What the supervisor and a worker say to one another, and how it goes over their socket: msgpack behind a length."""

from __future__ import annotations

import asyncio
import struct
from typing import Final

import msgspec

from guard.admin.running import Running

_LENGTH: Final = struct.Struct("!I")
MAX_MESSAGE: Final = 16_777_216
MAX_UNHEARD: Final = 1_048_576


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The worker accepts requests."""

    digest: str


class Beat(msgspec.Struct, tag="beat", frozen=True):
    """The worker's loop turns; ``live`` exchanges are running and ``metrics`` is the meter's snapshot.

    ``durable`` is the sequence up to which its log is on the disk; ``running`` says of what the live ones are.
    """

    live: int
    metrics: bytes
    durable: int
    running: tuple[Running, ...] = ()


class Wake(msgspec.Struct, tag="wake", frozen=True):
    """The orders have changed: look now."""


class Drain(msgspec.Struct, tag="drain", frozen=True):
    """Take nothing new, let what runs finish within ``seconds``, then end it and exit."""

    seconds: float


class Prepare(msgspec.Struct, tag="prepare", frozen=True):
    """Make the policy of this digest, which lies at ``snapshot``, ready to serve; nothing changes yet."""

    digest: str
    snapshot: str


class Prepared(msgspec.Struct, tag="prepared", frozen=True):
    """It is ready, or it cannot be had here: ``problems`` says why. Its first is that a worker could begin to serve."""

    digest: str
    problems: tuple[str, ...] = ()


class Adopt(msgspec.Struct, tag="adopt", frozen=True):
    """Serve by the policy that was prepared; end what runs on the models for which it is ``stricter``.

    Before its first a worker serves nobody, so none ever serves by a policy that is no longer in force.
    """

    digest: str
    stricter: tuple[str, ...] = ()


class Adopted(msgspec.Struct, tag="adopted", frozen=True):
    """The policy of this digest is in force here; ``cut`` exchanges were ended because of it."""

    digest: str
    cut: int


class Abandon(msgspec.Struct, tag="abandon", frozen=True):
    """Forget what was prepared: it does not come into force."""

    digest: str


FromWorker = Ready | Beat | Prepared | Adopted
FromSupervisor = Wake | Drain | Prepare | Adopt | Abandon
_encode = msgspec.msgpack.Encoder().encode
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_from_supervisor: msgspec.msgpack.Decoder[FromSupervisor] = msgspec.msgpack.Decoder(FromSupervisor)


def send(writer: asyncio.StreamWriter, message: FromWorker | FromSupervisor) -> None:
    """Put a message on its way; does not wait. A report to somebody who does not listen is left out."""
    if isinstance(message, Beat) and writer.transport.get_write_buffer_size() > MAX_UNHEARD:
        return
    if not writer.is_closing():
        data = _encode(message)
        writer.write(_LENGTH.pack(len(data)) + data)


async def hear_worker(reader: asyncio.StreamReader) -> FromWorker | None:
    """Return a worker's next message, or None when it is gone; raises ValueError for what no worker says."""
    data = await _next(reader)
    return None if data is None else _from_worker.decode(data)


async def hear_supervisor(reader: asyncio.StreamReader) -> FromSupervisor | None:
    """Return the supervisor's next message, or None when it is gone; raises ValueError for what it never says."""
    data = await _next(reader)
    return None if data is None else _from_supervisor.decode(data)


async def _next(reader: asyncio.StreamReader) -> bytes | None:
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_MESSAGE:
            raise ValueError(f"a message of {length} bytes, at most {MAX_MESSAGE}")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
