"""Answers of OpenAI chat completions: typed reading, channels, and events written anew from the parsed value.

Nothing of the upstream's own words passes except the text of channels: ids, names, times and finish reasons are ours.
It is one file because the shapes and the two readers are one argument that nothing else gets through.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from guard.wire.dialect import Event, Naming
from guard.wire.repeated import Repeated
from guard.wire.sse import BadStream, EventReader
from guard.wire.typed_answer import MAX_BODY, Gathered, check_model, one_line
from safeguards.exchange import Channel, ChannelId, ChannelKind

MAX_CHOICES: Final = 8
MAX_CALLS: Final = 128
_FINISHES: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})
_FAILURES: Final = frozenset({"abort", "error"})
Dropped = Raw | UnsetType
# Numbers pass to the caller uninspected, so they are no longer than a count can be.
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class _Function(Struct, forbid_unknown_fields=True):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, forbid_unknown_fields=True):
    index: int | None = None
    id: Dropped = UNSET
    type: Dropped = UNSET
    function: _Function | None = None


class _Delta(Struct, forbid_unknown_fields=True):
    """A delta of a stream and a message of a whole answer: the same keys carry text in both."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None
    role: Dropped = UNSET
    annotations: Dropped = UNSET
    audio: None = None
    function_call: None = None


class _Choice(Struct, forbid_unknown_fields=True):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None
    logprobs: Dropped = UNSET
    stop_reason: Dropped = UNSET
    matched_stop: Dropped = UNSET
    token_ids: Dropped = UNSET


class _Usage(Struct):
    prompt_tokens: Count = 0
    completion_tokens: Count = 0


