"""Anthropic's Python library with only URL and key changed: messages, tools, counting, models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import anthropic
import pytest
from anthropic.types import MessageParam, ToolParam

from tests.clients.anthropic_python import Async, Sync, text_of
from tests.clients.real import Real, real_in
from tests.clients.stand import Stand
from tests.guard.wire.anthropic_streams import FULL
from tests.parts.configuration import MARKER
from tests.parts.scripted_model import SCRIPTS, script_text
from tests.parts.upstream import LAST_CHUNK, STREAM_HEAD, Peer, Received, answer, chunk

LONG = script_text(SCRIPTS["long"])
TOOL: ToolParam = {"name": "weather", "input_schema": {"type": "object"}}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    with real_in(tmp_path_factory.mktemp("real")) as real:
        yield real


def user(content: str) -> list[MessageParam]:
    return [{"role": "user", "content": content}]


def sdk(of: Stand | Real) -> Sync:
    return Sync(base_url=of.guard.url, api_key=of.credentials.key)


def test_a_real_message_arrives_whole_and_streamed(real: Real) -> None:
    with sdk(real) as client:
        answered = client.messages.create(model="real", max_tokens=1000, messages=user("script:long"))
        assert text_of(answered) == LONG
        with client.messages.stream(model="real", max_tokens=1000, messages=user("script:long")) as stream:
            assert "".join(stream.text_stream) == LONG
            final = stream.get_final_message()
    assert text_of(final) == LONG
    assert final.stop_reason == answered.stop_reason == "end_turn"
    assert final.usage.output_tokens == answered.usage.output_tokens > 0
    assert final.usage.input_tokens == answered.usage.input_tokens > 0


def test_a_real_message_arrives_asynchronously_many_at_once(real: Real) -> None:
    async def run() -> list[str]:
        async with Async(base_url=real.guard.url, api_key=real.credentials.key) as client:

            async def one() -> str:
                async with client.messages.stream(model="real", max_tokens=99, messages=user("script:hello")) as stream:
                    return await stream.get_final_text()

            return list(await asyncio.gather(*(one() for _ in range(4))))

    assert asyncio.run(run()) == [script_text(SCRIPTS["hello"])] * 4


def test_a_real_message_ends_at_its_limit_and_says_so(real: Real) -> None:
    with sdk(real) as client:
        answered = client.messages.create(model="real", max_tokens=5, messages=user("script:endless"))
    assert answered.stop_reason == "max_tokens"
    assert answered.usage.output_tokens == 5


def test_a_real_prompt_is_counted_and_one_that_may_not_be_sent_is_not(real: Real) -> None:
    with sdk(real) as client:
        counted = client.messages.count_tokens(model="real", system="be brief", messages=user("hello"))
        assert counted.input_tokens > len("be brief" + "hello")
        with pytest.raises(anthropic.PermissionDeniedError) as caught:
            client.messages.count_tokens(model="real", messages=user(f"say {MARKER}"))
    assert caught.value.error_code == "content_blocked"


def test_a_real_message_is_cut_before_the_marker(real: Real) -> None:
    text, reason = "", None
    with sdk(real) as client:
        try:
            with client.messages.stream(model="real", max_tokens=99, messages=user("script:marker")) as stream:
                for piece in stream.text_stream:
                    text += piece
                reason = stream.get_final_message().stop_reason
        except anthropic.PermissionDeniedError:
            reason = "refusal"  # the server was so fast that the marker came before anything was released
    assert reason == "refusal"
    assert "The weather is fine:".startswith(text)


def test_a_real_message_is_stopped_and_frees_its_server(real: Real) -> None:
    order = None
    with (  # noqa: PT012 - the stop comes in the middle
        sdk(real) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
        client.messages.stream(model="real", max_tokens=100_000, messages=user("script:endless")) as stream,
    ):
        for _ in stream.text_stream:
            order = order or real.guard.stop("model:real")
    assert order is not None
    real.guard.resume(order)
    assert caught.value.error_code == "stopped"
    real.guard.wait_until(lambda: real.server.requests_processing() == 0, "the server's slots were free")


def test_tools_are_called_in_a_stream_and_answered(stand: Stand) -> None:
    async def script(peer: Peer, _: Received) -> None:
        await peer.send(STREAM_HEAD, chunk(FULL) + LAST_CHUNK)

    stand.upstream.script = script
    with sdk(stand) as client:
        with client.messages.stream(
            model="demo", max_tokens=2000, messages=user("the weather?"), tools=[TOOL]
        ) as stream:
            first = stream.get_final_message()
        assert [block.type for block in first.content] == ["thinking", "text", "tool_use", "tool_use"]
        assert first.stop_reason == "tool_use"
        call = first.content[2]
        assert call.type == "tool_use"
        assert call.input == {"city": "Berlin", "days": [1, 2]}

        async def sun(peer: Peer, _: Received) -> None:
            blocks = [{"type": "text", "text": "Sun."}]
            message = {"id": "up", "type": "message", "role": "assistant", "model": "up", "content": blocks}
            usage = {"input_tokens": 3, "output_tokens": 5}
            await peer.send(answer(json.dumps({**message, "stop_reason": "end_turn", "usage": usage}).encode()))

        stand.upstream.script = sun
        ids = [block.id for block in first.content if block.type == "tool_use"]
        results: MessageParam = {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": each, "content": "sun"} for each in ids],
        }
        said: MessageParam = {"role": "assistant", "content": first.content}
        second = client.messages.create(
            model="demo", max_tokens=64, messages=[*user("the weather?"), said, results], tools=[TOOL]
        )
    assert text_of(second) == "Sun."


def test_the_beta_namespace_works(real: Real) -> None:
    with sdk(real) as client:
        answered = client.beta.messages.create(
            model="real", max_tokens=99, messages=[{"role": "user", "content": "script:hello"}]
        )
    assert [block.type for block in answered.content] == ["text"]


def test_models_are_listed_and_retrieved(stand: Stand) -> None:
    with sdk(stand) as client:
        assert [model.id for model in client.models.list()] == ["demo"]
        assert client.models.retrieve("demo").display_name == "demo"
        with pytest.raises(anthropic.NotFoundError):
            client.models.retrieve("nobody")
