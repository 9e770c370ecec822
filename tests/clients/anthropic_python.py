"""Anthropic's Python library: messages whole, streamed by the helper, and streamed raw and asynchronously."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
from anthropic.types import Message, RawMessageStreamEvent

from tests.clients.endings import FIELD, Ask, Client, Seen

SECTION = "anthropic (Python): messages"


class _Hasty:
    """Sends again at once: how often is looked at, not how long it waits."""

    def _calculate_retry_timeout(self, *_: Any, **__: Any) -> float:
        return 0.0


class Sync(_Hasty, anthropic.Anthropic):
    """The synchronous client."""


class Async(_Hasty, anthropic.AsyncAnthropic):
    """The asynchronous client."""


def raised(problem: anthropic.APIError, text: str = "") -> Seen:
    """What an error of the library says; one that stands in a stream has the stream's status, 200."""
    status = problem.status_code if isinstance(problem, anthropic.APIStatusError) else None
    code = problem.error_code if isinstance(problem, anthropic.APIStatusError) else None
    return Seen(text, error=type(problem).__name__, status=status, code=code)


def text_of(message: Message) -> str:
    """All text of a message."""
    return "".join(block.text for block in message.content if block.type == "text")


def _asked(ask: Ask) -> dict[str, Any]:
    asked = {"model": ask.model, "max_tokens": 64, "messages": [{"role": "user", "content": ask.prompt}]}
    return {**asked, "extra_body": {FIELD: 9} if ask.bad else {}}


def _sync(ask: Ask) -> Seen:
    text = ""
    with Sync(base_url=ask.url, api_key=ask.key) as sdk:
        try:
            if not ask.streamed:
                message = sdk.messages.create(**_asked(ask))
                return Seen(text_of(message), message.stop_reason)
            with sdk.messages.stream(**_asked(ask)) as stream:
                for piece in stream.text_stream:
                    text += piece
                    ask.came()
                final = stream.get_final_message()
        except anthropic.APIError as problem:
            return raised(problem, text)
    assert text_of(final) == text
    return Seen(text, final.stop_reason)


def _async(ask: Ask) -> Seen:
    text, reason = "", None

    def take(event: RawMessageStreamEvent) -> None:
        nonlocal text, reason
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            text += event.delta.text
            ask.came()
        elif event.type == "message_delta":
            reason = event.delta.stop_reason

    async def run() -> Seen:
        async with Async(base_url=ask.url, auth_token=ask.key, api_key=None) as sdk:
            try:
                if not ask.streamed:
                    message = await sdk.messages.create(**_asked(ask))
                    return Seen(text_of(message), message.stop_reason)
                async with await sdk.messages.create(stream=True, **_asked(ask)) as stream:
                    async for event in stream:
                        take(event)
            except anthropic.APIError as problem:
                return raised(problem, text)
        return Seen(text, reason)

    return asyncio.run(run())


CLIENTS = (Client(SECTION, "sync", _sync), Client(SECTION, "async", _async))