class _Answer(Struct, forbid_unknown_fields=True):
    """A chunk or a whole completion; what is typed `Dropped` is known of real servers and never passed on."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Dropped = UNSET
    id: Dropped = UNSET
    object: Dropped = UNSET
    created: Dropped = UNSET
    model: Any = None  # compared, never passed on
    system_fingerprint: Dropped = UNSET
    service_tier: Dropped = UNSET
    timings: Dropped = UNSET
    prompt_logprobs: Dropped = UNSET
    prompt_token_ids: Dropped = UNSET
    kv_transfer_params: Dropped = UNSET
    metadata: Dropped = UNSET
    sglext: Dropped = UNSET


class _RawDelta(Struct):
    content: Raw


class _RawChoice(Struct):
    delta: _RawDelta


class _RawAnswer(Struct):
    """A chunk that `_only_text` answered for: where its text stands."""

    choices: list[_RawChoice]


_DECODER: Final = msgspec.json.Decoder(_Answer)
_RAW: Final = msgspec.json.Decoder(_RawAnswer)
_ENCODER: Final = msgspec.json.Encoder()
_quote: Final = _ENCODER.encode


def _decode(data: bytes) -> tuple[_Answer, int]:
    """Decode strictly; where unknown keys stand in the way, drop and count them and decode the rest."""
    try:
        return _DECODER.decode(data), 0
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadStream("an event is not JSON") from None
    try:
        known, dropped = _prune(msgspec.json.decode(data), _Answer)
        return msgspec.convert(known, _Answer), dropped
    except msgspec.ValidationError:
        raise BadStream("an event has a field of the wrong type") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Of what the typed reading may skip, the whole reading sees all.
        raise BadStream("an event is not JSON") from None


_NESTED: Final[dict[tuple[type, str], type]] = {
    (_Answer, "choices"): _Choice,
    (_Choice, "delta"): _Delta,
    (_Choice, "message"): _Delta,
    (_Delta, "tool_calls"): _Call,
    (_Call, "function"): _Function,
}


def _prune(value: Any, kind: type[Struct]) -> tuple[Any, int]:
    if not isinstance(value, dict):
        return value, 0
    kept: dict[str, Any] = {}
    dropped = 0
    for key, item in value.items():
        if key not in kind.__struct_fields__:
            dropped += 1
            continue
        if kind.__annotations__[key] == "Dropped":
            if key == "error" and item is not None:
                kept[key] = Raw(b"0")
            continue
        nested = _NESTED.get((kind, key))
        if nested is None:
            kept[key] = item
        elif isinstance(item, list):
            pruned = [_prune(each, nested) for each in item]
            kept[key] = [each for each, _ in pruned]
            dropped += sum(count for _, count in pruned)
        else:
            kept[key], count = _prune(item, nested)
            dropped += count
    return kept, dropped


class _Reader:
    """What both readers share: the channels, and how a delta's texts go into them."""

    def __init__(self, naming: Naming, choices: int) -> None:
        self.naming = naming
        self._choices = choices
        self.channels: dict[ChannelId, Channel] = {}
        self.touched: list[Channel] = []
        self.done = False
        self.dropped = 0
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self._reasoning: dict[int, str] = {}
        self._named = False

    def _answer(self, data: bytes) -> _Answer:
        answer, dropped = _decode(data)
        self.dropped += dropped
        if answer.error is not UNSET and bytes(answer.error) != b"null":
            raise BadStream("the upstream reports an error")
        check_model(self.naming, answer.model)
        self._named = True
        if answer.usage is not None:
            self.prompt_tokens = answer.usage.prompt_tokens
            self.completion_tokens = answer.usage.completion_tokens
        return answer

    def _channel(self, channel_id: ChannelId) -> Channel:
        channel = self.channels.get(channel_id)
        if channel is None:
            channel = self.channels[channel_id] = Channel(channel_id)
        if channel.complete:
            raise BadStream("text after the end of its choice")
        if channel not in self.touched:
            self.touched.append(channel)
        return channel

    def _take(self, choice: int, delta: _Delta) -> tuple[dict[str, Any], list[tuple[Channel, int]]]:
        """Put a delta's texts into their channels; returns what may be written of it and the marks."""
        if not 0 <= choice < self._choices:
            raise BadStream("a choice index is out of range")
        written: dict[str, Any] = {}
        marks: list[tuple[Channel, int]] = []

        def text(kind: ChannelKind, value: str, part: int = 0) -> str:
            channel = self._channel(ChannelId(choice, kind, part))
            marks.append((channel, channel.append(value)))
            return value

        if delta.content is not None:
            written["content"] = text(ChannelKind.CONTENT, delta.content)
        other = delta.reasoning_content if delta.reasoning is None else delta.reasoning
        thought = delta.reasoning_content or other
        if thought is not None:
            # Two names for one text: a caller gets it under the first that came, or what was judged as one text could
            # be read as two. Some servers send both, with the same text.
            first = "reasoning_content" if delta.reasoning_content is not None else "reasoning"
            written[self._reasoning.setdefault(choice, first)] = text(ChannelKind.REASONING, thought)
            self.dropped += delta.reasoning is not None and delta.reasoning_content is not None
        if delta.refusal is not None:
            written["refusal"] = text(ChannelKind.REFUSAL, delta.refusal)
        if delta.tool_calls:
            calls = []
            parts: set[int] = set()
            for place, call in enumerate(delta.tool_calls):
                part = place if call.index is None else call.index
                if not 0 <= part < MAX_CALLS or part in parts or call.function is None:
                    raise BadStream("a tool call is not understood")
                parts.add(part)
                function = {}
                new = not any(
                    ChannelId(choice, kind, part) in self.channels
                    for kind in (ChannelKind.TOOL_NAME, ChannelKind.TOOL_ARGUMENTS)
                )
                if call.function.name is not None:
                    function["name"] = text(ChannelKind.TOOL_NAME, call.function.name, part)
                if call.function.arguments is not None:
                    function["arguments"] = text(ChannelKind.TOOL_ARGUMENTS, call.function.arguments, part)
                written_call: dict[str, Any] = {"index": part}
                if new:
                    written_call |= {"id": f"call_{self.naming.request}_{choice}_{part}", "type": "function"}
                calls.append(written_call | {"function": function})
            written["tool_calls"] = calls
        return written, marks

    def _complete(self, choice: int | None) -> None:
        for channel in self.channels.values():
            if not channel.complete and choice in (None, channel.id.choice):
                channel.complete = True
                if channel not in self.touched:
                    self.touched.append(channel)

    def _finish_reason(self, reason: str | None) -> str | None:
        if reason is None or reason in _FINISHES:
            return reason
        if reason in _FAILURES:
            raise BadStream("the upstream gave the answer up")
        self.dropped += 1
        return "stop"


