"""Answers of OpenAI text completions: one channel for each choice, and events written anew from the parsed value.

Nothing of the upstream's own words passes except the text of the choices: ids, names, times and reasons are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from msgspec import UNSET, Struct

from guard.wire.dialect import Event, Naming
from guard.wire.sse import BadStream, EventReader
from guard.wire.typed_answer import Count, Dropped, TypedReader, WholeAnswer, check_model, one_line
from safeguards.exchange import Channel, ChannelId, ChannelKind

MAX_CHOICES: Final = 32
_FINISHES: Final = frozenset({"stop", "length", "content_filter"})
_FAILURES: Final = frozenset({"abort", "error"})
_TAIL: Final = b',"logprobs":null,"finish_reason":null}]}\n\n'


class _Choice(Struct, forbid_unknown_fields=True):
    """A choice has the same shape in a stream and in a whole answer."""

    index: int = 0
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Dropped = UNSET
    stop_reason: Dropped = UNSET
    matched_stop: Dropped = UNSET
    token_ids: Dropped = UNSET
    prompt_token_ids: Dropped = UNSET
    prompt_logprobs: Dropped = UNSET
    hidden_states: Dropped = UNSET
    routed_experts: Dropped = UNSET
    weight_versions: Dropped = UNSET


class _Usage(Struct):
    prompt_tokens: Count = 0
    completion_tokens: Count | None = 0


class _Completion(Struct, forbid_unknown_fields=True):
    """A chunk or a whole completion; what is typed `Dropped` is known of real servers and never passed on."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None
    id: Dropped = UNSET
    object: Dropped = UNSET
    created: Dropped = UNSET
    model: Any = None  # compared, never passed on
    system_fingerprint: Dropped = UNSET
    service_tier: Dropped = UNSET
    timings: Dropped = UNSET
    metrics: Dropped = UNSET
    kv_transfer_params: Dropped = UNSET
    ec_transfer_params: Dropped = UNSET
    metadata: Dropped = UNSET
    sglext: Dropped = UNSET


