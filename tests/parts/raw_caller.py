"""A caller on a raw socket: sees every byte, reads as slowly as it likes, and leaves when it likes."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Whole:
    """A complete answer: ``ended`` tells whether its body had its proven end, ``closed`` whether the guard closed."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ended: bool
    closed: bool

    @property
    def json(self) -> Any:
        """The body, or the only event of it, parsed."""
        return json.loads(self.body.removeprefix(b"data: "))

    @property
    def events(self) -> list[bytes]:
        """The data of each event of a stream."""
        return [each.removeprefix(b"data: ") for each in self.body.split(b"\n\n") if each]

    @property
    def texts(self) -> str:
        """All content of a stream's choices, in the order of arrival."""
        return "".join(
            choice["delta"].get("content") or ""
            for each in self.events
            if each != b"[DONE]"
            for choice in json.loads(each).get("choices", ())
        )

    @property
    def code(self) -> str:
        """The code of the error: of a plain answer, or of the last event of a stream."""
        last = json.loads(self.events[-1]) if self.headers["content-type"].startswith("text/event") else self.json
        return str(last["error"]["code"])


class RawCaller:
    """One connection to the guard, inside a ``with`` block; ``receive_buffer`` bytes make a slow reader bite early."""

    def __init__(self, port: int, key: str, *, receive_buffer: int | None = None) -> None:
        """Connect."""
        self._key = key
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self._rest = b""

    def __enter__(self) -> Self:
        """Be there."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave."""
        self.socket.close()

    def ask(self, content: str = "hello", *, stream: bool = True, model: str = "demo", **fields: Any) -> None:
        """Send a request of one user message."""
        body = {"model": model, "messages": [{"role": "user", "content": content}], "stream": stream, **fields}
        self.post(json.dumps(body).encode())

    def post(
        self, body: bytes, *headers: str, path: str = "/v1/chat/completions", method: str = "POST", key: str = ""
    ) -> None:
        """Send a request with this body; ``headers`` replace the content type."""
        lines = [
            f"{method} {path} HTTP/1.1",
            "host: guard",
            f"authorization: Bearer {key or self._key}",
            *(headers or ("content-type: application/json",)),
            f"content-length: {len(body)}",
        ]
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def until(self, found: bytes) -> bytes:
        """Read until this has been seen, and return everything so far."""
        while found not in self._rest:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError(f"the connection ended before {found!r}; there was {self._rest!r}")
            self._rest += piece
        return self._rest

    def answer(self) -> Whole:
        """Read one whole answer; ``closed`` is looked for where the guard has announced or needs it."""
        head, _, rest = self._head()
        status = int(head[9:12])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}
        if "content-length" in headers:
            length = int(headers["content-length"])
            body, ended = self._exactly(rest, length)
        else:
            body, ended = self._chunks(rest)
        return Whole(status, headers, body, ended, self._closes(headers, body))

    def _head(self) -> tuple[str, bytes, bytes]:
        head, mark, rest = self.until(b"\r\n\r\n").partition(b"\r\n\r\n")
        self._rest = b""
        return head.decode(), mark, rest

    def _exactly(self, body: bytes, length: int) -> tuple[bytes, bool]:
        while len(body) < length:
            piece = self.socket.recv(65536)
            if not piece:
                return body, False
            body += piece
        return body, True

    def _chunks(self, raw: bytes) -> tuple[bytes, bool]:
        body = b""
        while True:
            size = re.match(rb"([0-9a-f]+)\r\n", raw)
            if size is not None and len(raw) >= size.end() + int(size[1], 16) + 2:
                length = int(size[1], 16)
                body += raw[size.end() : size.end() + length]
                raw = raw[size.end() + length + 2 :]
                if length == 0:
                    self._rest = raw
                    return body, True
                continue
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return body, False
            raw += piece

    def _closes(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Wait for the close where there must be one: after a refusal and after a stream without its terminator."""
        streamed = headers["content-type"].startswith("text/event")
        if body.endswith(b"data: [DONE]\n\n") or (not streamed and headers.get("connection") != "close"):
            return False
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
