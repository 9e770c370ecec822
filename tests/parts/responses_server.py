"""OpenAI's Responses API as the service speaks it: the events of a stream in their real order, and whole responses.

Everything is written from the published shapes, not with the guard's own code. `responds` makes a script for the
`ScriptedUpstream` of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.parts.upstream import LAST_CHUNK, STREAM_HEAD, Peer, Received, Script, answer, chunk

Event = dict[str, Any]
USAGE: Final = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
}
_PIECE: Final = 5


@dataclass(frozen=True, slots=True)
class Message:
    """A message with these texts as parts, then this refusal if it is not empty."""

    texts: Sequence[str] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A reasoning: summaries, as the service sends them, and the texts themselves, as open models do."""

    summaries: Sequence[str] = ()
    texts: Sequence[str] = ()


Item = Message | Call | Reasoning


def response(items: Sequence[Item], *, status: str = "completed", reason: str | None = None) -> dict[str, Any]:
    """A response object with these items as its output."""
    return {
        "id": "resp_upstream",
        "object": "response",
        "created_at": 1_111_111_111,
        "status": status,
        "background": False,
        "billing": {"payer": "developer"},
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": "upstream instructions",
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "upstream-model-2025",
        "output": [_item(place, item) for place, item in enumerate(items)],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": "medium", "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": USAGE if status in ("completed", "incomplete") else None,
        "user": None,
        "metadata": {"secret": "of the upstream"},
    }


def events(items: Sequence[Item], *, status: str = "completed", reason: str | None = None) -> list[Event]:
    """All events of the stream in which these items come."""
    begin = response((), status="in_progress")
    found: list[Event] = [
        {"type": "response.created", "response": begin},
        {"type": "response.in_progress", "response": begin},
    ]
    for place, item in enumerate(items):
        found += _item_events(place, item)
    found.append({"type": f"response.{status}", "response": response(items, status=status, reason=reason)})
    return [{**event, "sequence_number": number} for number, event in enumerate(found)]


def written(all_events: Sequence[Event]) -> bytes:
    """These events as the bytes of a body."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in all_events
    )


def sends_body(body: bytes) -> Script:
    """Answer every request with this body: a stream where one was asked for."""

    async def script(peer: Peer, request: Received) -> None:
        await peer.send(STREAM_HEAD, chunk(body) + LAST_CHUNK) if request.streamed else await peer.send(answer(body))

    return script


def responds(*items: Item) -> Script:
    """Answer every request with these items, one chunk for each event or whole."""

    async def script(peer: Peer, request: Received) -> None:
        if request.streamed:
            await peer.send(STREAM_HEAD, *(chunk(written([event])) for event in events(items)), LAST_CHUNK)
        else:
            await peer.send(answer(json.dumps(response(items)).encode()))

    return script


def _item_id(place: int, item: Item) -> str:
    return {Message: "msg", Call: "fc", Reasoning: "rs"}[type(item)] + f"_upstream_{place}"


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _content(item: Message) -> list[dict[str, Any]]:
    parts = [_text_part(text) for text in item.texts]
    return [*parts, {"type": "refusal", "refusal": item.refusal}] if item.refusal else parts


def _item(place: int, item: Item, *, done: bool = True) -> dict[str, Any]:
    head: dict[str, Any] = {"id": _item_id(place, item), "type": "message"}
    status = "completed" if done else "in_progress"
    if isinstance(item, Message):
        return head | {"status": status, "role": "assistant", "content": _content(item) if done else []}
    if isinstance(item, Call):
        arguments = item.arguments if done else ""
        call = {"call_id": f"call_upstream_{place}", "name": item.name, "arguments": arguments}
        return head | {"type": "function_call", "status": status} | call
    summary = [{"type": "summary_text", "text": text} for text in item.summaries] if done else []
    content = [{"type": "reasoning_text", "text": text} for text in item.texts] if done else []
    return head | {"type": "reasoning", "summary": summary, "content": content, "encrypted_content": "gAAAA-opaque"}


def _item_events(place: int, item: Item) -> Iterator[Event]:
    here: Event = {"item_id": _item_id(place, item), "output_index": place}
    yield {"type": "response.output_item.added", "output_index": place, "item": _item(place, item, done=False)}
    if isinstance(item, Call):
        yield from _deltas("function_call_arguments", here, item.arguments, "arguments")
    elif isinstance(item, Message):
        for index, part in enumerate(_content(item)):
            kind, key = (part["type"], "refusal" if part["type"] == "refusal" else "text")
            yield from _part("content_part", kind, {**here, "content_index": index}, part, key)
    else:
        for index, text in enumerate(item.summaries):
            part = {"type": "summary_text", "text": text}
            where = {**here, "summary_index": index}
            yield from _part("reasoning_summary_part", "reasoning_summary_text", where, part, "text")
        for index, text in enumerate(item.texts):
            part = {"type": "reasoning_text", "text": text}
            yield from _part("content_part", "reasoning_text", {**here, "content_index": index}, part, "text")
    yield {"type": "response.output_item.done", "output_index": place, "item": _item(place, item)}


def _part(part: str, stem: str, here: Event, whole: dict[str, Any], key: str) -> Iterator[Event]:
    yield {"type": f"response.{part}.added", **here, "part": {**whole, key: ""}}
    yield from _deltas(stem, here, whole[key], key)
    yield {"type": f"response.{part}.done", **here, "part": whole}


def _deltas(stem: str, here: Event, text: str, key: str) -> Iterator[Event]:
    more: Event = {"logprobs": []} if stem == "output_text" else {}
    for start in range(0, len(text), _PIECE):
        delta = text[start : start + _PIECE]
        yield {"type": f"response.{stem}.delta", **here, "delta": delta, **more, "obfuscation": "x" * (16 - len(delta))}
    yield {"type": f"response.{stem}.done", **here, **more, key: text}