def _only_text(answer: _Answer) -> str | None:
    """The text of a chunk that has nothing else: more content of the first choice."""
    if len(answer.choices) != 1 or answer.usage is not None:
        return None
    choice = answer.choices[0]
    delta = choice.delta
    if (
        choice.index == 0
        and choice.finish_reason is None
        and choice.message is None
        and delta is not None
        and delta.role is UNSET
        and delta.refusal is None
        and delta.reasoning_content is None
        and delta.reasoning is None
        and not delta.tool_calls
    ):
        return delta.content
    return None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the caller has of a stream: the choices that were begun and not finished."""

    unfinished: tuple[int, ...]


class StreamReader(_Reader):
    """Reads a streamed answer; one event of the upstream becomes one event to the caller."""

    def __init__(self, naming: Naming, choices: int = MAX_CHOICES) -> None:
        """Expect at most this many choices; everything constant in the stream's events is written once."""
        super().__init__(naming, choices)
        self._events = EventReader()
        self._repeated = Repeated()
        head = {
            "id": f"chatcmpl-{naming.request}",
            "object": "chat.completion.chunk",
            "created": naming.created,
            "model": naming.model,
        }
        self._head = b"data: " + _quote(head)[:-1] + b',"choices":'
        self._plain = self._head + b'[{"index":0,"delta":{"content":'
        self._content: Channel | None = None
        self._seen = Seen(())

    def feed(self, data: bytes) -> list[Event]:
        """Read a batch of bytes into events."""
        between = self._events.between and not self.done
        if between and (texts := self._repeated.texts(data)) is not None:
            return [self._plain_text(text) for text in texts]
        events = []
        dropped = self.dropped
        read = self._events.feed(data)
        for event in read:
            if self.done:
                raise BadStream("an event after the end")
            if event.name:
                if self.naming.lenient and event.name != b"error":
                    self.dropped += 1
                    continue
                raise BadStream("an event of a kind this dialect does not have")
            if event.data == b"[DONE]":
                if not self._named:  # nothing came before it
                    check_model(self.naming, None)
                self.done = True
                self._complete(None)
                events.append(Event(b"data: [DONE]\n\n"))
            else:
                answer = self._answer(event.data)
                text = _only_text(answer)
                if text is None:
                    events.append(self._any(answer))
                    continue
                events.append(self._plain_text(text))
                if between and len(read) == 1 and self._events.between and self.dropped == dropped:
                    self._learn(data, event.data)
        return events

    def _learn(self, read: bytes, event: bytes) -> None:
        """Take the next events for which it can be done by what this one, which a read brought alone, looks like."""
        if self._repeated.learns:
            # A member that is there twice may say something else at first, which is no text.
            with suppress(msgspec.ValidationError):
                self._repeated.learn(read, bytes(_RAW.decode(event).choices[0].delta.content))

    def finish(self) -> list[Event]:
        """The body has ended: only after ``[DONE]`` is that an answer."""
        if not self.done:
            raise BadStream("the stream ended before its terminator")
        return []

    def _plain_text(self, content: str) -> Event:
        """The event that is nearly all of every stream, without a dict or a loop."""
        channel = self._content
        if channel is None:
            channel = self._content = self._channel(ChannelId(0, ChannelKind.CONTENT))
            self._open(0)
        elif channel.complete:
            raise BadStream("text after the end of its choice")
        elif not channel.fresh and channel not in self.touched:
            self.touched.append(channel)
        end = channel.append(content)
        quoted = _quote(content) if content.isascii() else one_line(content)
        return Event(b'%b%b},"finish_reason":null}]}\n\n' % (self._plain, quoted), channel, end, (), self._seen)

    def _open(self, choice: int) -> None:
        """Note that the caller will have begun this choice."""
        if choice not in self._seen.unfinished:
            self._seen = Seen((*self._seen.unfinished, choice))

    def _any(self, answer: _Answer) -> Event:
        choices = []
        seen: set[int] = set()
        marks: list[tuple[Channel, int]] = []
        for choice in answer.choices:
            if choice.index in seen:
                # A caller who reads the first of them would join texts that were judged apart.
                raise BadStream("a choice comes twice in one event")
            seen.add(choice.index)
            self.dropped += choice.message is not None
            delta = choice.delta if choice.delta is not None else _Delta()
            written, found = self._take(choice.index, delta)
            marks += found
            if delta.role is not UNSET:
                written = {"role": "assistant", **written}
            reason = self._finish_reason(choice.finish_reason)
            if reason is None:
                self._open(choice.index)
            else:
                self._complete(choice.index)
                self._seen = Seen(tuple(index for index in self._seen.unfinished if index != choice.index))
                # A choice's end may not overtake its text.
                marks += [(each, each.end) for each in self.channels.values() if each.id.choice == choice.index]
            choices.append({"index": choice.index, "delta": written, "finish_reason": reason})
        data = self._head + one_line(choices)
        if answer.usage is not None:
            data += b',"usage":' + _quote(_usage(answer.usage))
        data += b"}\n\n"
        return Event.marked(data, marks, self._seen)


