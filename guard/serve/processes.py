"""One worker as the supervisor sees it: a process, a socket, and when it was last heard."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from guard.admin.running import Running
from guard.serve.control import Adopted, Prepared

CANNOT_START: Final = 2
OTHER_POLICY: Final = 3
_WORDS: Final = {
    CANNOT_START: "it could not begin or go on; its own line in the log says why",
    OTHER_POLICY: "the snapshot of the policy in force is not what was put there; restart the guard",
}


@dataclass(slots=True)
class WorkerProcess:
    """A started worker; ``heard`` is the loop's time of its last sign of life.

    ``digest`` is the policy it serves or will begin with; ``prepared`` and ``adopted`` are its last words of those, and
    ``begun`` is whether it has been told to serve.
    """

    index: int
    incarnation: int
    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: float
    digest: str
    begun: bool = False
    ready: bool = False
    live: int = 0
    running: tuple[Running, ...] = ()
    prepared: Prepared | None = None
    adopted: Adopted | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Which policy workers serve: its digest, where its snapshot is, and what its paths are relative to."""

    directory: Path
    digest: str
    snapshot: Path


async def start_worker(
    standing: Standing, index: int, incarnation: int, sockets: Mapping[str, socket.socket], now: float
) -> WorkerProcess:
    """Start a worker with the listening sockets and its end of a socket pair; raises OSError."""
    ours, theirs = socket.socketpair()
    listeners = {name: sock.fileno() for name, sock in sockets.items()}
    order = {
        "config": str(standing.directory),
        "snapshot": str(standing.snapshot),
        "index": index,
        "digest": standing.digest,
        "listeners": listeners,
        "control": theirs.fileno(),
    }
    try:
        # The interpreter as it is and nothing of this directory on its path: what is started is this package.
        flags = ["-P", *(["-I"] if sys.flags.isolated else [])]
        # A group of its own: a terminal's Ctrl-C goes to the supervisor alone, which decides how everything ends.
        process = subprocess.Popen(  # noqa: ASYNC220 - forking takes milliseconds and happens at start and replacement
            [sys.executable, *flags, "-m", "guard.serve", json.dumps(order)],
            pass_fds=[*listeners.values(), theirs.fileno()],
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    try:
        reader, writer = await asyncio.open_connection(sock=ours)
    except BaseException:
        ours.close()
        process.kill()
        raise
    return WorkerProcess(index, incarnation, process, reader, writer, now, standing.digest)


def ending(code: int) -> str:
    """Say in words what an exit code means; a negative one is a signal's."""
    if code < 0:
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"ended by signal {-code}"
    return _WORDS.get(code, f"exit code {code}")
