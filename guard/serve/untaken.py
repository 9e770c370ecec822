"""What was written to a caller and has not reached him: how little of it a socket may keep, how much it is, its end.

A socket would take megabytes for a caller who reads slowly, and a plain close goes on delivering them: after a stop,
that is text that the stop was to keep back. So a TCP socket takes what it can send at once and `UNSENT` bytes (what is
on its way is not bounded, so a fast caller far away loses nothing), and a reset throws the rest away. What a Unix
socket has taken lies with its reader already: nothing calls it back, and `QUEUED` bounds it.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from typing import Final

UNSENT: Final = 32_768
QUEUED: Final = 65_536
_AT_ONCE: Final = struct.pack("ii", 1, 0)


def bound(transport: asyncio.Transport) -> None:
    """Let the socket of a new connection keep little that its caller has not taken."""
    sock = transport.get_extra_info("socket")
    if sock.family == socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUED)
    else:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


def untaken(transport: asyncio.Transport) -> int:
    """Bytes that the caller's host has not confirmed: here, in the socket and on the way; over TLS, encrypted."""
    descriptor = transport.get_extra_info("socket").fileno()
    (queued,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
    return transport.get_write_buffer_size() + int(queued)


def reset(transport: asyncio.Transport) -> None:
    """Close at once and throw away what is untaken; the caller reads an error, never an end."""
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
