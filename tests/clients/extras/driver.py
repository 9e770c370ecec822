"""Drives LangChain and LiteLLM's library in an environment of their own, line by line; `lines.py` is the other end."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing it fetches a table

import litellm  # type: ignore[import-not-found]  # this and the next live in an environment of their own
import openai
from langchain_core.messages import AIMessageChunk  # type: ignore[import-not-found]  # as above
from langchain_openai import ChatOpenAI  # type: ignore[import-not-found]  # as above

litellm.telemetry = False
litellm.suppress_debug_info = True
# How often a library sends again is looked at, not how long it waits in between.
openai.OpenAI._calculate_retry_timeout = lambda *_, **__: 0.0  # type: ignore[method-assign]  # that is the point

# LiteLLM leaves a stream that failed unclosed; collected within httpcore's lock, it waits for that lock for ever.
gc.disable()

Ask = dict[str, Any]
Take = Callable[[str | None, str | None], None]


def langchain(ask: Ask, take: Take) -> None:
    """LangChain's model over OpenAI's chat completions."""
    wrong = {"temperature": 9} if ask["bad"] else {}
    chat = ChatOpenAI(base_url=f"{ask['url']}/v1", api_key=ask["key"], model=ask["model"], **wrong)
    if not ask["streamed"]:
        message = chat.invoke(ask["prompt"])
        take(message.content, message.response_metadata["finish_reason"])
        return
    for chunk in chat.stream(ask["prompt"]):
        assert isinstance(chunk, AIMessageChunk)
        take(chunk.content, chunk.response_metadata.get("finish_reason"))


def _litellm(provider: str, path: str) -> Callable[[Ask, Take], None]:
    def look(ask: Ask, take: Take) -> None:
        messages = [{"role": "user", "content": ask["prompt"]}]
        where = {"api_base": ask["url"] + path, "api_key": ask["key"], "model": f"{provider}/{ask['model']}"}
        wrong = {"temperature": 9} if ask["bad"] else {}
        answer = litellm.completion(messages=messages, stream=ask["streamed"], max_tokens=64, **where, **wrong)
        if not ask["streamed"]:
            take(answer.choices[0].message.content, answer.choices[0].finish_reason)
            return
        for chunk in answer:
            for choice in chunk.choices:
                take(choice.delta.content, choice.finish_reason)

    return look


CLIENTS: dict[str, Callable[[Ask, Take], None]] = {
    "langchain": langchain,
    "litellm openai": _litellm("openai", "/v1"),
    "litellm anthropic": _litellm("anthropic", ""),
}


def code_of(problem: Any) -> str | None:
    """The guard's code, where the library keeps it."""
    code = getattr(problem, "code", None)
    return code if code and not str(code).isdigit() else None  # LiteLLM puts some statuses there


def look(ask: Ask) -> dict[str, Any]:
    """Ask and say what was seen."""
    seen: dict[str, Any] = {"text": "", "finish": None, "error": None, "status": None, "code": None}

    def take(text: str | None, finish: str | None) -> None:
        seen["text"] += text or ""
        seen["finish"] = finish or seen["finish"]
        if text and ask["streamed"]:
            say({"came": True})

    try:
        CLIENTS[ask["client"]](ask, take)
    except openai.APIError as problem:
        status = getattr(problem, "status_code", None)
        seen |= {"error": type(problem).__name__, "status": status, "code": code_of(problem)}
    return seen


def say(value: object) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


for line in sys.stdin:
    try:
        say({"seen": look(json.loads(line))})
    except Exception as problem:  # noqa: BLE001 - whatever it is, the test is told
        say({"fault": f"{type(problem).__name__}: {problem}"})
    gc.collect()
