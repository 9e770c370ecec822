"""A port for a server that binds it later than it is told of."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from typing import Final

_RANGE: Final = range(15_000, 32_000)  # below what Linux gives by itself (net.ipv4.ip_local_port_range)
# Hypothesis and tests seed the shared source of randomness: of two processes each would choose what the other does.
_RANDOM: Final = random.SystemRandom()


def free_port() -> int:
    """A loopback port that nobody listened on a moment ago.

    None of those that the kernel gives to whoever asks for any: between this answer and its use, another test's
    connection or listener would now and then be given the very same.
    """
    while True:
        port = _RANDOM.choice(_RANGE)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
