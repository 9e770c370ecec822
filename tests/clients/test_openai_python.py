"""OpenAI's Python library with only URL and key changed: everything of it that the guard serves.

Text comes from the real server where it speaks the interface; what it does not speak, the scripted one says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from pydantic import BaseModel

from tests.clients.endings import FIRST
from tests.clients.openai_python import Async, Sync, finish_of
from tests.clients.real import Real, real_in
from tests.clients.speech import speaks
from tests.clients.stand import Stand
from tests.parts import responses_server as responses
from tests.parts.configuration import MARKER
from tests.parts.scripted_model import SCRIPTS, script_text
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
    says,
)

LONG = script_text(SCRIPTS["long"])
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
TOOL: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


class Place(BaseModel):
    """What a structured answer holds."""

    city: str
    people: int


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    with real_in(tmp_path_factory.mktemp("real")) as real:
        yield real


def user(content: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": content}]


def sdk(of: Stand | Real) -> Sync:
    return Sync(base_url=f"{of.guard.url}/v1", api_key=of.credentials.key)


def async_sdk(of: Stand | Real) -> Async:
    return Async(base_url=f"{of.guard.url}/v1", api_key=of.credentials.key)


def whole(body: Any) -> Script:
    async def script(peer: Peer, _: Received) -> None:
        await peer.send(answer(json.dumps(body).encode()))

    return script


def test_a_real_chat_arrives_whole_and_streamed(real: Real) -> None:
    with sdk(real) as client:
        answered = client.chat.completions.create(model="real", messages=user("script:long"))
        assert answered.choices[0].message.content == LONG
        assert answered.usage is not None
        with client.chat.completions.stream(
            model="real", messages=user("script:long"), stream_options={"include_usage": True}
        ) as stream:
            assert "".join(event.delta for event in stream if event.type == "content.delta") == LONG
            final = stream.get_final_completion()
    assert final.choices[0].finish_reason == "stop"
    assert final.usage is not None
    assert final.usage.completion_tokens == answered.usage.completion_tokens


def test_a_real_chat_arrives_asynchronously_many_at_once(real: Real) -> None:
    async def run() -> list[str | None]:
        async with async_sdk(real) as client:
            asked = (client.chat.completions.create(model="real", messages=user("script:hello")) for _ in range(4))
            return [each.choices[0].message.content for each in await asyncio.gather(*asked)]

    assert asyncio.run(run()) == [script_text(SCRIPTS["hello"])] * 4


def test_a_real_completion_arrives_whole_and_streamed(real: Real) -> None:
    hello = script_text(SCRIPTS["hello"])
    with sdk(real) as client:
        assert client.completions.create(model="real", prompt="hi").choices[0].text == hello
        with client.completions.create(model="real", prompt="hi", stream=True) as stream:
            assert "".join(choice.text for each in stream for choice in each.choices) == hello


def test_a_real_answer_is_cut_before_the_marker(real: Real) -> None:
    with sdk(real) as client:
        with pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(model="real", messages=user("script:marker"))
        text, finish = "", None
        try:
            with client.chat.completions.create(model="real", messages=user("script:marker"), stream=True) as stream:
                for each in stream:
                    text += each.choices[0].delta.content or ""
                    finish = each.choices[0].finish_reason or finish
        except openai.PermissionDeniedError:
            finish = "content_filter"  # the server was so fast that the marker came before anything was released
    assert finish == "content_filter"
    assert "The weather is fine:".startswith(text)


def test_a_real_answer_is_stopped_and_frees_its_server(real: Real) -> None:
    with sdk(real) as client:
        stream = client.chat.completions.create(model="real", messages=user("script:endless"), stream=True)
        order = None
        with stream, pytest.raises(openai.APIError) as caught:  # noqa: PT012 - the stop comes in the middle
            for each in stream:
                if order is None and each.choices[0].delta.content:
                    order = real.guard.stop("model:real")
        assert order is not None
        real.guard.resume(order)
    assert caught.value.code == "stopped"
    real.guard.wait_until(lambda: real.server.requests_processing() == 0, "the server's slots were free")


def test_tools_are_called_and_answered(stand: Stand) -> None:
    stand.upstream.script = whole(json.loads(completion(message={"role": "assistant", "tool_calls": [CALL]})))
    with sdk(stand) as client:
        first = client.chat.completions.create(model="demo", messages=user("the weather?"), tools=[TOOL])
        assert first.choices[0].message.tool_calls is not None
        (call,) = first.choices[0].message.tool_calls
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Bern"})
        stand.upstream.script = says("Sun.")
        said: ChatCompletionMessageParam = first.choices[0].message.to_dict()  # type: ignore[assignment]  # what people do
        result: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": call.id, "content": "sun"}
        second = client.chat.completions.create(
            model="demo", messages=[*user("the weather?"), said, result], tools=[TOOL], tool_choice="auto"
        )
    assert second.choices[0].message.content == "Sun."
    roles = [message["role"] for message in stand.upstream.requests[-1].json["messages"]]
    assert roles == ["user", "assistant", "tool"]


def test_tools_are_called_in_a_stream(stand: Stand) -> None:
    begin = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    pieces = [{"index": 0, "function": {"arguments": each}} for each in ('{"ci', 'ty": "B', 'ern"}')]

    async def script(peer: Peer, _: Received) -> None:
        events = [delta({"tool_calls": [each]}) for each in (begin, *pieces)]
        await peer.send(STREAM_HEAD, *map(chunk, events), chunk(delta({}, finish="tool_calls") + DONE) + LAST_CHUNK)

    stand.upstream.script = script
    with (
        sdk(stand) as client,
        client.chat.completions.stream(model="demo", messages=user("the weather?"), tools=[TOOL]) as stream,
    ):
        stream.until_done()
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls is not None
    (call,) = final.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Bern"}
    assert final.choices[0].finish_reason == "tool_calls"


def test_structured_output_is_parsed(stand: Stand) -> None:
    stand.upstream.script = says('{"city": "Bern", ', '"people": 134000}')
    with sdk(stand) as client:
        parsed = client.chat.completions.parse(model="demo", messages=user("a place"), response_format=Place)
        with client.chat.completions.stream(model="demo", messages=user("a place"), response_format=Place) as stream:
            streamed = stream.get_final_completion()
    assert parsed.choices[0].message.parsed == Place(city="Bern", people=134_000)
    assert streamed.choices[0].message.parsed == Place(city="Bern", people=134_000)
    assert stand.upstream.requests[-1].json["response_format"]["json_schema"]["strict"] is True


def test_responses_are_created_parsed_and_streamed_by_the_helper(stand: Stand) -> None:
    stand.upstream.script = responses.responds(
        responses.Reasoning(summaries=["Hm."]), responses.Message(['{"city": "Bern", "people": 134000}'])
    )
    with sdk(stand) as client:
        created = client.responses.create(model="demo", input="a place", instructions="be brief")
        parsed = client.responses.parse(model="demo", input="a place", text_format=Place)
        with client.responses.stream(model="demo", input="a place", text_format=Place) as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            streamed = stream.get_final_response()
    assert created.output_text == text
    assert parsed.output_parsed == streamed.output_parsed == Place(city="Bern", people=134_000)
    assert created.usage is not None
    assert stand.upstream.requests[-1].json["store"] is False


def test_a_response_that_calls_a_function_is_continued(stand: Stand) -> None:
    stand.upstream.script = responses.responds(responses.Call("weather", '{"city": "Bern"}'))
    with sdk(stand) as client:
        first = client.responses.create(
            model="demo",
            input="the weather?",
            tools=[{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}],
        )
        (call,) = first.output
        assert call.type == "function_call"
        assert json.loads(call.arguments) == {"city": "Bern"}
        stand.upstream.script = responses.responds(responses.Message(["Sun."]))
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
        said: Any = [item.to_dict() for item in first.output]
        second = client.responses.create(model="demo", input=[{"role": "user", "content": "?"}, *said, output])
    assert second.output_text == "Sun."


def test_the_helper_of_a_blocked_response_has_its_text_and_says_that_it_is_not_complete(stand: Stand) -> None:
    gate = Gate()
    stand.upstream.script = speaks(gate, FIRST, f" And then {MARKER}.")
    events = []
    with sdk(stand) as client, client.responses.stream(model="demo", input="hello") as stream:
        for event in stream:
            events.append(event)
            if event.type == "response.output_text.delta":
                gate.open()
        with pytest.raises(RuntimeError, match=r"response\.completed"):
            stream.get_final_response()
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.output_text == FIRST
    assert finish_of(last.response) == "incomplete: content_filter"


def test_embeddings_come_as_the_library_asks_for_them(stand: Stand) -> None:
    vectors = [{"object": "embedding", "index": index, "embedding": [index + 0.5, -1.25]} for index in range(2)]
    stand.upstream.script = whole({"object": "list", "data": vectors, "usage": {"prompt_tokens": 4, "total_tokens": 4}})
    with sdk(stand) as client:
        embedded = client.embeddings.create(model="demo", input=["one", "two"])
        with pytest.raises(openai.PermissionDeniedError):
            client.embeddings.create(model="demo", input=["one", MARKER])
    assert [each.embedding for each in embedded.data] == [[0.5, -1.25], [1.5, -1.25]]
    assert embedded.usage.prompt_tokens == 4


def test_moderations_come_typed(stand: Stand) -> None:
    verdict = {"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.75}}
    stand.upstream.script = whole({"id": "up", "model": "up", "results": [verdict]})
    with sdk(stand) as client:
        (result,) = client.moderations.create(model="demo", input="hello").results
    assert result.flagged
    assert result.categories.violence
    assert result.category_scores.violence == 0.75


def test_models_are_listed_and_retrieved(stand: Stand) -> None:
    with sdk(stand) as client:
        assert [model.id for model in client.models.list()] == ["demo"]
        assert client.models.retrieve("demo").object == "model"
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve("nobody")
        assert caught.value.code == "unknown_model"
    with Sync(base_url=f"{stand.guard.url}/v1", api_key=stand.credentials.stranger) as stranger:
        assert [model.id for model in stranger.models.list()] == []


def test_what_is_not_offered_is_said_in_the_librarys_own_terms(stand: Stand) -> None:
    with sdk(stand) as client, pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model="demo", prompt="a house")
    assert caught.value.code == "unknown_route"
    assert "images are not served" in caught.value.message
