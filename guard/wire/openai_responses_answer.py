"""What both readers of a Responses answer share, and the reader of one that comes in one piece.

What the upstream sends becomes text in our own output; a text that it repeats is compared and must be the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from guard.wire.dialect import Event, Naming
from guard.wire.openai_responses_events import (
    RESPONSES,
    Details,
    UpstreamItem,
    UpstreamPart,
    UpstreamResponse,
    UpstreamUsage,
)
from guard.wire.openai_responses_items import Item, ItemKind, PartKind
from guard.wire.openai_responses_output import Output
from guard.wire.sse import BadStream
from guard.wire.typed_answer import MAX_BODY, Gathered, check_model

PARTS: Final = {kind.value: kind for kind in PartKind if kind is not PartKind.ARGUMENTS}
_ITEMS: Final = {kind.value: kind for kind in ItemKind}
_REASONS: Final = frozenset({"max_output_tokens", "content_filter"})
Said = list[tuple[str, str]]


class ResponseReader:
    """What both readers share: an upstream's items taken into the output, and its end."""

    def __init__(self, naming: Naming, echo: Mapping[str, Any]) -> None:
        """Begin; ``echo`` are the settings of the request that its response repeats."""
        self.output = Output(naming, echo)
        self.channels = self.output.channels
        self.touched = self.output.touched
        self.done = False
        self.dropped = 0
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None

    def open(self, upstream: UpstreamItem) -> list[Event]:
        """Begin an item like this one, without its texts."""
        kind = _ITEMS.get(upstream.type)
        if kind is None:
            raise BadStream("an item of a type that is not served")
        if kind is ItemKind.FUNCTION_CALL and not upstream.name:
            raise BadStream("a function call has no name")
        return self.output.open_item(kind, upstream.name or "" if kind is ItemKind.FUNCTION_CALL else "")

    def take(self, item: Item, upstream: UpstreamItem) -> list[Event]:
        """Take the texts of an item that the item does not have yet; those that it has must be the same."""
        said, have = texts_in(upstream), texts_of(item)
        if said[: len(have)] != have:
            raise BadStream("an item differs from its deltas")
        events = []
        for name, text in said[len(have) :]:
            if item is not self.output.item:
                raise BadStream("an item differs from its deltas")
            kind = PartKind(name)
            part = self.output.part
            if part is None or part.kind is not kind or part.ends:
                events += self.output.open_part(kind, next_key(item, kind))
            events.append(self.output.add(text))
        return events

    def end(self, response: UpstreamResponse, *, incomplete: bool) -> tuple[str | None, dict[str, Any] | None]:
        """Note the end; returns the reason for an incomplete response and the counts, as the caller gets them."""
        reason = None
        if incomplete:
            reason = response.incomplete_details.reason if response.incomplete_details is not None else None
            if reason not in _REASONS:
                self.dropped += reason is not None
                reason = None
        usage = response.usage
        if usage is not None:
            self.prompt_tokens = usage.input_tokens
            self.completion_tokens = usage.output_tokens
        self.done = True
        return reason, None if usage is None else _usage(usage)


class WholeReader(ResponseReader):
    """Reads an answer that comes in one piece; its one event is the whole body."""

    def __init__(self, naming: Naming, echo: Mapping[str, Any], max_body: int = MAX_BODY) -> None:
        """Bound the body in bytes."""
        super().__init__(naming, echo)
        self._body = Gathered(max_body)

    def feed(self, data: bytes) -> list[Event]:
        """Gather."""
        self._body.add(data)
        return []

    def finish(self) -> list[Event]:
        """Read the whole body."""
        response, self.dropped = RESPONSES.read(self._body.whole())
        if response.error is not None:
            raise BadStream("the upstream reports an error")
        check_model(self.output.naming, response.model)
        if response.output is None or response.status not in (None, "completed", "incomplete"):
            raise BadStream("the response is not finished")
        for upstream in response.output:
            self.open(upstream)
            self.take(self.output.items[-1], upstream)
            self.output.close_item(incomplete=upstream.status == "incomplete")
        incomplete = response.status == "incomplete"
        return [self.output.whole(*self.end(response, incomplete=incomplete), incomplete=incomplete)]


def text_of(part: UpstreamPart) -> str:
    """The text of a part, whatever the upstream calls it there."""
    return (part.refusal if part.type == PartKind.REFUSAL else part.text) or ""


def texts_in(item: UpstreamItem) -> Said:
    """All texts that an upstream's item repeats: a call's name and arguments, or its parts that are not empty."""
    if item.type == ItemKind.FUNCTION_CALL:
        said = [("name", item.name or ""), (PartKind.ARGUMENTS.value, item.arguments or "")]
    else:
        said = []
        for part in (*(item.summary or ()), *(item.content or ())):
            kind = PARTS.get(part.type)
            if kind is None or kind.item.value != item.type:
                raise BadStream("a part of a type that is not served")
            said.append((kind.value, text_of(part)))
    return [each for each in said if each[1]]


def texts_of(item: Item) -> Said:
    """The same of our own item: the summaries first, as they stand in it."""
    parts = sorted(item.parts, key=lambda part: not part.summary)
    said = [(part.kind.value, part.text()) for part in parts]
    if item.kind is ItemKind.FUNCTION_CALL:
        said.insert(0, ("name", item.name))
    return [each for each in said if each[1]]


def next_key(item: Item, kind: PartKind) -> int:
    """The index of the next part of an item, where the upstream gives none."""
    keys = [part.key for part in item.parts if part.summary is (kind is PartKind.SUMMARY)]
    return max(keys, default=-1) + 1


def _usage(usage: UpstreamUsage) -> dict[str, Any]:
    read = usage.input_tokens_details or Details()
    wrote = usage.output_tokens_details or Details()
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": read.cached_tokens,
            "cache_write_tokens": read.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": wrote.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
