"""Streams of OpenAI's Responses API: what the upstream announces and repeats becomes our own events.

Upstreams differ in what they announce, so announcing is ours: an item or a part ends where the next begins, and what
repeats a text (the ``done`` events, the last response) is compared and dropped. A difference ends the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from guard.wire.dialect import Event, Naming
from guard.wire.openai_responses_answer import PARTS, ResponseReader, next_key, text_of, texts_in, texts_of
from guard.wire.openai_responses_events import EVENTS, UpstreamEvent, UpstreamPart
from guard.wire.openai_responses_items import Item, Part, PartKind
from guard.wire.sse import BadStream, EventReader
from guard.wire.typed_answer import MAX_BODY, check_model

_TEXTS: Final[Mapping[str, PartKind]] = {
    "response.output_text": PartKind.TEXT,
    "response.refusal": PartKind.REFUSAL,
    "response.reasoning_text": PartKind.REASONING,
    "response.reasoning_summary_text": PartKind.SUMMARY,
    "response.function_call_arguments": PartKind.ARGUMENTS,
}
_DELTAS: Final = {f"{stem}.delta": kind for stem, kind in _TEXTS.items()}
_DONES: Final = {f"{stem}.done": kind for stem, kind in _TEXTS.items()}


class StreamReader(ResponseReader):
    """Reads a streamed answer."""

    def __init__(self, naming: Naming, echo: Mapping[str, Any]) -> None:
        """Begin; ``echo`` are the settings of the request that its response repeats."""
        super().__init__(naming, echo)
        self._events = EventReader(MAX_BODY)  # the last event is a whole body
        self._lenient = naming.lenient
        self._begun = False
        self._terminated = False
        self._by_index: dict[int, Item] = {}
        self._by_id: dict[str, Item] = {}
        self._others: Final[Mapping[str, Callable[[UpstreamEvent], list[Event]]]] = {
            "response.in_progress": lambda _: [],
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            "response.content_part.added": self._part_added,
            "response.content_part.done": self._part_done,
            "response.reasoning_summary_part.added": self._part_added,
            "response.reasoning_summary_part.done": self._part_done,
            # vLLM's name for the same events of a reasoning's content
            "response.reasoning_part.added": self._part_added,
            "response.reasoning_part.done": self._part_done,
            "response.completed": self._completed,
            "response.incomplete": self._completed,
        }

    def feed(self, data: bytes) -> list[Event]:
        """Read a batch of bytes into events."""
        events: list[Event] = []
        for event in self._events.feed(data):
            if event.data == b"[DONE]" and not event.name and self.done and not self._terminated:
                self._terminated = True  # OpenAI sends none; vLLM and SGLang do
                continue
            if self.done:
                raise BadStream("an event after the end")
            upstream, dropped = EVENTS.read(event.data)
            self.dropped += dropped
            if event.name and event.name != upstream.type.encode(errors="replace"):
                raise BadStream("an event has two names")
            events += self._event(upstream)
        return events

    def finish(self) -> list[Event]:
        """The body has ended: only after the response's own end is that an answer."""
        if not self.done:
            raise BadStream("the stream ended before its terminator")
        return []

    def _event(self, event: UpstreamEvent) -> list[Event]:
        kind = _DELTAS.get(event.type)
        if kind is not None and self._begun and event.error is None and event.response is None:
            return self._delta(event, kind)
        if event.type in ("error", "response.failed") or event.error is not None:
            raise BadStream("the upstream reports an error")
        if event.response is not None and event.response.error is not None:
            raise BadStream("the upstream reports an error")
        if event.response is not None or event.type == "response.created":
            check_model(self.output.naming, None if event.response is None else event.response.model)
        if event.type == "response.created" and not self._begun:
            self._begun = True
            return self.output.begin()
        if not self._begun:
            raise BadStream("the stream does not begin with its response")
        if kind is not None:
            return self._delta(event, kind)
        kind = _DONES.get(event.type)
        if kind is not None:
            text = {PartKind.REFUSAL: event.refusal, PartKind.ARGUMENTS: event.arguments}.get(kind, event.text)
            return self._settle(event, kind, text)
        other = self._others.get(event.type)
        if other is None:
            if self._lenient:
                self.dropped += 1
                return []
            raise BadStream("an event of a kind this dialect does not have")
        return other(event)

    def _delta(self, event: UpstreamEvent, kind: PartKind) -> list[Event]:
        if event.delta is None:
            raise BadStream("a delta has no text")
        output = self.output
        item = self._item(event)
        if item is not output.item:
            raise BadStream("text after the end of its item")
        part = output.part
        key = event.summary_index if kind is PartKind.SUMMARY else event.content_index
        if part is not None and part.kind is kind and key in (None, part.key):
            return [output.add(event.delta)]
        if kind is PartKind.ARGUMENTS:
            raise BadStream("arguments outside of a function call")
        return [*self._new_part(item, kind, key), output.add(event.delta)]

    def _item(self, event: UpstreamEvent) -> Item:
        """The item that an event is about: by its index, else by its id, else the open one."""
        if event.output_index is not None:
            item = self._by_index.get(event.output_index)
        elif event.item_id is not None:
            item = self._by_id.get(event.item_id)
        else:
            item = self.output.item
        if item is None:
            raise BadStream("an event is about no item")
        return item

    def _item_added(self, event: UpstreamEvent) -> list[Event]:
        upstream = event.item
        if upstream is None:
            raise BadStream("an item is missing")
        if event.output_index in self._by_index:
            raise BadStream("an item comes twice")
        events = self.open(upstream)
        item = self.output.items[-1]
        if event.output_index is not None:
            self._by_index[event.output_index] = item
        for name in (upstream.id, upstream.call_id):  # llama.cpp names a function call by its call's id
            if name:
                self._by_id[name] = item
        return events + self.take(item, upstream)

    def _item_done(self, event: UpstreamEvent) -> list[Event]:
        upstream = event.item
        if upstream is None:
            raise BadStream("an item is missing")
        if event.output_index is None and event.item_id is None:
            event.item_id = upstream.id or upstream.call_id
        item = self._item(event)
        if item.kind.value != upstream.type:
            raise BadStream("an item changes its type")
        events = self.take(item, upstream)
        if len(texts_in(upstream)) != len(texts_of(item)):
            raise BadStream("an item differs from its deltas")
        if item is self.output.item:
            events += self.output.close_item(incomplete=upstream.status == "incomplete")
        return events

    def _part_added(self, event: UpstreamEvent) -> list[Event]:
        upstream, kind = _part(event)
        item = self._item(event)
        key = event.summary_index if kind is PartKind.SUMMARY else event.content_index
        if item is not self.output.item:
            raise BadStream("a part after the end of its item")
        events = self._new_part(item, kind, key)
        text = text_of(upstream)
        return [*events, self.output.add(text)] if text else events

    def _part_done(self, event: UpstreamEvent) -> list[Event]:
        upstream, kind = _part(event)
        return self._settle(event, kind, text_of(upstream))

    def _new_part(self, item: Item, kind: PartKind, key: int | None) -> list[Event]:
        if key is None:
            key = next_key(item, kind)
        elif item.part(key, summary=kind is PartKind.SUMMARY) is not None:
            raise BadStream("a part comes twice")
        return self.output.open_part(kind, key)

    def _settle(self, event: UpstreamEvent, kind: PartKind, text: str | None) -> list[Event]:
        """End a part whose text is repeated; a text of which no delta came is taken as one."""
        item = self._item(event)
        key = event.summary_index if kind is PartKind.SUMMARY else event.content_index
        part: Part | None
        if kind is PartKind.ARGUMENTS or key is None:
            part = next((each for each in reversed(item.parts) if each.kind is kind), None)
        else:
            part = item.part(key, summary=kind is PartKind.SUMMARY)
        events = []
        if part is None and item is self.output.item and kind is not PartKind.ARGUMENTS:
            events = self._new_part(item, kind, key)
            part = self.output.part
        if part is None or part.kind is not kind:
            raise BadStream("an event is about no part")
        if part is self.output.part and text and not part.ends:
            events.append(self.output.add(text))
        if text is not None and text != part.text():
            raise BadStream("a text differs from its deltas")
        return events + (self.output.close_part() if part is self.output.part else [])

    def _completed(self, event: UpstreamEvent) -> list[Event]:
        response = event.response
        if response is None or response.status not in (None, "completed", "incomplete"):
            raise BadStream("the response ends in no proper way")
        if response.output is not None:
            said = [texts_in(item) for item in response.output]
            have = [texts_of(item) for item in self.output.items]
            if [each for each in said if each] != [each for each in have if each]:
                raise BadStream("the response differs from its deltas")
        incomplete = event.type == "response.incomplete" or response.status == "incomplete"
        return self.output.end(*self.end(response, incomplete=incomplete), incomplete=incomplete)


def _part(event: UpstreamEvent) -> tuple[UpstreamPart, PartKind]:
    part = event.part
    kind = None if part is None else PARTS.get(part.type)
    if part is None or kind is None:
        raise BadStream("a part of a type that is not served")
    return part, kind
