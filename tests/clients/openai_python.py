"""OpenAI's Python library: each of its interfaces that the guard serves, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from tests.clients.endings import FIELD, Ask, Client, Seen

SECTION = "openai (Python)"


class _Hasty:
    """Sends again at once: how often is looked at, not how long it waits."""

    def _calculate_retry_timeout(self, *_: Any, **__: Any) -> float:
        return 0.0


class Sync(_Hasty, openai.OpenAI):
    """The synchronous client."""


class Async(_Hasty, openai.AsyncOpenAI):
    """The asynchronous client."""


def raised(problem: openai.APIError, text: str = "") -> Seen:
    """What an error of the library says."""
    status = problem.status_code if isinstance(problem, openai.APIStatusError) else None
    return Seen(text, error=type(problem).__name__, status=status, code=problem.code)


class _Taken:
    """What a stream has brought so far; the client is told of text at once."""

    def __init__(self, came: Callable[[], None]) -> None:
        self.text = ""
        self.finish: str | None = None
        self._came = came

    def take(self, text: str | None, finish: str | None) -> None:
        self.text += text or ""
        self.finish = finish or self.finish
        if text:
            self._came()

    def chat(self, chunk: ChatCompletionChunk) -> None:
        for choice in chunk.choices:
            self.take(choice.delta.content, choice.finish_reason)

    def completion(self, chunk: Completion) -> None:
        for choice in chunk.choices:
            self.take(choice.text, choice.finish_reason)

    def response(self, event: ResponseStreamEvent) -> None:
        if event.type == "response.output_text.delta":
            self.take(event.delta, None)
        elif event.type in ("response.completed", "response.incomplete", "response.failed"):
            self.finish = finish_of(event.response)

    def seen(self) -> Seen:
        return Seen(self.text, self.finish)


def finish_of(response: Response) -> str:
    """How a response says that it ended."""
    details = response.incomplete_details
    return f"{response.status}: {details.reason}" if details is not None else str(response.status)


def _chat_seen(answer: ChatCompletion) -> Seen:
    choice = answer.choices[0]
    return Seen(choice.message.content or "", choice.finish_reason)


def _asked(ask: Ask) -> dict[str, Any]:
    return {"model": ask.model, "stream": ask.streamed, **({FIELD: 9} if ask.bad else {})}


def _messages(ask: Ask) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": ask.prompt}], **_asked(ask)}


def _sync(call: Callable[[Sync, Ask, _Taken], Seen]) -> Callable[[Ask], Seen]:
    def look(ask: Ask) -> Seen:
        taken = _Taken(ask.came)
        with Sync(base_url=f"{ask.url}/v1", api_key=ask.key) as sdk:
            try:
                return call(sdk, ask, taken)
            except openai.APIError as problem:
                return raised(problem, taken.text)

    return look


def _chat(sdk: Sync, ask: Ask, taken: _Taken) -> Seen:
    answer = sdk.chat.completions.create(**_messages(ask))
    if not ask.streamed:
        return _chat_seen(answer)
    with answer:
        for chunk in answer:
            taken.chat(chunk)
    return taken.seen()


def _completions(sdk: Sync, ask: Ask, taken: _Taken) -> Seen:
    answer = sdk.completions.create(prompt=ask.prompt, **_asked(ask))
    if not ask.streamed:
        return Seen(answer.choices[0].text, answer.choices[0].finish_reason)
    with answer:
        for chunk in answer:
            taken.completion(chunk)
    return taken.seen()


def _responses(sdk: Sync, ask: Ask, taken: _Taken) -> Seen:
    answer = sdk.responses.create(input=ask.prompt, **_asked(ask))
    if not ask.streamed:
        return Seen(answer.output_text, finish_of(answer))
    with answer:
        for event in answer:
            taken.response(event)
    return taken.seen()


def _async_chat(ask: Ask) -> Seen:
    taken = _Taken(ask.came)

    async def run() -> Seen:
        async with Async(base_url=f"{ask.url}/v1", api_key=ask.key) as sdk:
            try:
                answer = await sdk.chat.completions.create(**_messages(ask))
                if not ask.streamed:
                    return _chat_seen(answer)
                async with answer:
                    async for chunk in answer:
                        taken.chat(chunk)
            except openai.APIError as problem:
                return raised(problem, taken.text)
        return taken.seen()

    return asyncio.run(run())


def _async_responses(ask: Ask) -> Seen:
    taken = _Taken(ask.came)

    async def run() -> Seen:
        async with Async(base_url=f"{ask.url}/v1", api_key=ask.key) as sdk:
            try:
                answer = await sdk.responses.create(input=ask.prompt, **_asked(ask))
                if not ask.streamed:
                    return Seen(answer.output_text, finish_of(answer))
                async with answer:
                    async for event in answer:
                        taken.response(event)
            except openai.APIError as problem:
                return raised(problem, taken.text)
        return taken.seen()

    return asyncio.run(run())


CLIENTS = (
    Client(f"{SECTION}: chat.completions", "sync", _sync(_chat)),
    Client(f"{SECTION}: chat.completions", "async", _async_chat),
    Client(f"{SECTION}: responses", "sync", _sync(_responses)),
    Client(f"{SECTION}: responses", "async", _async_responses),
    Client(f"{SECTION}: completions", "", _sync(_completions)),
)
