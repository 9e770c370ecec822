"""Server-sent events out of bytes, sans-io, as the WHATWG standard reads them (HTML, section 9.2).

Lines end at CR, LF or CRLF and nowhere else; comments, ``id`` and ``retry`` are dropped, so they cannot carry text.
"""

from __future__ import annotations

from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"


class BadStream(Exception):  # noqa: N818 - a finding about the peer, as the names beside it
    """The upstream's answer is not what its dialect allows; the reason never quotes it."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name (empty for the default) and its data, lines joined by LF."""

    name: bytes
    data: bytes


class EventReader:
    """Feed bytes, take events; one event may be at most ``max_event`` bytes."""

    __slots__ = ("_buffer", "_first", "_max_event", "_skip_lf")

    def __init__(self, max_event: int = 1_048_576) -> None:
        """Begin at the start of a stream."""
        self._buffer = b""
        self._first = True
        self._skip_lf = False
        self._max_event = max_event

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Take what one read brought; raises BadStream for an event that is too large."""
        if b"\r" in data or self._skip_lf:
            data = self._newlines(data)
        buffer = self._buffer + data if self._buffer else data
        if self._first:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._buffer = buffer
                return []
            self._first = False
            buffer = buffer.removeprefix(_BOM)
        if b"\n\n" not in buffer and not buffer.startswith(b"\n"):
            self._keep(buffer)
            return []
        *blocks, rest = buffer.split(b"\n\n")
        # A blank line at the very front of what remains ends nothing: it belongs to the blank line before it.
        self._keep(rest.lstrip(b"\n"))
        events = []
        for block in blocks:
            event = _event(block)
            if event is not None:
                events.append(event)
        return events

    def unterminated(self) -> bool:
        """Tell whether the stream ended inside an event, which the standard says to discard."""
        return bool(self._buffer)

    def _keep(self, rest: bytes) -> None:
        if len(rest) > self._max_event:
            raise BadStream("an event is larger than the limit")
        self._buffer = rest

    def _newlines(self, data: bytes) -> bytes:
        # CRLF may be cut between two reads: the CR ended the line already, so the LF that follows it is dropped.
        if self._skip_lf and data:
            data = data.removeprefix(b"\n")
            self._skip_lf = False
        if data.endswith(b"\r"):
            self._skip_lf = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _event(block: bytes) -> ServerEvent | None:
    if block.startswith(b"data: ") and b"\n" not in block:  # what every inference server sends
        return ServerEvent(b"", block[6:])
    name = b""
    lines = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    return ServerEvent(name, b"\n".join(lines)) if lines else None
