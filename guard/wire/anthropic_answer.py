"""Answers of Anthropic messages: typed reading, channels, and events written anew from the parsed value.

A caller gets one block after another, numbered from 0, each with its start and its stop, whatever the upstream's order
of stops is (llama.cpp stops all of them at the end). Ids, model and stop reasons are ours; signatures never pass.
It is one file of more than 300 lines because the stream and the whole answer share how a block is read and written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from guard.wire.anthropic_shapes import (
    BLOCK_DELTA,
    BLOCK_START,
    BLOCK_STOP,
    MESSAGE,
    MESSAGE_DELTA,
    MESSAGE_START,
    MESSAGE_STOP,
    Block,
    End,
    Message,
    Usage,
)
from guard.wire.dialect import Event, Naming, Request
from guard.wire.sse import BadStream, EventReader, ServerEvent
from guard.wire.typed_answer import MAX_BODY, Gathered, TypedReader, check_model, one_line
from safeguards.exchange import Channel, ChannelId, ChannelKind

MAX_BLOCKS: Final = 256
STOP_REASONS: Final = frozenset(
    {
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
    }
)

quote: Final = msgspec.json.Encoder().encode
_S = TypeVar("_S", bound=Struct)

# Per kind of block: the channel of its text, the kind of its deltas, and where they hold the text.
_KINDS: Final[Mapping[str, tuple[ChannelKind, str, str]]] = {
    "text": (ChannelKind.CONTENT, "text_delta", "text"),
    "thinking": (ChannelKind.REASONING, "thinking_delta", "thinking"),
    "tool_use": (ChannelKind.TOOL_ARGUMENTS, "input_json_delta", "partial_json"),
}
# The channel in which all texts of a kind are joined, from the second on: callers read blocks as one text, and apart.
_JOINED: Final = 1
# Known and never passed on: a signature is opaque, a citation holds text beside the answer.
_SILENT: Final = frozenset({"signature_delta", "citations_delta"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller has of a stream: the block that is open, whether a stop reason came, and whether all is over."""

    open: int | None = None
    stopped: bool = False
    over: bool = False
    output_tokens: int = 0


def frame(name: str, value: Mapping[str, Any]) -> bytes:
    """Write one event; its name is its type."""
    return b"event: %s\ndata: " % name.encode() + one_line({"type": name, **value}) + b"\n\n"


def message(naming: Naming, content: list[Any], reason: str | None, sequence: str | None, usage: Any) -> dict[str, Any]:
    """Write the message's frame, under the request's own id."""
    return {
        "id": f"msg_{naming.request}",
        "type": "message",
        "role": "assistant",
        "model": naming.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": usage,
    }


class _Open:
    """One block: its number at the caller, and the channels in which its text grows (none: it is not passed on)."""

    __slots__ = ("channel", "delta", "field", "index", "joined", "kind", "name", "prefix", "upstream", "whole")

    def __init__(
        self, upstream: int, index: int, kind: str, channel: Channel | None, joined: Channel | None, name: str
    ) -> None:
        self.upstream = upstream
        self.index = index
        self.kind = kind
        self.channel = channel
        self.joined = joined
        self.name = name
        self.whole = False  # a tool's input came with the block's start: nothing may follow it
        _, self.delta, self.field = _KINDS.get(kind, (None, "", ""))
        head = b'{"type":"content_block_delta","index":%d,"delta":{"type":%b,%b:'
        self.prefix = b"event: content_block_delta\ndata: " + head % (index, quote(self.delta), quote(self.field))


