"""The items of a response and their parts: what they hold after each event, and how they are written.

Nothing of the upstream stands here except the text of channels and the names of functions, which are a channel too.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from safeguards.exchange import Channel, ChannelKind

NEVER: Final = 1 << 62
NOW: Final = NEVER - 1
_encode: Final = msgspec.json.Encoder().encode
Body = dict[str, Any]


class ItemKind(StrEnum):
    """The items that are served, by the type they have in the protocol."""

    MESSAGE = "message"
    FUNCTION_CALL = "function_call"
    REASONING = "reasoning"


class PartKind(StrEnum):
    """The texts of an item: its parts, by the type they have in the protocol, and a call's arguments."""

    TEXT = "output_text"
    REFUSAL = "refusal"
    REASONING = "reasoning_text"
    SUMMARY = "summary_text"
    ARGUMENTS = "arguments"

    @property
    def item(self) -> ItemKind:
        """The kind of item that has such parts."""
        return SHAPES[self][0]


# kind -> its item, its channel, the stem of its text's events, the stem of its part's events, the name of its index
SHAPES: Final[Mapping[PartKind, tuple[ItemKind, ChannelKind, str, str, str]]] = {
    PartKind.TEXT: (ItemKind.MESSAGE, ChannelKind.CONTENT, "output_text", "content_part", "content_index"),
    PartKind.REFUSAL: (ItemKind.MESSAGE, ChannelKind.REFUSAL, "refusal", "content_part", "content_index"),
    PartKind.REASONING: (
        *(ItemKind.REASONING, ChannelKind.REASONING),
        *("reasoning_text", "content_part", "content_index"),
    ),
    PartKind.SUMMARY: (
        *(ItemKind.REASONING, ChannelKind.REASONING),
        *("reasoning_summary_text", "reasoning_summary_part", "summary_index"),
    ),
    PartKind.ARGUMENTS: (ItemKind.FUNCTION_CALL, ChannelKind.TOOL_ARGUMENTS, "function_call_arguments", "", ""),
}
_PREFIXES: Final = {ItemKind.MESSAGE: "msg", ItemKind.FUNCTION_CALL: "fc", ItemKind.REASONING: "rs"}


class Part:
    """One text of an item; ``key`` is the upstream's index of it, ``place`` what its events carry to name it.

    ``channels`` are its own and, from the second text of a kind on, the one in which all of them are joined. The two
    arrays say how long the text was after which event.
    """

    __slots__ = ("channels", "ends", "head", "key", "kind", "place", "span", "steps")

    def __init__(self, kind: PartKind, key: int, channels: list[Channel], place: Body, opened: int) -> None:
        """Begin empty."""
        self.kind = kind
        self.key = key
        self.channels = channels
        self.place = place
        self.span = (opened, NEVER)
        self.steps = array("q")
        self.ends = array("q")
        more: Body = {"logprobs": []} if kind is PartKind.TEXT else {}
        name = f"response.{SHAPES[kind][2]}.delta"
        body = {"type": name, **place, **more}
        self.head = f"event: {name}\ndata: ".encode() + _encode(body)[:-1] + b',"sequence_number":'

    @property
    def summary(self) -> bool:
        """Whether it is counted among the summaries, not among the contents."""
        return self.kind is PartKind.SUMMARY

    def text(self, upto: int = NOW) -> str:
        """What the caller has of it once the event of this number has left."""
        count = bisect_right(self.steps, upto)
        return self.channels[0].text[: self.ends[count - 1]] if count else ""

    def marks(self) -> list[tuple[Channel, int]]:
        """How far its channels must be cleared for all of its text so far."""
        return [(channel, channel.end) for channel in self.channels]

    def json(self, upto: int = NOW) -> Body:
        """As it stands in an item."""
        text = self.text(upto)
        if self.kind is PartKind.TEXT:
            return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        return {"type": self.kind.value, "refusal" if self.kind is PartKind.REFUSAL else "text": text}

    def closing(self, upto: int = NOW) -> list[tuple[str, Body]]:
        """The events that end it."""
        _, _, text, part, _ = SHAPES[self.kind]
        key = {PartKind.REFUSAL: "refusal", PartKind.ARGUMENTS: "arguments"}.get(self.kind, "text")
        more: Body = {"logprobs": []} if self.kind is PartKind.TEXT else {}
        events = [(f"response.{text}.done", {**self.place, **more, key: self.text(upto)})]
        if part:
            events.append((f"response.{part}.done", {**self.place, "part": self.json(upto)}))
        return events


class Item:
    """One item of the output; ``index`` is its place in it."""

    __slots__ = ("id", "incomplete", "index", "kind", "name", "parts", "request", "span")

    def __init__(self, kind: ItemKind, index: int, request: str, name: str, opened: int) -> None:
        """Begin without parts."""
        self.kind = kind
        self.index = index
        self.request = request
        self.id = f"{_PREFIXES[kind]}_{request}_{index}"
        self.name = name
        self.parts: list[Part] = []
        self.span = (opened, NEVER)
        self.incomplete = False

    def part(self, key: int, *, summary: bool) -> Part | None:
        """The part that the upstream calls by this index."""
        return next((part for part in self.parts if part.key == key and part.summary is summary), None)

    def json(self, upto: int = NOW, *, cut: bool = False) -> Body:
        """As it is after the event of this number; ``cut`` says that what is open will not go on."""
        parts = [part for part in self.parts if part.span[0] <= upto]
        status = "incomplete" if cut else "in_progress"
        if self.span[1] <= upto:
            status = "incomplete" if self.incomplete else "completed"
        body: Body = {"id": self.id, "type": self.kind.value, "status": status}
        if self.kind is ItemKind.FUNCTION_CALL:
            arguments = "".join(part.text(upto) for part in parts)
            return body | {
                "call_id": f"call_{self.request}_{self.index}",
                "name": self.name,
                "arguments": arguments,
            }
        content = [part.json(upto) for part in parts if not part.summary]
        if self.kind is ItemKind.MESSAGE:
            return body | {"role": "assistant", "content": content}
        summary = [part.json(upto) for part in parts if part.summary]
        return body | {"summary": summary} | ({"content": content} if content else {})
