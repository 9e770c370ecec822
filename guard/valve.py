"""The valve: holds back every event of an answer until all of its text is cleared (sans-io; rows C3, I4).

Events leave in the order in which they came. An event leaves when each of its marks lies at or below the watermark of
its channel; the watermark is the lowest that any watching safeguard has cleared. It moves back only when an order has
what was watched in shadow enforced.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from guard.wire.dialect import Event
from safeguards.exchange import Channel


class Valve:
    """Put events in, set watermarks, take what may leave."""

    __slots__ = ("_cleared", "_queue", "held", "released")

    def __init__(self) -> None:
        """Begin closed; ``held`` is the bytes that wait here."""
        self._queue: deque[Event] = deque()
        self._cleared: dict[Channel, int] = {}
        self.held = 0
        self.released: dict[Channel, int] = {}

    def put(self, events: Iterable[Event]) -> None:
        """Hold events behind those that are held already."""
        for event in events:
            self._queue.append(event)
            self.held += len(event.data)

    def clear(self, channel: Channel, upto: int) -> None:
        """Raise a channel's watermark; offsets are characters."""
        if upto > self._cleared.get(channel, 0):
            self._cleared[channel] = upto

    def lower(self, held: Mapping[Channel, int]) -> None:
        """Lower the watermarks of channels to where an order has them held from; what has left has left."""
        for channel, upto in held.items():
            if upto < self._cleared.get(channel, 0):
                self._cleared[channel] = upto

    def release(self) -> list[Event]:
        """Take every event that may leave now, in order."""
        queue = self._queue
        cleared = self._cleared
        out = []
        while queue:
            event = queue[0]
            channel = event.channel
            if channel is not None:
                if event.end > cleared.get(channel, 0):
                    break
                if event.more and any(end > cleared.get(other, 0) for other, end in event.more):
                    break
            queue.popleft()
            self.held -= len(event.data)
            out.append(event)
        return out

    def left(self, events: Iterable[Event]) -> None:
        """Note that these have left: ``released`` is how far the caller has each channel."""
        released = self.released
        for event in events:
            if event.channel is not None:
                released[event.channel] = event.end
                for other, end in event.more:
                    released[other] = end