class WholeReader(_Reader):
    """Reads an answer that comes in one piece; its one event is the whole body."""

    def __init__(self, naming: Naming, choices: int = MAX_CHOICES, max_body: int = MAX_BODY) -> None:
        """Expect at most this many choices; bound the body in bytes."""
        super().__init__(naming, choices)
        self._body = Gathered(max_body)

    def feed(self, data: bytes) -> list[Event]:
        """Gather."""
        self._body.add(data)
        return []

    def finish(self) -> list[Event]:
        """Read the whole body."""
        answer = self._answer(self._body.whole())
        if not answer.choices:
            raise BadStream("the answer has no choices")
        choices = []
        seen: set[int] = set()
        marks: list[tuple[Channel, int]] = []
        for choice in answer.choices:
            if choice.message is None:
                raise BadStream("a choice has no message")
            if choice.index in seen:
                # Their texts would be judged as one text and read as two.
                raise BadStream("a choice comes twice")
            seen.add(choice.index)
            self.dropped += choice.delta is not None
            for place, call in enumerate(choice.message.tool_calls or ()):
                if call.index not in (None, place):
                    raise BadStream("a tool call is out of place")
            written, found = self._take(choice.index, choice.message)
            marks += found
            message = {"role": "assistant", "content": None, **written}
            for call in message.get("tool_calls") or ():
                del call["index"]
            reason = self._finish_reason(choice.finish_reason) or "stop"
            choices.append({"index": choice.index, "message": message, "finish_reason": reason})
        self._complete(None)
        self.done = True
        body: dict[str, Any] = {
            "id": f"chatcmpl-{self.naming.request}",
            "object": "chat.completion",
            "created": self.naming.created,
            "model": self.naming.model,
            "choices": choices,
        }
        if answer.usage is not None:
            body["usage"] = _usage(answer.usage)
        return [Event.marked(_quote(body), marks)]


def _usage(usage: _Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
