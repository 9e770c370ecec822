"""The way of an answer past ASGI's messages: uvicorn's protocol with one method that writes a piece of an answer.

A message to uvicorn costs a dict, a check of every header against two expressions, and a write of its own for the head;
here each piece is one write and the head goes with the first. What ASGI's messages do to the state of the
connection is done here too, so both ways may serve one connection, though never one answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle


class AnsweringProtocol(HttpToolsProtocol):
    """One connection of a caller; implements `guard.reply.Wire`."""

    _flowing: RequestResponseCycle | None = None  # the request whose chunked answer is under way

    async def answer(
        self, head: tuple[int, Sequence[tuple[bytes, bytes]]] | None, data: bytes, *, chunked: bool, ends: bool
    ) -> None:
        """Send a piece of the answer in one write, as `guard.reply.Wire` says: what ASGI's two messages would say.

        Waits first while the caller takes nothing. Of an answer that nobody can have any more, nothing is sent.
        """
        cycle = self.cycle
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if cycle.disconnected:
            return
        if cycle.response_complete or cycle.response_started is (head is not None):
            raise RuntimeError("an answer has one head, and nothing after its end")
        if self.scope["method"] == "HEAD":
            data = b""
        elif chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if ends:
                data += b"0\r\n\r\n"
        if head is not None:
            data = self._head(*head, chunked=chunked) + data
            cycle.response_started = True
            cycle.waiting_for_100_continue = False
            cycle.chunked_encoding = chunked
        cycle.transport.write(data)
        self._flowing = cycle if chunked and not ends and self.scope["method"] != "HEAD" else None
        if ends:
            cycle.response_complete = True
            cycle.message_event.set()
            if not cycle.keep_alive:
                cycle.transport.close()
            cycle.on_response()

    @property
    def flowing(self) -> bool:
        """As `guard.reply.Wire`: begun, not ended, and the caller is there and takes more."""
        cycle = self._flowing
        return cycle is not None and cycle is self.cycle and not self.flow.write_paused and not cycle.disconnected

    def piece(self, data: bytes) -> None:
        """As `guard.reply.Wire`."""
        if data:
            self.cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _head(self, status: int, headers: Sequence[tuple[bytes, bytes]], *, chunked: bool) -> bytes:
        lines = [b"%b: %b\r\n" % header for header in headers]
        if not self.cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        if chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("a header holds the end of a line")
        return STATUS_LINE[status] + head + b"\r\n"
