"""What the supervisor and the workers listen with: bound sockets, and uvicorn without its signal handlers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

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
    """Return host and port of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
