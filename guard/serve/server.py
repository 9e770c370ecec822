"""What the supervisor and the workers listen with: bound sockets, and uvicorn without its signal handlers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import uvicorn

from guard.policy.process import Listener
from guard.serve.http import GuardProtocol

BACKLOG: Final = 2048


class Server(uvicorn.Server):
    """uvicorn, ended by whoever runs it and not by signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def server(app: Any, http: type[GuardProtocol], *, keep_alive: int, concurrency: int | None = None) -> Server:
    """Make a server of this application; ``keep_alive`` is seconds, ``concurrency`` bounds connections."""
    return Server(
        uvicorn.Config(
            app,
            http=http,
            interface="asgi3",
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=keep_alive,
            limit_concurrency=concurrency,
        )
    )


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[socket.socket]:
    """Listen there for as long as the block lasts; raises OSError that names the place."""
    if listener.unix is not None:
        with _listening_unix(Path(listener.unix)) as sock:
            yield sock
        return
    with listen(listener.host or "", listener.port or 0) as sock:  # both are there, by their validation
        yield sock


@contextlib.contextmanager
def _listening_unix(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix socket of mode 0660, and remove it at the end.

    A socket that nobody listens on any more is replaced; anything else at the path, and a guard that begins in the same
    moment, are errors. The lock file beside it is left there: who removes one can lock what another no longer sees.
    """
    with contextlib.ExitStack() as stack:
        try:
            lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_stale(path)
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            sock.bind(str(path))
            stack.callback(path.unlink, missing_ok=True)
            path.chmod(0o660)  # nobody can have connected: it does not listen yet
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except BlockingIOError:
            raise OSError(errno.EADDRINUSE, f"cannot listen on unix:{path}: another guard holds {path}.lock") from None
        except OSError as problem:
            raise OSError(problem.errno, f"cannot listen on unix:{path}: {problem.strerror}") from None
        yield sock


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "there is something that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:  # its queue is full: somebody listens
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def listen(host: str, port: int) -> socket.socket:
    """Listen there; raises OSError that names the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as problem:
        sock.close()
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise OSError(problem.errno, f"cannot listen on {place}: {problem.strerror}") from None
    return sock


def address(sock: socket.socket) -> str:
    """Return host and port of a listening socket, or its path after ``unix:``."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
