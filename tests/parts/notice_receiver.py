"""Whoever takes notices: a small HTTP/1.1 server on loopback that keeps what it is sent and answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Taken:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers, and whether it never ends: no ``status`` is no answer at all, until the receiver closes."""

    status: int | None = 200
    headers: Mapping[str, str] = ()  # type: ignore[assignment]  # nothing
    endless: bool = False


class NoticeReceiver:
    """Serves inside a ``with`` block; ``answers`` are given in turn, the last of them for ever."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        """Listen on a free port."""
        self.taken: list[Taken] = []
        self._answers = list(answers) or [Answer()]
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._take, self._closing))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        """Serve."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and let go whoever waits."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _take(self, taken: Taken) -> Answer:
        with self._lock:
            self.taken.append(taken)
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def _handler(take: Callable[[Taken], Answer], closing: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = take(Taken(self.command, self.path, headers, body))
            if answer.status is None:
                closing.wait(PATIENCE)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in dict(answer.headers).items():
                self.send_header(name, value)
            if answer.endless:
                self.end_headers()
                while not closing.wait(0.05):
                    self.wfile.write(b"x" * 1000)
            else:
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler
