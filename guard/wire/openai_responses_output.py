"""The output of one response as the guard writes it, event by event, and how it ends.

Each event has a number, and what the caller has after any of them can be told from its number alone: that is how a cut
stream gets an ending with exactly the text that was released.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from guard.wire.dialect import Event, Naming
from guard.wire.openai_responses_items import NEVER, SHAPES, Body, Item, ItemKind, Part, PartKind
from guard.wire.sse import BadStream
from guard.wire.typed_answer import one_line
from safeguards.exchange import Channel, ChannelId, ChannelKind

MAX_ITEMS: Final = 128
MAX_PARTS: Final = 256
_JOINED: Final = 1
_encode: Final = msgspec.json.Encoder().encode


class Seen(msgspec.Struct, frozen=True):
    """What the caller has: this output up to the event of this number."""

    output: Output
    step: int


class Output:
    """Writes the output: at most one item is open and in it one part, and what opens next ends what is open."""

    def __init__(self, naming: Naming, echo: Mapping[str, Any]) -> None:
        """Begin before the first event; ``echo`` are the settings of the request that its response repeats."""
        self.naming = naming
        self.echo = echo
        self.items: list[Item] = []
        self.item: Item | None = None
        self.part: Part | None = None
        self.next = 0
        self.ended = NEVER
        self.channels: dict[ChannelId, Channel] = {}
        self.touched: list[Channel] = []
        self._counts: dict[ChannelKind, int] = {}
        self._parts = 0

    def begin(self) -> list[Event]:
        """The events that every stream begins with."""
        body = self.response("in_progress", self.next)
        return [self._event(f"response.{name}", {"response": body}) for name in ("created", "in_progress")]

    def open_item(self, kind: ItemKind, name: str = "") -> list[Event]:
        """Begin an item; ``name`` is the function's, which is a channel."""
        if len(self.items) >= MAX_ITEMS:
            raise BadStream("the answer has too many items")
        events = self.close_item()
        self.item = item = Item(kind, len(self.items), self.naming.request, name, self.next)
        self.items.append(item)
        marks = []
        if kind is ItemKind.FUNCTION_CALL:
            channel = self._channel(ChannelId(0, ChannelKind.TOOL_NAME, item.index))
            marks.append((channel, channel.append(name)))
            self._complete(channel)
        events.append(
            self._event("response.output_item.added", {"output_index": item.index, "item": item.json()}, marks)
        )
        if kind is ItemKind.FUNCTION_CALL:
            self.part = self._new_part(item, PartKind.ARGUMENTS, 0)
        return events

    def open_part(self, kind: PartKind, key: int) -> list[Event]:
        """Begin a part of the open item; ``key`` is the upstream's index of it."""
        item = self.item
        if item is None or item.kind is not kind.item or self._parts >= MAX_PARTS:
            raise BadStream("a part is out of place")
        events = self.close_part()
        self.part = part = self._new_part(item, kind, key)
        events.append(self._event(f"response.{SHAPES[kind][3]}.added", {**part.place, "part": part.json()}))
        return events

    def add(self, text: str) -> Event:
        """Add text to the open part."""
        part = self.part
        if part is None:
            raise BadStream("text outside of a part")
        own = part.channels[0]
        if not own.fresh and own not in self.touched:
            self.touched.append(own)
        end = own.append(text)
        step = self.next
        self.next = step + 1
        part.steps.append(step)
        part.ends.append(end)
        data = part.head + b'%d,"delta":%b}\n\n' % (step, one_line(text))
        if len(part.channels) == 1:
            return Event(data, own, end, (), Seen(self, step))
        joined = part.channels[1]
        if joined not in self.touched:
            self.touched.append(joined)
        return Event(data, own, end, ((joined, joined.append(text)),), Seen(self, step))

    def close_part(self) -> list[Event]:
        """End the open part, if there is one."""
        part, self.part = self.part, None
        if part is None:
            return []
        events = [self._event(name, body, part.marks()) for name, body in part.closing()]
        part.span = (part.span[0], self.next - 1)
        self._complete(part.channels[0])
        return events

    def close_item(self, *, incomplete: bool = False) -> list[Event]:
        """End the open item, if there is one."""
        events = self.close_part()
        item, self.item = self.item, None
        if item is None:
            return events
        item.incomplete = incomplete
        item.span = (item.span[0], self.next)
        marks = [mark for part in item.parts for mark in part.marks()]
        return [
            *events,
            self._event("response.output_item.done", {"output_index": item.index, "item": item.json()}, marks),
        ]

    def end(self, reason: str | None, usage: Body | None, *, incomplete: bool) -> list[Event]:
        """End the response; ``reason`` says why it is incomplete."""
        events = self.close_item(incomplete=incomplete)
        for channel in self.channels.values():
            self._complete(channel)
        self.ended = self.next
        status = "incomplete" if incomplete else "completed"
        body = self.response(status, self.next, reason=reason, usage=usage)
        return [*events, self._event(f"response.{status}", {"response": body}, self._marks())]

    def whole(self, reason: str | None, usage: Body | None, *, incomplete: bool) -> Event:
        """End the response and give it in one piece."""
        self.end(reason, usage, incomplete=incomplete)
        body = self.response("incomplete" if incomplete else "completed", self.next, reason=reason, usage=usage)
        return Event.marked(_encode(body), self._marks(), None)

    def _marks(self) -> list[tuple[Channel, int]]:
        return [(channel, channel.end) for channel in self.channels.values()]

    def response(self, status: str, upto: int, *, reason: str | None = None, usage: Body | None = None) -> Body:
        """The response object after the event of this number."""
        cut = status != "in_progress"
        return {
            "id": f"resp_{self.naming.request}",
            "object": "response",
            "created_at": self.naming.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": reason} if status == "incomplete" else None,
            "instructions": None,
            "metadata": {},
            "model": self.naming.model,
            "output": [item.json(upto, cut=cut) for item in self.items if item.span[0] <= upto],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "tool_choice": "auto",
            "tools": [],
            **self.echo,
            "usage": usage,
        }

    def cut(self, upto: int, reason: str) -> Iterator[tuple[str, Body]]:
        """The events that end a stream of which the caller has this much: what is open, then the response itself."""
        for item in self.items:
            if item.span[0] <= upto < item.span[1]:
                for part in item.parts:
                    if part.span[0] <= upto < part.span[1]:
                        closing = part.closing(upto)
                        yield from closing[-1:] if upto == part.span[1] - 1 and len(closing) > 1 else closing
                yield "response.output_item.done", {"output_index": item.index, "item": item.json(upto, cut=True)}
        yield "response.incomplete", {"response": self.response("incomplete", upto, reason=reason)}

    def _new_part(self, item: Item, kind: PartKind, key: int) -> Part:
        self._parts += 1
        _, channel_kind, _, _, index = SHAPES[kind]
        place: Body = {"item_id": item.id, "output_index": item.index}
        if index:
            place[index] = sum(part.summary is (kind is PartKind.SUMMARY) for part in item.parts)
        # A call has its arguments from its own beginning: no event announces them.
        opened = self.next if index else item.span[0]
        part = Part(kind, key, self._channels_for(channel_kind, item), place, opened)
        item.parts.append(part)
        return part

    def _channels_for(self, kind: ChannelKind, item: Item) -> list[Channel]:
        """A channel of its own, and one with all texts of the kind: callers read them as one, and apart.

        The joined one begins with the second text, so that an answer with one text, the ordinary case, is judged once
        and its text is complete when its part ends.
        """
        if kind is ChannelKind.TOOL_ARGUMENTS:
            return [self._channel(ChannelId(0, kind, item.index))]
        count = self._counts.get(kind, 0)
        self._counts[kind] = count + 1
        own = self._channel(ChannelId(0, kind, count))
        if not count:
            return [own]
        joined = self.channels.get(ChannelId(_JOINED, kind))
        if joined is None:
            joined = self._channel(ChannelId(_JOINED, kind))
            joined.append(self.channels[ChannelId(0, kind)].text)
            self.touched.append(joined)
        return [own, joined]

    def _channel(self, channel_id: ChannelId) -> Channel:
        channel = self.channels[channel_id] = Channel(channel_id)
        return channel

    def _complete(self, channel: Channel) -> None:
        if not channel.complete:
            channel.complete = True
            if channel not in self.touched:
                self.touched.append(channel)

    def _event(self, name: str, body: Body, marks: list[tuple[Channel, int]] | None = None) -> Event:
        data = encode_event(name, self.next, body)
        seen = Seen(self, self.next)
        self.next += 1
        return Event.marked(data, marks or [], seen)


def encode_event(name: str, step: int, body: Body) -> bytes:
    """One event of a stream, with its name and its number."""
    return f"event: {name}\ndata: ".encode() + one_line({"type": name, "sequence_number": step, **body}) + b"\n\n"
