"""Every channel of every dialect's answer, as upstreams write them, and every reading that a caller may make of a body.

It is one file because the forms of all dialects are held against one another: what one has, each other must have or
say that it has not. Nothing here is written with the guard's own code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from safeguards.exchange import ChannelKind
from tests.parts import responses_server
from tests.parts.responses_server import Call, Item, Message, Reasoning

Events = list[Any]
Make = Callable[[str], dict[str, Any]]
CHAT, COMPLETIONS, RESPONSES = b"/v1/chat/completions", b"/v1/completions", b"/v1/responses"
EMBEDDINGS, MODERATIONS = b"/v1/embeddings", b"/v1/moderations"
MESSAGES, COUNT = b"/v1/messages", b"/v1/messages/count_tokens"
_DONE: Final = "[DONE]"
_USAGE: Final = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
_ESCAPE: Final = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])')


@dataclass(frozen=True, slots=True)
class Form:
    """One place of an answer: the events of a stream in which these pieces of a text come there, and the whole body."""

    kind: ChannelKind
    streamed: Callable[[Sequence[str]], Events]
    whole: Callable[[str], Any]
    json: bool = False


def encode(path: bytes, event: Any) -> bytes:
    """One event as an upstream of this route writes it."""
    if event == _DONE:
        return b"data: [DONE]\n\n"
    named = path in (MESSAGES, RESPONSES) and isinstance(event, dict) and isinstance(event.get("type"), str)
    return (f"event: {event['type']}\n" if named else "").encode() + f"data: {json.dumps(event)}\n\n".encode()


# OpenAI chat completions


def _chunk(delta: dict[str, Any], choice: int = 0, finish: str | None = None) -> dict[str, Any]:
    choices = [{"index": choice, "delta": delta, "finish_reason": finish, "logprobs": None}]
    return {"id": "up", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": choices}


def _chat_body(*messages: dict[str, Any]) -> dict[str, Any]:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": None, **each}, "finish_reason": "stop"}
        for index, each in enumerate(messages)
    ]
    return {"id": "up", "object": "chat.completion", "model": "up", "choices": choices, "usage": _USAGE}


def _tool(index: int, name: str | None = None, arguments: str | None = None) -> dict[str, Any]:
    function = {key: each for key, each in (("name", name), ("arguments", arguments)) if each is not None}
    return {"index": index, "id": "up", "type": "function", "function": function}


def _chat(kind: ChannelKind, delta: Make, message: Make | None = None, *, choice: int = 0, json: bool = False) -> Form:
    def streamed(pieces: Sequence[str]) -> Events:
        begin = [_chunk({"role": "assistant", "content": ""}, each) for each in range(choice + 1)]
        ends = [_chunk({}, each, "stop") for each in range(choice + 1)]
        return [*begin, *(_chunk(delta(piece), choice) for piece in pieces), *ends, _DONE]

    def whole(text: str) -> Any:
        return _chat_body(*[{"content": "fine"}] * choice, (message or delta)(text))

    return Form(kind, streamed, whole, json)


_CHAT: Final[Mapping[str, Form]] = {
    "content": _chat(ChannelKind.CONTENT, lambda text: {"content": text}, json=True),
    "content of a second choice": _chat(ChannelKind.CONTENT, lambda text: {"content": text}, choice=1, json=True),
    "reasoning_content": _chat(ChannelKind.REASONING, lambda text: {"reasoning_content": text}),
    "reasoning": _chat(ChannelKind.REASONING, lambda text: {"reasoning": text}),
    "refusal": _chat(ChannelKind.REFUSAL, lambda text: {"refusal": text}),
    "tool name": _chat(
        ChannelKind.TOOL_NAME,
        lambda text: {"tool_calls": [_tool(0, name=text)]},
        lambda text: {"tool_calls": [_tool(0, text, "{}")]},
    ),
    "tool arguments": _chat(
        ChannelKind.TOOL_ARGUMENTS,
        lambda text: {"tool_calls": [_tool(0, arguments=text)]},
        lambda text: {"tool_calls": [_tool(0, "f", text)]},
        json=True,
    ),
    "arguments of a second tool": _chat(
        ChannelKind.TOOL_ARGUMENTS,
        lambda text: {"tool_calls": [_tool(1, arguments=text)]},
        lambda text: {"tool_calls": [_tool(0, "f", "{}"), _tool(1, "g", text)]},
        choice=1,
        json=True,
    ),
}


# OpenAI text completions


def _completions(choice: int) -> Form:
    def piece(text: str, index: int = choice, finish: str | None = None) -> dict[str, Any]:
        choices = [{"index": index, "text": text, "finish_reason": finish, "logprobs": None}]
        return {"id": "up", "object": "text_completion", "created": 1, "model": "up", "choices": choices}

    def streamed(pieces: Sequence[str]) -> Events:
        ends = [piece("", each, "stop") for each in range(choice + 1)]
        return [piece("fine"), *(piece(each) for each in pieces), *ends, _DONE]

    def whole(text: str) -> Any:
        texts = [*["fine"] * choice, text]
        choices = [{"index": index, "text": each, "finish_reason": "stop"} for index, each in enumerate(texts)]
        return {"id": "up", "object": "text_completion", "model": "up", "choices": choices, "usage": _USAGE}

    return Form(ChannelKind.CONTENT, streamed, whole, json=True)


_COMPLETIONS: Final = {"text": _completions(0), "text of a second choice": _completions(1)}


# OpenAI responses


def _resliced(events: Events, pieces: Sequence[str]) -> Events:
    """The same stream, its longest run of deltas replaced by these pieces of the same text."""
    text = "".join(pieces)
    found: Events = []
    for event in events:
        if not event["type"].endswith(".delta"):
            found.append(event)
            continue
        before = found[-1] if found else {}
        if before.get("type") == event["type"]:
            before["delta"] += event["delta"]
        else:
            found.append(dict(event))
    sliced: Events = []
    for event in found:
        parts = pieces if event["type"].endswith(".delta") and event["delta"] == text else None
        sliced += [event] if parts is None else [{**event, "delta": part} for part in parts]
    return [{**event, "sequence_number": number} for number, event in enumerate(sliced)]


def _responses(kind: ChannelKind, items: Callable[[str], Sequence[Item]], *, json: bool = False) -> Form:
    def streamed(pieces: Sequence[str]) -> Events:
        return _resliced(responses_server.events(items("".join(pieces))), pieces)

    return Form(kind, streamed, lambda text: responses_server.response(items(text)), json)


_RESPONSES: Final[Mapping[str, Form]] = {
    "text": _responses(ChannelKind.CONTENT, lambda text: [Message([text])], json=True),
    "text of a second part": _responses(ChannelKind.CONTENT, lambda text: [Message(["fine", text])], json=True),
    "text of a second item": _responses(ChannelKind.CONTENT, lambda text: [Message(["a"]), Message([text])], json=True),
    "refusal": _responses(ChannelKind.REFUSAL, lambda text: [Message(["a"], text)]),
    "reasoning summary": _responses(ChannelKind.REASONING, lambda text: [Reasoning([text])]),
    "reasoning text": _responses(ChannelKind.REASONING, lambda text: [Reasoning(["a"], [text])]),
    "function name": _responses(ChannelKind.TOOL_NAME, lambda text: [Call(text, "{}")]),
    "function arguments": _responses(ChannelKind.TOOL_ARGUMENTS, lambda text: [Call("f", text)], json=True),
    "arguments of a second call": _responses(
        ChannelKind.TOOL_ARGUMENTS, lambda text: [Call("f", "{}"), Call("g", text)], json=True
    ),
}


# Anthropic messages


def _message_start() -> dict[str, Any]:
    message: dict[str, Any] = {"id": "up", "type": "message", "role": "assistant", "content": [], "stop_reason": None}
    usage = {"input_tokens": 3, "output_tokens": 1}
    return {"type": "message_start", "message": {**message, "model": "up", "stop_sequence": None, "usage": usage}}


def _block(index: int, block: dict[str, Any], *deltas: dict[str, Any]) -> Events:
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": each} for each in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _message_end() -> Events:
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}, {"type": "message_stop"}]


_TEXT: Final = {"type": "text", "text": ""}
_THINKING: Final = {"type": "thinking", "thinking": "", "signature": ""}


def _use(name: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": "up", "name": name, "input": given}


def _given(text: str) -> dict[str, Any]:
    """A tool's input as a document in the document: what the text says, if it is one."""
    return dict(json.loads(text)) if text.startswith("{") else {"a": {text: [text]}}


