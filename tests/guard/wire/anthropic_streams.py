"""Anthropic streams for the tests: what an upstream says, and the real SDK reading what the guard makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import anthropic
import httpx2

from guard.wire.anthropic_answer import StreamReader, WholeReader
from guard.wire.dialect import Event, Naming, Request

NAMING: Final = Naming("0a1b", "fable", 1_790_000_000)
LEAK: Final = "LEAK-FROM-UPSTREAM"


def sse(name: str, value: Mapping[str, Any] | None = None) -> bytes:
    """One event as an upstream writes it."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **(value or {})})}\n\n".encode()


def begin(**usage: int) -> bytes:
    """The beginning of a message."""
    message = {"id": LEAK, "type": "message", "role": "assistant", "content": [], "model": LEAK}
    return sse("message_start", {"message": message | {"stop_reason": None, "stop_sequence": None, "usage": usage}})


def start(index: int, **block: object) -> bytes:
    """A block begins."""
    return sse("content_block_start", {"index": index, "content_block": block})


def delta(index: int, kind: str, **text: object) -> bytes:
    """A block grows."""
    return sse("content_block_delta", {"index": index, "delta": {"type": kind, **text}})


def stop(index: int) -> bytes:
    """A block stops."""
    return sse("content_block_stop", {"index": index})


def ending(reason: str | None = "end_turn", sequence: str | None = None, **usage: int) -> bytes:
    """The end of a message."""
    value = {"delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": usage or {"output_tokens": 7}}
    return sse("message_delta", value) + sse("message_stop")


FULL: Final = (
    begin(input_tokens=9, cache_read_input_tokens=13, output_tokens=1)
    + sse("ping")
    + start(0, type="thinking", thinking="", signature="")
    + delta(0, "thinking_delta", thinking="Let me see")
    + delta(0, "thinking_delta", thinking="… yes")
    + delta(0, "signature_delta", signature=LEAK)
    + stop(0)
    + start(1, type="text", text="")
    + delta(1, "text_delta", text="Grüße")
    + delta(1, "text_delta", text=" 🌞")
    + stop(1)
    + start(2, type="tool_use", id=LEAK, name="weather", input={})
    + delta(2, "input_json_delta", partial_json='{"city":"Ber')
    + delta(2, "input_json_delta", partial_json='lin","days":[1,2')
    + delta(2, "input_json_delta", partial_json="]}")
    + stop(2)
    + start(3, type="tool_use", id=LEAK, name="now", input={})
    + stop(3)
    + ending("tool_use")
)


def streaming(*stop_sequences: str) -> Request:
    """A request whose answer is streamed."""
    return Request("fable", True, (), {"stream": True, "stop_sequences": list(stop_sequences)})


def read(data: bytes, *stop_sequences: str) -> tuple[StreamReader, list[Event]]:
    """Read a stream in one piece."""
    reader = StreamReader(streaming(*stop_sequences), NAMING)
    return reader, reader.feed(data)


def whole(body: object) -> tuple[WholeReader, Event]:
    """Read a whole answer."""
    reader = WholeReader(Request("fable", False, (), {}), NAMING)
    assert reader.feed(json.dumps(body).encode()) == []
    (event,) = reader.finish()
    return reader, event


def texts(reader: StreamReader | WholeReader) -> dict[str, str]:
    """What was put into which channel."""
    return {str(channel.id): channel.text for channel in reader.channels.values() if channel.text}


def client(body: bytes, status: int = 200) -> anthropic.Anthropic:
    """The real SDK, of which every request gets this answer."""
    kind = "text/event-stream" if body.startswith(b"event:") else "application/json"

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": kind, "x-should-retry": "false"}, content=body)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(api_key="k", base_url="http://guard", http_client=http, max_retries=0)


ASK: Final[Any] = {"model": "fable", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}


def helper(body: bytes) -> anthropic.types.Message:
    """Read a stream with the SDK's stream helper, every event of it."""
    with client(body).messages.stream(**ASK) as stream:
        for _ in stream:
            assert stream.current_message_snapshot is not None
        return stream.get_final_message()


def raw_events(body: bytes) -> list[anthropic.types.RawMessageStreamEvent]:
    """Read a stream with the SDK's plain iterator."""
    found: list[anthropic.types.RawMessageStreamEvent] = list(client(body).messages.create(stream=True, **ASK))
    return found