_COMPLETIONS: Final = TypedReader(_Completion)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller of a stream still waits for: the choices that have not been finished."""

    unfinished: tuple[int, ...]


class StreamReader:
    """Reads a streamed answer; one event of the upstream becomes one event to the caller."""

    def __init__(self, naming: Naming, choices: int) -> None:
        """Expect this many choices; everything constant in their events is written once."""
        self.naming = naming
        self.channels: dict[ChannelId, Channel] = {}
        self.touched: list[Channel] = []
        self.done = False
        self.dropped = 0
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.named = False
        self._events = EventReader()
        self._choices = [Channel(ChannelId(index, ChannelKind.CONTENT)) for index in range(choices)]
        self._seen = Seen(tuple(range(choices)))
        self._head = b"data: " + one_line(head(naming))[:-1] + b',"choices":['
        self._heads = [self._head + b'{"index":%d,"text":' % index for index in range(choices)]

    def feed(self, data: bytes) -> list[Event]:
        """Read a batch of bytes into events."""
        events = []
        for event in self._events.feed(data):
            if self.done:
                raise BadStream("an event after the end")
            if event.name:
                if self.naming.lenient and event.name != b"error":
                    self.dropped += 1
                    continue
                raise BadStream("an event of a kind this dialect does not have")
            if event.data == b"[DONE]":
                if not self.named:  # nothing came before it
                    check_model(self.naming, None)
                self.done = True
                self._seen = Seen(())
                for channel in self._choices:
                    self._complete(channel)
                events.append(Event(b"data: [DONE]\n\n", seen=self._seen))
            elif event.data == b"null":  # llama.cpp begins the answer to a list of prompts with it
                self.dropped += 1
            else:
                events.append(self._event(event.data))
        return events

    def finish(self) -> list[Event]:
        """The body has ended: only after ``[DONE]`` is that an answer."""
        if not self.done:
            raise BadStream("the stream ended before its terminator")
        return []

    def _event(self, read: bytes) -> Event:
        answer = _read(self, read)
        if len(answer.choices) == 1 and answer.usage is None:
            choice = answer.choices[0]
            if choice.finish_reason is None and choice.text is not None:  # nearly all of every stream
                channel, end = self._take(choice.index, choice.text)
                data = self._heads[choice.index] + one_line(choice.text) + _TAIL
                return Event(data, channel, end, (), self._seen)
        written_choices = []
        marks: list[tuple[Channel, int]] = []
        for choice in answer.choices:
            text = choice.text or ""
            mark = self._take(choice.index, text)
            marks.append(mark)
            reason = _reason(self, choice.finish_reason)
            if reason is not None:
                self._complete(mark[0])
                self._seen = Seen(tuple(index for index in self._seen.unfinished if index != choice.index))
            written_choices.append(one_line(_written(choice.index, text, reason)))
        data = self._head + b",".join(written_choices) + b"]"
        if answer.usage is not None:
            data += b',"usage":' + one_line(_usage(answer.usage))
        return Event.marked(data + b"}\n\n", marks, self._seen)

    def _take(self, index: int, text: str) -> tuple[Channel, int]:
        if not 0 <= index < len(self._choices):
            raise BadStream("a choice index is out of range")
        channel = self._choices[index]
        if channel.complete:
            raise BadStream("text after the end of its choice")
        self.channels[channel.id] = channel
        if channel not in self.touched:
            self.touched.append(channel)
        return channel, channel.append(text)

    def _complete(self, channel: Channel) -> None:
        if channel.id in self.channels and not channel.complete:
            channel.complete = True
            if channel not in self.touched:
                self.touched.append(channel)


class WholeReader(WholeAnswer):
    """Reads an answer that comes in one piece."""

    def __init__(self, naming: Naming, choices: int) -> None:
        """Expect at most this many choices; a server that knows no ``n`` gives fewer."""
        super().__init__(naming)
        self.named = False
        self._limit = choices

    def _read(self, body: bytes) -> Event:
        answer = _read(self, body)
        if not answer.choices:
            raise BadStream("the answer has no choices")
        written = []
        for choice in sorted(answer.choices, key=attrgetter("index")):
            if not 0 <= choice.index < self._limit:
                raise BadStream("a choice index is out of range")
            if choice.text is None:
                raise BadStream("a choice has no text")
            channel = Channel(ChannelId(choice.index, ChannelKind.CONTENT))
            if channel.id in self.channels:
                # Their texts would be judged as one text and read as two.
                raise BadStream("a choice comes twice")
            channel.append(choice.text)
            channel.complete = True
            self.channels[channel.id] = channel
            self.touched.append(channel)
            written.append(_written(choice.index, choice.text, _reason(self, choice.finish_reason) or "stop"))
        whole: dict[str, Any] = {**head(self.naming), "choices": written}
        if answer.usage is not None:
            whole["usage"] = _usage(answer.usage)
        return Event.marked(one_line(whole), [(channel, channel.end) for channel in self.touched], None)


def head(naming: Naming) -> dict[str, object]:
    """What every piece of an answer begins with; nothing of it comes from the upstream."""
    return {
        "id": f"cmpl-{naming.request}",
        "object": "text_completion",
        "created": naming.created,
        "model": naming.model,
    }


def _read(reader: StreamReader | WholeReader, data: bytes) -> _Completion:
    answer, dropped = _COMPLETIONS.read(data)
    reader.dropped += dropped
    if answer.error is not None:
        raise BadStream("the upstream reports an error")
    check_model(reader.naming, answer.model)
    reader.named = True
    if answer.usage is not None:
        reader.prompt_tokens = answer.usage.prompt_tokens
        reader.completion_tokens = answer.usage.completion_tokens or 0
    return answer


def _reason(reader: StreamReader | WholeReader, reason: str | None) -> str | None:
    if reason is None or reason in _FINISHES:
        return reason
    if reason in _FAILURES:
        raise BadStream("the upstream gave the answer up")
    reader.dropped += 1
    return "stop"


def _written(index: int, text: str, reason: str | None) -> dict[str, object]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def _usage(usage: _Usage) -> dict[str, int]:
    completion = usage.completion_tokens or 0
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": usage.prompt_tokens + completion,
    }
