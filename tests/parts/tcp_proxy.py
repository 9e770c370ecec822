"""A TCP proxy on loopback that can go silent: what it has taken in goes nowhere, and nobody is told."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

from tests.parts.ports import free_port


class TcpProxy:
    """Forwards to a port of loopback inside a ``with`` block."""

    def __init__(self, target: int) -> None:
        """Take the port that is really meant."""
        self.port = free_port()
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._swallowed: set[int] = set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self.connections = 0
        self._refusing = False

    def __enter__(self) -> Self:
        """Take connections."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything."""
        self._close(self._listener)
        self.cut()

    def swallow(self) -> None:
        """Forward no byte of the connections that are there; new ones work."""
        with self._lock:
            self._swallowed.update(range(self.connections))

    def refuse(self, *, refusing: bool) -> None:
        """Forward no byte of connections to come either, and let those that are there go silent; or work again."""
        self._refusing = refusing
        if refusing:
            self.swallow()

    def cut(self) -> None:
        """Close all connections."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for each in pair:
                self._close(each)

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                server.settimeout(None)
            except OSError:
                caller.close()
                continue
            with self._lock:
                number = self.connections
                self.connections += 1
                if self._refusing:
                    self._swallowed.add(number)
                self._pairs.append((caller, server))
            for source, sink in ((caller, server), (server, caller)):
                threading.Thread(target=self._forward, args=(number, source, sink), daemon=True).start()

    def _forward(self, number: int, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if number not in self._swallowed:
                    sink.sendall(data)
        if number not in self._swallowed:
            self._close(source)
            self._close(sink)

    @staticmethod
    def _close(each: socket.socket) -> None:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
