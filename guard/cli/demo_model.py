"""The demo's inference server: a scripted model that speaks OpenAI chat completions at a human pace.

It is for trying the guard without a real server; it understands three words in the last message: ``recite`` (a text
with the forbidden marker in its middle), ``count`` (a long answer, to have something to stop), and everything else.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL: Final = "demo-scripted"
PACE_SECONDS: Final = 0.05
_GREETING: Final = "Hello! I am a scripted model behind the guard. Every word of mine was inspected before you got it."
_RECITAL: Final = "Here is the text you asked for. It begins well, then comes FORBIDDEN-MARKER and some more after it."


def script(messages: list[dict[str, Any]]) -> list[str]:
    """Return the pieces of the answer to these messages; the marker comes in pieces too."""
    last = str(messages[-1].get("content", "")).lower() if messages else ""
    if "count" in last:
        return [f"{number} " for number in range(1, 2001)]
    text = _RECITAL if "recite" in last else _GREETING
    return [text[start : start + 4] for start in range(0, len(text), 4)]


async def _chat(request: Request) -> Response:
    asked = await request.json()
    pieces = script(asked["messages"])
    if asked.get("stream"):
        return StreamingResponse(_stream(pieces), media_type="text/event-stream")
    message = {"role": "assistant", "content": "".join(pieces[:200])}
    usage = {"prompt_tokens": 1, "completion_tokens": len(pieces), "total_tokens": len(pieces) + 1}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return JSONResponse(
        {"id": "x", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice], "usage": usage}
    )


async def _stream(pieces: list[str]) -> AsyncIterator[str]:
    for piece in pieces:
        yield _event({"content": piece}, None)
        await asyncio.sleep(PACE_SECONDS)
    yield _event({}, "stop")
    yield "data: [DONE]\n\n"


def _event(delta: dict[str, str], finish: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": MODEL, "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"


async def _models(_: Request) -> Response:
    return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


app = Starlette(
    routes=[
        Route("/v1/chat/completions", _chat, methods=["POST"]),
        Route("/v1/models", _models, methods=["GET"]),
        Route("/health", _health, methods=["GET"]),
    ]
)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
