"""Text completions: what a request may be, and what the real SDK sees of answers and endings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.wire.dialect import Dialect, Event, Grants, Request
from guard.wire.openai_completions import REQUEST, OpenAICompletions
from guard.wire.openai_completions_answer import MAX_CHOICES
from guard.wire.strict_json import BadField
from guard.wire.table import MAX_DEPTH
from safeguards.exchange import Passage
from safeguards.verdict import Code
from tests.guard.wire.between import NAMING, Between, strings
from tests.parts.llama import LlamaServer
from tests.parts.scripted_model import SCRIPTS, script_text

DIALECT = OpenAICompletions()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=MAX_DEPTH,
)


def read(kind: str = "", **fields: Any) -> Request:
    return DIALECT.read_request({"model": "m", "prompt": "hello", **fields}, Grants(kind))


def refusal(kind: str = "", **fields: Any) -> BadField:
    with pytest.raises(BadField) as refused:
        read(kind, **fields)
    return refused.value


@contextmanager
def sdk(upstream: Callable[[bytes], bytes]) -> Iterator[tuple[openai.OpenAI, Between]]:
    with (
        Between(DIALECT, upstream) as between,
        openai.OpenAI(base_url=between.url, api_key="k", max_retries=0) as client,
    ):
        yield client, between


def chunk(text: str, *, index: int = 0, finish: str | None = None, **more: object) -> bytes:
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "cmpl-up", "model": "up", "choices": [choice], **more}).encode() + b"\n\n"


def test_it_is_a_dialect() -> None:
    dialect: Dialect = DIALECT  # type: ignore[assignment,unused-ignore] # until the protocol takes parsed fields
    assert (dialect.name, dialect.operation) == ("openai.completions", "completions")


def test_the_texts_of_a_request_are_its_passages() -> None:
    request = read(prompt=["one", "two"], suffix="end", stop=["a", "b"], user="u")
    assert request.passages == (
        Passage("prompt[0]", "user", "one"),
        Passage("prompt[1]", "user", "two"),
        Passage("suffix", "user", "end"),
        Passage("stop[0]", "control", "a"),
        Passage("stop[1]", "control", "b"),
        Passage("user", "control", "u"),
    )


def test_what_was_read_is_what_is_sent_under_the_upstreams_name() -> None:
    request = read(prompt="héllo", n=2, echo=False, stop=None, stream=True)
    sent = json.loads(DIALECT.write_request(request, "up"))
    assert sent == {"model": "up", "prompt": "héllo", "n": 2, "echo": False, "stream": True}
    assert (request.model, request.streamed) == ("m", True)


@given(st.dictionaries(st.sampled_from(sorted(REQUEST)), JSON, max_size=6), JSON)
def test_every_string_that_is_sent_was_inspected(fields: dict[str, Any], prompt: Any) -> None:
    try:
        request = DIALECT.read_request({"model": "m", "prompt": prompt, **fields}, Grants("vllm"))
    except BadField:
        return
    sent = json.loads(DIALECT.write_request(request, "up"))
    inspected = {passage.text for passage in request.passages}
    assert inspected
    assert strings(sent) <= inspected | {"up", ""}


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        ([1, 2, 3], "prompt[0]"),
        ([[1, 2], [3]], "prompt[0]"),
        (["text", 15339], "prompt[1]"),
        (["text", ["text"]], "prompt[1]"),
        ([{"prompt_string": "x", "multimodal_data": ["QUJD"]}], "prompt[0]"),
        ({"prompt_string": "x"}, "prompt"),
        (7, "prompt"),
        (True, "prompt"),
        ("", "prompt"),
        (["text", ""], "prompt[1]"),
        (["text", None], "prompt[1]"),
        ([], "prompt"),
        (["x"] * (MAX_CHOICES + 1), "prompt"),
        (None, "prompt"),
    ],
)
def test_a_prompt_that_is_not_text_is_refused(prompt: object, place: str) -> None:
    assert refusal(prompt=prompt).place == place


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("echo", True),
        ("best_of", 2),
        ("logprobs", 0),
        ("logprobs", 5),
        ("logit_bias", {"50256": -100}),
        ("n", 9),
        ("n", 0),
        ("max_tokens", 0),
        ("suffix", ["x"]),
        ("messages", []),
        ("prompt_embeds", "AAAA"),
        ("guided_regex", ".*"),
        ("structured_outputs", {"choice": ["x"]}),
        ("stop_token_ids", [1]),
        ("kv_transfer_params", {}),
        ("cache_salt", "x"),
        ("top_k", 40),
    ],
)
def test_what_would_carry_text_aside_is_refused_by_name(key: str, value: object) -> None:
    fields: dict[str, Any] = {key: value}
    assert refusal(**fields).place == key


def test_a_servers_own_sampling_keys_are_taken_for_its_kind_only() -> None:
    assert read("vllm", top_k=40, min_p=0.1).fields["top_k"] == 40
    assert read("llamacpp", mirostat=2).fields["mirostat"] == 2
    assert refusal("openai", top_k=40).place == "top_k"
    assert refusal("vllm", echo=True).place == "echo"


def test_prompts_times_n_are_bounded() -> None:
    assert read(prompt=["x"] * 4, n=8).fields["n"] == 8
    assert refusal(prompt=["x"] * 5, n=8).place == "n"


def test_half_a_surrogate_pair_is_refused_before_it_is_sent() -> None:
    with pytest.raises(BadField, match="surrogate"):
        DIALECT.write_request(read(prompt="\ud800"), "up")


def test_the_sdk_reads_a_whole_answer_and_a_stream() -> None:
    whole = json.dumps(
        {
            "id": "up",
            "choices": [{"index": 1, "text": "B", "finish_reason": "length"}, {"index": 0, "text": "A"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 99},
        }
    ).encode()
    with sdk(lambda _: whole) as (client, _):
        answer = client.completions.create(model="m", prompt="p", n=2)
    assert [(each.index, each.text, each.finish_reason) for each in answer.choices] == [
        (0, "A", "stop"),
        (1, "B", "length"),
    ]
    assert (answer.id, answer.model, answer.created) == ("cmpl-req-1", "alias", 1_700_000_000)
    assert answer.usage is not None
    assert answer.usage.total_tokens == 5

    streamed = chunk("Hel") + chunk("lo") + chunk("", finish="stop") + b"data: [DONE]\n\n"
    with sdk(lambda _: streamed) as (client, _):
        chunks = list(client.completions.create(model="m", prompt="p", stream=True))
    assert "".join(each.choices[0].text for each in chunks) == "Hello"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {each.id for each in chunks} == {"cmpl-req-1"}


def test_the_sdk_names_the_field_of_a_refused_request() -> None:
    with sdk(lambda _: b"") as (client, _), pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="m", prompt=[1, 2, 3])
    assert refused.value.param == "prompt[0]"
    assert refused.value.code == "bad_request"


def test_the_sdk_raises_its_own_error_where_a_stream_fails() -> None:
    broken = chunk("Hel") + b'data: {"error":{"message":"secret upstream words"}}\n\n'
    with sdk(lambda _: broken) as (client, _):
        stream = client.completions.create(model="m", prompt="p", stream=True)
        with pytest.raises(openai.APIError) as failed:
            list(stream)
    assert failed.value.code == "upstream_failed"
    assert "secret" not in str(failed.value)


STREAM = (
    chunk("a", index=1)
    + chunk("b")
    + chunk("c", index=2)
    + chunk("", finish="stop", index=1, usage={"prompt_tokens": 1, "completion_tokens": 1})
    + chunk("d", finish="length")
    + chunk("", finish="stop", index=2)
    + b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":4}}\n\ndata: [DONE]\n\n'
)


def events_of(stream: bytes, prompts: int) -> list[Event]:
    reader = DIALECT.reader(read(prompt=["p"] * prompts, stream=True), NAMING)
    return reader.feed(stream) + reader.finish()


@pytest.mark.parametrize("released", range(len(events_of(STREAM, 3)) + 1))
@pytest.mark.parametrize("blocked", [True, False])
def test_the_sdk_takes_an_ending_after_every_prefix_of_a_stream(released: int, blocked: bool) -> None:
    events = events_of(STREAM, 3)[:released]
    seen = events[-1].seen if events else None
    end = DIALECT.end_blocked(NAMING, seen) if blocked else DIALECT.end_failed(NAMING, seen, Code.STOPPED)

    class Ended(Between):
        def answer(self, body: bytes) -> tuple[int, bytes, str]:
            return 200, b"".join(event.data for event in events) + end, "text/event-stream"

    finished: dict[int, str] = {}
    failure: openai.APIError | None = None
    with Ended() as between, openai.OpenAI(base_url=between.url, api_key="k", max_retries=0) as client:
        stream = client.completions.create(model="m", prompt=["p"] * 3, stream=True)
        try:
            for each in stream:
                for choice in each.choices:
                    assert choice.index not in finished, "a choice goes on after its end"
                    if choice.finish_reason is not None:
                        finished[choice.index] = choice.finish_reason
        except openai.APIError as error:
            failure = error
    # Three events with text, three that finish a choice, the usage, the terminator; what follows that is not looked at.
    if blocked:
        assert failure is None
        ended = min(max(released - 3, 0), 3)
        assert finished.keys() == ({0, 1, 2} if released else {0})
        assert list(finished.values()).count("content_filter") == (3 - ended if released else 1)
    else:
        assert (failure.code if failure else None) == ("stopped" if released < 8 else None)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], bytes]]:
    def post(body: bytes) -> bytes:
        url = f"{server.url}{DIALECT.upstream_path.decode()}"
        return httpx.post(url, content=body, timeout=30, trust_env=False).raise_for_status().content

    with LlamaServer(tmp_path_factory.mktemp("llama")) as server:
        yield post


@pytest.mark.parametrize("stream", [True, False])
def test_a_real_server_completes_a_list_of_prompts_through_it(llama: Callable[[bytes], bytes], stream: bool) -> None:
    texts: dict[int, str] = {}
    finishes: dict[int, str] = {}
    with sdk(llama) as (client, between):
        prompts = ["say it<|marker|>", "greet<|hello|>"]
        answer: Any = client.completions.create(model="m", prompt=prompts, stream=stream, max_tokens=100)
        for each in answer if stream else [answer]:
            for choice in each.choices:
                texts[choice.index] = texts.get(choice.index, "") + choice.text
                if choice.finish_reason is not None:
                    finishes[choice.index] = choice.finish_reason
    assert texts == {0: script_text(SCRIPTS["marker"]), 1: script_text(SCRIPTS["hello"])}
    assert finishes == {0: "stop", 1: "stop"}
    assert between.last is not None
    assert [passage.text for passage in between.last.passages] == prompts


def test_a_real_servers_text_split_inside_characters_arrives_whole(llama: Callable[[bytes], bytes]) -> None:
    with sdk(llama) as (client, _):
        chunks = client.completions.create(model="m", prompt="x<|unicode|>", stream=True, max_tokens=50)
        assert "".join(each.choices[0].text for each in chunks) == script_text(SCRIPTS["unicode"])