class _Reader:
    """What both readers share: channels, counts, and how a block of the upstream becomes one of ours."""

    def __init__(self, request: Request, naming: Naming) -> None:
        """Begin; a stop sequence is named to the caller only if it is the caller's own."""
        self.naming = naming
        self.channels: dict[ChannelId, Channel] = {}
        self.touched: list[Channel] = []
        self.done = False
        self.dropped = 0
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self._sequences: frozenset[str] = frozenset(request.fields.get("stop_sequences", ()))
        self._input = [0, 0, 0]
        self._first: dict[ChannelKind, Channel] = {}

    def _read(self, form: TypedReader[_S], data: bytes) -> _S:
        value, dropped = form.read(data)
        self.dropped += dropped
        return value

    def _channel(self, kind: ChannelKind, index: int) -> Channel:
        channel_id = ChannelId(0, kind, index)
        channel = self.channels[channel_id] = Channel(channel_id)
        return channel

    def _append(self, channel: Channel, text: str) -> int:
        if not channel.fresh and channel not in self.touched:
            self.touched.append(channel)
        return channel.append(text)

    def _join(self, channel: Channel) -> Channel | None:
        """Find the channel in which this block's text is joined to those before it; None for the first of its kind."""
        kind = channel.id.kind
        first = self._first.setdefault(kind, channel)
        if first is channel or kind is ChannelKind.TOOL_ARGUMENTS:
            return None
        joined = self.channels.get(ChannelId(_JOINED, kind))
        if joined is None:
            joined = self.channels[ChannelId(_JOINED, kind)] = Channel(ChannelId(_JOINED, kind))
            self._append(joined, first.text)
        return joined

    def _complete_joined(self) -> None:
        for kind in self._first:
            joined = self.channels.get(ChannelId(_JOINED, kind))
            if joined is not None and not joined.complete:
                self._complete(joined)

    def _complete(self, channel: Channel) -> None:
        channel.complete = True
        if channel.end and channel not in self.touched:
            self.touched.append(channel)

    def _begin(
        self, block: Block, index: int
    ) -> tuple[dict[str, Any], Channel, Channel | None, list[tuple[Channel, int]], str]:
        """Open a block's channels; returns the empty block to write, them, marks, and the text that it came with."""
        marks: list[tuple[Channel, int]] = []
        written: dict[str, Any] = {"type": block.type}
        if block.type == "text":
            text = block.text or ""
            written["text"] = ""
        elif block.type == "thinking":
            text = block.thinking or ""
            written |= {"thinking": "", "signature": ""}
        else:
            if not block.name:
                raise BadStream("a tool call has no name")
            name = self._channel(ChannelKind.TOOL_NAME, index)
            marks.append((name, self._append(name, block.name)))
            self._complete(name)
            text = _json(block.input) if block.input else ""
            written |= {"id": f"toolu_{self.naming.request}_{index}", "name": block.name, "input": {}}
        channel = self._channel(_KINDS[block.type][0], index)
        joined = self._join(channel)
        if text:
            marks += [(each, self._append(each, text)) for each in (channel, joined) if each is not None]
        return written, channel, joined, marks, text

    def _reason(self, reason: str | None, sequence: str | None) -> tuple[str, str | None]:
        if reason is not None and reason not in STOP_REASONS:
            self.dropped += 1
            reason = None
        if sequence is not None and sequence not in self._sequences:
            self.dropped += 1
            sequence = None
        return reason or "end_turn", sequence

    def _usage(self, usage: Usage | None) -> dict[str, int]:
        """Take counts, each of which replaces the earlier; cached tokens are input like any other.

        What was cached is not told: a cache that callers share would answer what others have asked.
        """
        if usage is not None:
            found = (usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
            if any(count is not None for count in found):
                self._input = [before if now is None else now for before, now in zip(self._input, found, strict=True)]
                self.prompt_tokens = sum(self._input)
            if usage.output_tokens is not None:
                self.completion_tokens = usage.output_tokens
        return {"input_tokens": self.prompt_tokens or 0, "output_tokens": self.completion_tokens or 0}


class StreamReader(_Reader):
    """Reads a streamed answer; what the caller has is noted in each event's ``seen``."""

    def __init__(self, request: Request, naming: Naming) -> None:
        """Begin before the first event."""
        super().__init__(request, naming)
        self._events = EventReader()
        self._blocks: dict[int, _Open] = {}
        self._block: _Open | None = None
        self._count = 0
        self._seen: Seen | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Read a batch of bytes into events."""
        events = []
        for event in self._events.feed(data):
            if self.done:
                if event.data == b"[DONE]" and not event.name:  # OpenAI's terminator, which some servers add
                    continue
                raise BadStream("an event after the end")
            written = self._delta(event.data) if event.name == b"content_block_delta" else self._other(event)
            if written is not None:
                events.append(written)
        return events

    def finish(self) -> list[Event]:
        """The body has ended: only after ``message_stop`` is that an answer."""
        if not self.done:
            raise BadStream("the stream ended before its terminator")
        return []

    def _delta(self, data: bytes) -> Event | None:
        """The event that is nearly all of every stream: a piece of the open block's text."""
        value = self._read(BLOCK_DELTA, data)
        delta = value.delta
        block = self._block
        if block is None or block.upstream != value.index or delta.type != block.delta:
            if delta.type in _SILENT and value.index in self._blocks:
                return None
            raise BadStream("text that belongs to no open block of its kind")
        text = delta.text if block.kind == "text" else getattr(delta, block.field)
        if text is None or block.channel is None or block.whole:
            raise BadStream("a delta has no place or no text")
        channel = block.channel
        end = self._append(channel, text)
        data = block.prefix + one_line(text) + b"}}\n\n"
        joined = block.joined
        if joined is None:
            return Event(data, channel, end, seen=self._seen)
        return Event(data, channel, end, ((joined, self._append(joined, text)),), self._seen)

    def _other(self, event: ServerEvent) -> Event | None:
        name, data = event.name, event.data
        if name == b"ping":
            return None
        if name == b"error":
            raise BadStream("the upstream reports an error")
        if name == b"message_start":
            return self._message_start(self._read(MESSAGE_START, data).message)
        if self._seen is None:
            raise BadStream("an event before the message's start")
        if name == b"content_block_start":
            value = self._read(BLOCK_START, data)
            return self._block_start(value.index, value.content_block)
        if name == b"content_block_stop":
            return self._block_stop(self._read(BLOCK_STOP, data).index)
        if name == b"message_delta":
            ending = self._read(MESSAGE_DELTA, data)
            return self._message_delta(self._seen, ending.delta, ending.usage)
        if name == b"message_stop":
            self._read(MESSAGE_STOP, data)
            return self._message_stop(self._seen)
        if self.naming.lenient:
            self.dropped += 1
            return None
        raise BadStream("an event of a kind this dialect does not have")

    def _message_start(self, start: Message) -> Event:
        if self._seen is not None or start.content:
            raise BadStream("the message begins twice, or with content")
        check_model(self.naming, start.model)
        usage = self._usage(start.usage)
        self._seen = Seen(output_tokens=usage["output_tokens"])
        return Event(frame("message_start", {"message": message(self.naming, [], None, None, usage)}), seen=self._seen)

    def _block_start(self, upstream: int, block: Block) -> Event | None:
        if self._seen is None or self._seen.stopped:
            raise BadStream("a block after the end of the message")
        known = self._blocks.get(upstream)
        if known is not None:
            # llama.cpp begins a block again when its last piece comes with the end of the message.
            fresh = block.text or block.thinking or block.input
            if known is not self._block or known.kind != block.type or known.name != (block.name or "") or fresh:
                raise BadStream("a block begins twice")
            return None
        if len(self._blocks) >= MAX_BLOCKS:
            raise BadStream("the answer has too many blocks")
        stop = self._close()
        if block.type == "redacted_thinking":
            self._block = self._blocks[upstream] = _Open(upstream, -1, block.type, None, None, "")
            self.dropped += 1
            return Event(stop, seen=self._seen) if stop else None
        if block.type not in _KINDS:
            raise BadStream("a block of a kind that cannot be inspected")
        index = self._count
        self._count += 1
        written, channel, joined, marks, text = self._begin(block, index)
        opened = _Open(upstream, index, block.type, channel, joined, block.name or "")
        self._block = self._blocks[upstream] = opened
        data = stop + frame("content_block_start", {"index": index, "content_block": written})
        if text:
            opened.whole = block.type == "tool_use"
            data += opened.prefix + one_line(text) + b"}}\n\n"
        self._seen = replace(self._seen, open=index)
        return Event.marked(data, marks, self._seen)

    def _block_stop(self, upstream: int) -> Event | None:
        block = self._blocks.get(upstream)
        if block is None:
            raise BadStream("a block stops that never began")
        if block is not self._block:
            return None  # it was closed when the next began
        data = self._close()
        return Event(data, seen=self._seen) if data else None

    def _close(self) -> bytes:
        """Stop the open block, if there is one that the caller has."""
        block, self._block = self._block, None
        if block is None or block.channel is None or self._seen is None:
            return b""
        self._complete(block.channel)
        self._seen = replace(self._seen, open=None)
        return frame("content_block_stop", {"index": block.index})

    def _message_delta(self, seen: Seen, ending: End, counts: Usage | None) -> Event:
        if self._block is not None:
            raise BadStream("the message ends within a block")
        self._complete_joined()
        reason, sequence = self._reason(ending.stop_reason, ending.stop_sequence)
        usage = self._usage(counts)
        self._seen = replace(seen, stopped=True, output_tokens=usage["output_tokens"])
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        return Event(frame("message_delta", {"delta": delta, "usage": usage}), seen=self._seen)

    def _message_stop(self, seen: Seen) -> Event:
        if not seen.stopped:
            raise BadStream("the message stops without a reason")
        self.done = True
        self._seen = replace(seen, over=True)
        return Event(frame("message_stop", {}), seen=self._seen)


class WholeReader(_Reader):
    """Reads an answer that comes in one piece; its one event is the whole body."""

    def __init__(self, request: Request, naming: Naming, max_body: int = MAX_BODY) -> None:
        """Bound the body in bytes."""
        super().__init__(request, naming)
        self._body = Gathered(max_body)

    def feed(self, data: bytes) -> list[Event]:
        """Gather."""
        self._body.add(data)
        return []

    def finish(self) -> list[Event]:
        """Read the whole body; raises BadStream."""
        answer = self._read(MESSAGE, self._body.whole())
        check_model(self.naming, answer.model)
        if len(answer.content) > MAX_BLOCKS:
            raise BadStream("the answer has too many blocks")
        content: list[dict[str, Any]] = []
        marks: list[tuple[Channel, int]] = []
        for block in answer.content:
            if block.type == "redacted_thinking":
                self.dropped += 1
                continue
            if block.type not in _KINDS:
                raise BadStream("a block of a kind that cannot be inspected")
            written, channel, _, found, text = self._begin(block, len(content))
            self._complete(channel)
            marks += found
            if block.type == "tool_use":
                written["input"] = Raw(text.encode() or b"{}")
            else:
                written[block.type] = text
            content.append(written)
        self._complete_joined()
        reason, sequence = self._reason(answer.stop_reason, answer.stop_sequence)
        self.done = True
        body = message(self.naming, content, reason, sequence, self._usage(answer.usage))
        return [Event.marked(quote(body), marks, None)]


def _json(value: dict[str, Any]) -> str:
    try:
        return quote(value).decode()
    except (RecursionError, ValueError):
        raise BadStream("a tool's input cannot be written") from None