def _message_body(*blocks: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = _message_start()["message"]
    return {**message, "content": list(blocks), "stop_reason": "end_turn"}


def _messages(
    kind: ChannelKind,
    blocks: Callable[[Sequence[str]], Events],
    whole: Callable[[str], Sequence[dict[str, Any]]],
    *,
    json: bool = False,
) -> Form:
    def streamed(pieces: Sequence[str]) -> Events:
        return [_message_start(), *blocks(pieces), *_message_end()]

    return Form(kind, streamed, lambda text: _message_body(*whole(text)), json)


def _texts(index: int, pieces: Sequence[str]) -> Events:
    return _block(index, _TEXT, *({"type": "text_delta", "text": piece} for piece in pieces))


def _thoughts(pieces: Sequence[str], index: int = 0) -> Events:
    return _block(index, _THINKING, *({"type": "thinking_delta", "thinking": piece} for piece in pieces))


def _inputs(index: int, pieces: Sequence[str]) -> Events:
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return _block(index, _use("f", {}), *deltas)


_MESSAGES: Final[Mapping[str, Form]] = {
    "text": _messages(
        ChannelKind.CONTENT, lambda pieces: _texts(0, pieces), lambda text: [{**_TEXT, "text": text}], json=True
    ),
    "text of a second block": _messages(
        ChannelKind.CONTENT,
        lambda pieces: [*_texts(0, ["fine"]), *_texts(1, pieces)],
        lambda text: [{**_TEXT, "text": "fine"}, {**_TEXT, "text": text}],
        json=True,
    ),
    "text of a block's start": _messages(
        ChannelKind.CONTENT,
        lambda pieces: _block(0, {**_TEXT, "text": "".join(pieces)}),
        lambda text: [{**_TEXT, "text": text}],
        json=True,
    ),
    "thinking": _messages(ChannelKind.REASONING, _thoughts, lambda text: [{**_THINKING, "thinking": text}]),
    "tool name": _messages(
        ChannelKind.TOOL_NAME, lambda pieces: _block(0, _use("".join(pieces), {})), lambda text: [_use(text, {})]
    ),
    "tool input": _messages(
        ChannelKind.TOOL_ARGUMENTS,
        lambda pieces: _inputs(0, pieces),
        lambda text: [_use("f", _given(text))],
        json=True,
    ),
    "input of a second tool": _messages(
        ChannelKind.TOOL_ARGUMENTS,
        lambda pieces: [*_inputs(0, ["{}"]), *_inputs(1, pieces)],
        lambda text: [_use("f", {}), _use("g", _given(text))],
        json=True,
    ),
    "input of a block's start": _messages(
        ChannelKind.TOOL_ARGUMENTS,
        lambda pieces: _block(0, _use("f", _given("".join(pieces)))),
        lambda text: [_use("f", _given(text))],
        json=True,
    ),
}

FORMS: Final[Mapping[bytes, Mapping[str, Form]]] = {
    CHAT: _CHAT,
    COMPLETIONS: _COMPLETIONS,
    RESPONSES: _RESPONSES,
    MESSAGES: _MESSAGES,
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two places that a caller may read as one text: the stream and the whole body in which they hold these."""

    streamed: Callable[[str, str], Events]
    whole: Callable[[str, str], Any]


def _items(items: Callable[[str, str], Sequence[Item]]) -> Pair:
    return Pair(
        lambda first, second: responses_server.events(items(first, second)),
        lambda first, second: responses_server.response(items(first, second)),
    )


def _blocks(*kinds: str) -> Pair:
    """Blocks of these kinds, of which the first and the last hold the texts."""

    def block(index: int, kind: str, text: str) -> Events:
        if kind == "tool_use":
            return _inputs(index, ["{}"])
        return _texts(index, [text]) if kind == "text" else _thoughts([text], index)

    def texts(first: str, second: str) -> list[tuple[str, str]]:
        return list(zip(kinds, (first, *("",) * (len(kinds) - 2), second), strict=True))

    def streamed(first: str, second: str) -> Events:
        blocks = [block(index, *each) for index, each in enumerate(texts(first, second))]
        return [_message_start(), *(event for each in blocks for event in each), *_message_end()]

    def whole(first: str, second: str) -> Any:
        used = {"tool_use": _use("f", {}), "text": _TEXT, "thinking": _THINKING}
        pairs = texts(first, second)
        return _message_body(
            *(used[kind] if kind == "tool_use" else {**used[kind], kind: text} for kind, text in pairs)
        )

    return Pair(streamed, whole)


PAIRS: Final[Mapping[bytes, Mapping[str, Pair]]] = {
    RESPONSES: {
        "two parts": _items(lambda first, second: [Message([first, second])]),
        "two messages": _items(lambda first, second: [Message([first]), Message([second])]),
        "a call between": _items(lambda first, second: [Message([first]), Call("f", "{}"), Message([second])]),
        "two summaries": _items(lambda first, second: [Reasoning([first, second])]),
        "two reasonings": _items(lambda first, second: [Reasoning([], [first]), Reasoning([], [second])]),
    },
    MESSAGES: {
        "two texts": _blocks("text", "text"),
        "a call between": _blocks("text", "tool_use", "text"),
        "two thoughts": _blocks("thinking", "thinking"),
        "a text between": _blocks("thinking", "text", "thinking"),
        "two between": _blocks("text", "thinking", "tool_use", "text"),
    },
}
_ALL: Final = frozenset(ChannelKind)
# What a dialect has no word for.
LACKS: Final[Mapping[bytes, frozenset[ChannelKind]]] = {
    CHAT: frozenset(),
    COMPLETIONS: _ALL - {ChannelKind.CONTENT},
    RESPONSES: frozenset(),
    MESSAGES: frozenset({ChannelKind.REFUSAL}),
}
# Routes whose answers have no text channel at all, why, and what they answer to one input.
TEXTLESS: Final[Mapping[bytes, tuple[str, dict[str, Any]]]] = {
    EMBEDDINGS: (
        "vectors are numbers",
        {
            "object": "list",
            "model": "up",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        },
    ),
    MODERATIONS: (
        "verdicts are flags and scores of a closed list of categories",
        {
            "id": "up",
            "model": "up",
            "results": [
                {
                    "flagged": True,
                    "categories": {"violence": True, "up": False},
                    "category_scores": {"violence": 0.5, "up": 0.1},
                    "category_applied_input_types": {"violence": ["text"]},
                }
            ],
        },
    ),
    COUNT: ("a count is a number", {"input_tokens": 7, "context_management": {"original_input_tokens": 7}}),
}


def everything(path: bytes) -> Events:
    """A stream of this route in which every kind of place has a text."""
    if path == CHAT:
        deltas: list[dict[str, Any]] = [
            *({"role": "assistant", "content": "a"}, {"reasoning_content": "b"}, {"refusal": "c"}),
            {"tool_calls": [_tool(0, "f", "{}")]},
        ]
        end = {**_chunk({}, 0, "stop"), "usage": _USAGE, "service_tier": "up", "system_fingerprint": "up"}
        return [*(_chunk(each) for each in deltas), end, _DONE]
    if path == COMPLETIONS:
        return FORMS[path]["text"].streamed(["fine"])
    if path == RESPONSES:
        items = (Reasoning(["a"], ["b"]), Message(["c", "d"], "e"), Call("f", "{}"))
        return responses_server.events(items, status="incomplete", reason="max_output_tokens")
    tool = _inputs(2, ['{"a": "b"}'])
    return [_message_start(), {"type": "ping"}, *_thoughts(["a"]), *_texts(1, ["b"]), *tool, *_message_end()]


def everything_whole(path: bytes) -> Any:
    """The same in one piece."""
    if path in TEXTLESS:
        return TEXTLESS[path][1]
    if path == CHAT:
        message = {"content": "a", "reasoning_content": "b", "refusal": "c", "tool_calls": [_tool(0, "f", "{}")]}
        return _chat_body(message, {"content": "d", "annotations": [], "reasoning": "e"})
    if path == COMPLETIONS:
        return FORMS[path]["text"].whole("fine")
    if path == RESPONSES:
        return responses_server.response((Reasoning(["a"], ["b"]), Message(["c", "d"], "e"), Call("f", "{}")))
    return _message_body({**_THINKING, "thinking": "a"}, {**_TEXT, "text": "b"}, _use("f", {"a": "b"}))


def mutations(value: Any, text: str) -> Iterator[Any]:
    """The value with this text in the place of one leaf, or under a new key of one object; one at a time."""
    if isinstance(value, dict):
        for key, inner in value.items():
            for each in mutations(inner, text):
                yield {**value, key: each}
        yield {**value, "new_key": text}
        yield {**value, text: text}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for each in mutations(inner, text):
                yield [*value[:index], each, *value[index + 1 :]]
        yield [*value, text]
    else:
        yield text


# What a caller may read out of a body.


def readings(body: bytes) -> Iterator[str]:
    """The body, each text in it, and the texts of each place joined over all events: as they stand and unescaped.

    Escapes are undone as often as a tool might that finds documents in its documents.
    """
    for text in _texts_of(body):
        yield text
        for _ in range(3):
            if "\\" in text:
                text = _ESCAPE.sub(_letter, text)  # noqa: PLW2901 - the same text, read once more
                yield text


def _texts_of(body: bytes) -> Iterator[str]:
    whole = body.decode()
    yield whole
    joined: dict[tuple[Any, ...], str] = {}
    for line in whole.split("\n"):
        data = line.removeprefix("data: ")
        if data.startswith("{"):
            event = json.loads(data)
            for place, text in _leaves(event, _identity(event)):
                yield text
                joined[place] = joined.get(place, "") + text
    yield from joined.values()


def _identity(value: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(value.get(key) for key in ("type", "index", "output_index", "content_index", "summary_index"))


def _leaves(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield (*place, "key", key), key
            yield from _leaves(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            index = inner.get("index", number) if isinstance(inner, dict) else number
            yield from _leaves(inner, (*place, index))


def _letter(escape: re.Match[str]) -> str:
    return str(json.loads(f'"{escape[0]}"'))
