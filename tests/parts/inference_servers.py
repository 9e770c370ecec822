"""Played inference servers: their pages, their routes' methods, their key checks, on a scripted upstream."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Final

from guard.policy.model import ServerKind
from tests.parts.upstream import Peer, Received, Script, answer

Pages = Mapping[str, object]


def listing(*models: str, owner: str = "somebody") -> dict[str, object]:
    """A list of models in OpenAI's form."""
    return {"object": "list", "data": [{"id": each, "object": "model", "owned_by": owner} for each in models]}


def plays(pages: Pages, acting: Collection[str] = (), *, key: str = "", guarded: tuple[str, ...] = ("/",)) -> Script:
    """Answer GET on ``pages`` (JSON) and 405 to other methods there and on the ``acting`` routes; 404 elsewhere.

    With a ``key``, every path that begins with one of ``guarded`` asks for it before anything else.
    """

    async def script(peer: Peer, request: Received) -> None:
        method, path = request.head.split(b" ")[:2]
        here = path.decode()
        if key and here.startswith(guarded) and f"authorization: Bearer {key}\r\n".encode() not in request.head:
            await peer.send(answer(b'{"error":"unauthorized"}', status="401 Unauthorized"))
        elif method == b"GET" and here in pages:
            await peer.send(answer(json.dumps(pages[here]).encode()))
        elif here in pages or here in acting:
            await peer.send(answer(b"{}", status="405 Method Not Allowed"))
        else:
            await peer.send(answer(b"{}", status="404 Not Found"))

    return script


CHAT: Final = "/v1/chat/completions"
SERVERS: Final[Mapping[ServerKind, tuple[Pages, tuple[str, ...]]]] = {
    ServerKind.VLLM: (
        {"/v1/models": listing("org/Chat-7B", owner="vllm"), "/version": {"version": "0.33.0"}, "/metrics": ""},
        (CHAT, "/tokenize", "/v1/completions", "/invocations", "/v1/load_lora_adapter", "/collective_rpc"),
    ),
    ServerKind.SGLANG: (
        {
            "/v1/models": listing("org/Chat-7B", owner="sglang"),
            "/model_info": {"model_path": "org/Chat-7B", "is_generation": True},
            "/flush_cache": "flushed",
            "/health": "",
            "/health_generate": "",
            "/server_info": {},
        },
        (CHAT, "/generate", "/update_weights_from_disk", "/abort_request", "/open_session"),
    ),
    ServerKind.TGI: (
        {
            "/v1/models": listing("org/Chat-7B", owner="org/Chat-7B"),
            "/info": {"model_id": "org/Chat-7B", "max_concurrent_requests": 128, "version": "3.3.5"},
            "/health": "",
            "/": "",
        },
        (CHAT, "/generate", "/generate_stream", "/chat_tokenize"),
    ),
    ServerKind.OLLAMA: (
        {
            "/v1/models": listing("llama3.2:latest", "qwen:7b", owner="library"),
            "/api/version": {"version": "0.12.3"},
            "/api/tags": {"models": []},
        },
        (CHAT, "/api/chat", "/api/pull", "/api/delete"),
    ),
    ServerKind.OPENAI: ({"/v1/models": listing("chat")}, (CHAT,)),
}
"""What real ones answer, as far as it is looked at: pages by path, and routes that act."""


def played(kind: ServerKind, *, key: str = "", guarded: tuple[str, ...] = ("/",)) -> Script:
    """One of the servers above, with or without a key."""
    pages, acting = SERVERS[kind]
    return plays(pages, acting, key=key, guarded=guarded)


def methods(requests: Collection[Received]) -> list[tuple[str, str]]:
    """What was asked: method and path of each request."""
    found = [request.head.split(b" ")[:2] for request in requests]
    return [(method.decode(), path.decode()) for method, path in found]
