"""What the scripted model server says, in the protocol of the path it is asked on, so that one script serves all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from tests.guard.wire import anthropic_streams as messages
from tests.parts import responses_server as responses
from tests.parts.upstream import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    Gate,
    Peer,
    Received,
    Script,
    answer,
    chunk,
    completion,
    delta,
    event,
    stream_body,
    text,
)

Pieces = Callable[[str, str], tuple[bytes, bytes]]
_USAGE: Final = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def speaks(gate: Gate, first: str, rest: str, *, hold: bool = False, die: bool = False) -> Script:
    """Stream the first text, wait at the gate, stream the rest or ``die``; whole answers wait only to ``hold``."""

    async def script(peer: Peer, request: Received) -> None:
        path = request.head.split(b" ", 2)[1]
        if not request.streamed:
            if hold:
                await gate.passed(peer)
            await (peer.send(b"HTTP/1.1 200 OK\r\n") if die else peer.send(answer(_WHOLE[path](first + rest))))
        else:
            opening, after = _STREAMS[path](first, rest)
            await peer.send(STREAM_HEAD, chunk(opening))
            await gate.passed(peer)
            await (peer.send(b"") if die else peer.send(chunk(after) + LAST_CHUNK))
        if die:
            peer.writer.close()

    return script


def _chat(first: str, rest: str) -> tuple[bytes, bytes]:
    return text(first), stream_body(rest) if rest else delta({}, finish="stop") + DONE


def _completions(first: str, rest: str) -> tuple[bytes, bytes]:
    return event(_choice(first, None)), event(_choice(rest, "stop")) + DONE


def _choice(content: str, finish: str | None) -> dict[str, object]:
    return {"id": "up", "choices": [{"index": 0, "text": content, "finish_reason": finish}]}


def _messages(first: str, rest: str) -> tuple[bytes, bytes]:
    opening = messages.begin(input_tokens=3, output_tokens=1) + messages.start(0, type="text", text="")
    more = messages.delta(0, "text_delta", text=rest) if rest else b""
    return opening + messages.delta(0, "text_delta", text=first), more + messages.stop(0) + messages.ending()


def _responses(first: str, rest: str) -> tuple[bytes, bytes]:
    every = responses.events([responses.Message((first + rest,))])
    came = ""
    for place, each in enumerate(every, 1):
        if each["type"] == "response.output_text.delta":
            came += each["delta"]
            if len(came) >= len(first):
                return responses.written(every[:place]), responses.written(every[place:])
    raise AssertionError("the first text is not in the stream")


def _message(content: str) -> bytes:
    usage = {"input_tokens": 3, "output_tokens": 5}
    blocks = [{"type": "text", "text": content}]
    message = {"id": "up", "type": "message", "role": "assistant", "model": "up", "content": blocks}
    return json.dumps({**message, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}).encode()


_STREAMS: Final[Mapping[bytes, Pieces]] = {
    b"/v1/chat/completions": _chat,
    b"/v1/completions": _completions,
    b"/v1/messages": _messages,
    b"/v1/responses": _responses,
}
_WHOLE: Final[Mapping[bytes, Callable[[str], bytes]]] = {
    b"/v1/chat/completions": completion,
    b"/v1/completions": lambda said: json.dumps({**_choice(said, "stop"), "usage": _USAGE}).encode(),
    b"/v1/messages": _message,
    b"/v1/responses": lambda said: json.dumps(responses.response([responses.Message((said,))])).encode(),
}
