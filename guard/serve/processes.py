"""One worker as the supervisor sees it: a process, a socket, and when it was last heard."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class WorkerProcess:
    """A started worker; ``heard`` is the loop's time of its last sign of life."""

    index: int
    incarnation: int
    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: float
    ready: bool = False
    live: int = 0


async def start_worker(
    config_dir: Path, digest: str, index: int, incarnation: int, sockets: Mapping[str, socket.socket], now: float
) -> WorkerProcess:
    """Start a worker with the listening sockets and its end of a socket pair; raises OSError."""
    ours, theirs = socket.socketpair()
    listeners = {name: sock.fileno() for name, sock in sockets.items()}
    order = {
        "config": str(config_dir),
        "index": index,
        "digest": digest,
        "listeners": listeners,
        "control": theirs.fileno(),
    }
    try:
        # The interpreter as it is and nothing of this directory on its path: what is started is this package.
        process = subprocess.Popen(  # noqa: ASYNC220 - forking takes milliseconds and happens at start and replacement
            [sys.executable, "-P", "-m", "guard.serve", json.dumps(order)],
            pass_fds=[*listeners.values(), theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    return WorkerProcess(index, incarnation, process, reader, writer, now)
