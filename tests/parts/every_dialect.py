"""An inference server that speaks every dialect: it answers each request by its route, as many as were asked for."""

from __future__ import annotations

import json
from typing import Any

from tests.parts.answer_places import EMBEDDINGS, MODERATIONS, encode, everything, everything_whole
from tests.parts.upstream import LAST_CHUNK, STREAM_HEAD, Peer, Received, answer, chunk


async def speak(peer: Peer, request: Received) -> None:
    """Answer with a text in every kind of place, or with one vector or verdict for each input."""
    path = request.head.split(b" ", 2)[1]
    if request.streamed:
        events = [chunk(encode(path, event)) for event in everything(path)]
        await peer.send(STREAM_HEAD, b"".join(events) + LAST_CHUNK)
    else:
        await peer.send(answer(json.dumps(_body(path, request.json)).encode()))


def _body(path: bytes, asked: dict[str, Any]) -> Any:
    body = everything_whole(path)
    inputs = len(asked["input"]) if isinstance(asked.get("input"), list) else 1
    if path == EMBEDDINGS:
        return {**body, "data": [{**body["data"][0], "index": index} for index in range(inputs)]}
    if path == MODERATIONS:
        return {**body, "results": body["results"] * inputs}
    if "choices" in body:
        return {**body, "choices": body["choices"][: asked.get("n", 1)]}
    return body
