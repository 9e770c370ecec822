"""Where a drill finds what it needs: the folder ``run`` of the state folder, which its owner alone may enter."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Final, Self

RUN: Final = "run"
REHEARSAL: Final = "rehearsal"
"""The orders, below ``run``, that only the self-test model's switches look at."""
LEASE_ASL: Final = 2
LEASE_SECONDS: Final = 2.0
"""How long, in a fleet, the self-test model is served after a drill last renewed its lease."""
CREDENTIAL: Final = b"sk-guard-selftest-reaches-nothing-else"
"""The key of the self-test model. It is no secret: who may enter the folder may also write stop orders there."""


class RunFolder:
    """The sockets in it, by paths that fit wherever it lies: the system takes 107 bytes of one."""

    def __init__(self, state: Path, *, create: bool = False) -> None:
        """Open it; raises OSError."""
        self.path = state / RUN
        if create:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        """Hold it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        self.close()

    def close(self) -> None:
        """Let it go; addresses lead nowhere any more."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def address(self, name: str) -> str:
        """Return a path of a socket that this process alone can use."""
        return f"/proc/self/fd/{self._fd}/{name}"

    def door(self, worker: str) -> str:
        """Where callers of a worker's self-test model come in."""
        return self.address(f"worker-{worker}.sock")

    def model(self, worker: str) -> str:
        """Where a worker's synthetic model answers."""
        return self.address(f"model-{worker}.sock")

    def listening(self, address: str) -> socket.socket:
        """Listen there, in place of whoever did before: each place has one worker at a time; raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)  # noqa: PTH108 - an address, not a path that others could use
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(address)
            os.chmod(address, 0o600)  # noqa: PTH101 - as above
            sock.listen(64)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock
