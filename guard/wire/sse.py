"""Server-sent events out of bytes, sans-io, as the WHATWG standard reads them (HTML, section 9.2).

Lines end at CR, LF or CRLF and nowhere else; comments, ``id`` and ``retry`` are dropped, so they cannot carry text.
"""

from __future__ import annotations

from msgspec import Struct

_BOM = b"\xef\xbb\xbf"


class BadStream(Exception):  # noqa: N818 - a finding about the peer, as the names beside it
    """The upstream's answer is not what its dialect allows; the reason never quotes it."""


class ServerEvent(Struct, frozen=True, gc=False):
    """One event: its name (empty for the default) and its data, lines joined by LF."""

    name: bytes
    data: bytes


class EventReader:
    """Feed bytes, take events; one event may be at most ``max_event`` bytes."""

    __slots__ = ("_buffer", "_first", "_max_event", "_skip_lf")

    def __init__(self, max_event: int = 1_048_576) -> None:
        """Begin at the start of a stream."""
        self._buffer = bytearray()  # the beginning of an event; never begins with a line end
        self._first = True
        self._skip_lf = False
        self._max_event = max_event

    @property
    def between(self) -> bool:
        """Whether the last read ended with an event: the next byte then begins a line, and an event."""
        return not (self._buffer or self._first or self._skip_lf)

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Take what one read brought; raises BadStream for an event that is too large.

        What stands after the last blank line when the stream ends is no event, as the standard says.
        """
        if b"\r" in data or self._skip_lf:
            data = self._newlines(data)
        buffer = self._buffer
        size = len(data) - 2
        if (  # one event and nothing else, as nearly every read of a paced stream brings it
            data.find(b"\n") == size
            and data.startswith(b"data: ")
            and data.endswith(b"\n\n")
            and not buffer
            and not self._first
            and size <= self._max_event
        ):
            return [ServerEvent(b"", data[6:size])]
        if self._first:
            data = bytes(buffer) + data
            buffer.clear()
            if len(data) < len(_BOM) and _BOM.startswith(data):
                buffer += data
                return []
            self._first = False
            data = data.removeprefix(_BOM)
        elif buffer:
            # Only what is new is searched, and appending is amortised: many small reads of one event stay cheap.
            searched = len(buffer) - 1
            buffer += data
            if buffer.find(b"\n\n", searched) < 0:
                self._bound(buffer)
                return []
            data = bytes(buffer)
            buffer.clear()
        *blocks, rest = data.split(b"\n\n")
        # A blank line at the very front of what remains ends nothing: it belongs to the blank line before it.
        buffer += rest.lstrip(b"\n")
        self._bound(buffer)
        events = []
        for block in blocks:
            if len(block) > self._max_event:
                self._bound(block.lstrip(b"\n"))
            event = _event(block)
            if event is not None:
                events.append(event)
        return events

    def _bound(self, event: bytes | bytearray) -> None:
        # The end of a line that the next read may make the end of the event is not counted, so that cuts do not matter.
        if len(event) > self._max_event and len(event) - event.endswith(b"\n") > self._max_event:
            raise BadStream("an event is larger than the limit")

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
