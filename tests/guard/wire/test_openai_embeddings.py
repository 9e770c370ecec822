"""Embeddings: text in, typed numbers out, and nothing else in either direction."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.wire.dialect import Grants, Request
from guard.wire.openai_embeddings import (
    MAX_BODY,
    MAX_DIMENSIONS,
    MAX_INPUTS,
    MAX_SPELLED,
    OpenAIEmbeddings,
    VectorsReader,
)
from guard.wire.sse import BadStream
from guard.wire.strict_json import BadField
from safeguards.exchange import Passage
from safeguards.verdict import Code
from tests.guard.wire.between import NAMING, Between, cut, fed, strings

DIALECT = OpenAIEmbeddings()
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def packed(*numbers: float) -> str:
    return b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def body(*vectors: object, **more: object) -> bytes:
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(vectors)]
    return json.dumps({"object": "list", "model": "up", "data": data, "usage": {"prompt_tokens": 4}, **more}).encode()


def answered(upstream: bytes, *, inputs: int = 1, pack: bool = False) -> Any:
    (event,) = fed(VectorsReader(NAMING, inputs, pack), upstream)
    assert event.channel is None
    return json.loads(event.data)


@contextmanager
def sdk(upstream: Callable[[bytes], bytes]) -> Iterator[tuple[openai.OpenAI, Between]]:
    with (
        Between(DIALECT, upstream) as between,
        openai.OpenAI(base_url=between.url, api_key="k", max_retries=0) as client,
    ):
        yield client, between


def read(**fields: Any) -> Request:
    return DIALECT.read_request({"model": "m", "input": "hello", **fields}, Grants())


def test_the_sdk_gets_vectors_by_its_default_base64() -> None:
    sent: list[Any] = []

    def upstream(request: bytes) -> bytes:
        sent.append(json.loads(request))
        return body(packed(0.5, -1.25), packed(3, 0))

    with sdk(upstream) as (client, _):
        answer = client.embeddings.create(model="m", input=["one", "two"])
    assert sent == [{"model": "up", "input": ["one", "two"], "encoding_format": "base64"}]
    assert [list(each.embedding) for each in answer.data] == [[0.5, -1.25], [3.0, 0.0]]
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("alias", 4, 4)


def test_the_sdk_gets_vectors_as_floats() -> None:
    with sdk(lambda _: body([0.5, -1.25])) as (client, _):
        answer = client.embeddings.create(model="m", input="one", encoding_format="float", dimensions=2, user="u")
    assert answer.data[0].embedding == [0.5, -1.25]


@pytest.mark.parametrize("given_form", [[0.5, 2.0], packed(0.5, 2)])
@pytest.mark.parametrize(("pack", "written"), [(False, [0.5, 2.0]), (True, packed(0.5, 2))])
def test_vectors_are_written_in_the_form_that_was_asked_for(given_form: object, pack: bool, written: object) -> None:
    assert answered(body(given_form), pack=pack)["data"][0]["embedding"] == written


@given(st.lists(FLOATS, min_size=1, max_size=20), st.booleans(), st.lists(st.integers(0, 999), max_size=3))
def test_thirty_two_bit_numbers_pass_unchanged_in_either_form(
    numbers: list[float], given_packed: bool, places: list[int]
) -> None:
    upstream = body(packed(*numbers) if given_packed else numbers)
    for pack in (True, False):
        (event,) = fed(VectorsReader(NAMING, 1, pack), *cut(upstream, places))
        shown = json.loads(event.data)["data"][0]["embedding"]
        assert shown == (packed(*numbers) if pack else numbers)


def test_what_a_longer_number_could_hide_is_rounded_away() -> None:
    shown = answered(body([0.1234567890123456]))["data"][0]["embedding"]
    assert shown == [struct.unpack("<f", struct.pack("<f", 0.1234567890123456))[0]]


@pytest.mark.parametrize(
    "vector",
    [
        [],
        [1e39],
        [-1e39, 1e39],
        "",
        packed(float("nan")),
        packed(float("inf")),
        packed(1)[:-2],
        b64encode(b"abcde").decode(),
        packed(1) + "\n",
        "hello, this is text",
        "ÄÖÜ=",
        ["0.5"],
        [[0.5]],
        [None],
        [True],
        {"0": 0.5},
        7,
        None,
        [0.5] * (MAX_DIMENSIONS + 1),
    ],
)
def test_what_is_not_a_vector_of_finite_numbers_is_refused(vector: object) -> None:
    with pytest.raises(BadStream):
        answered(body(vector))


@pytest.mark.parametrize(
    "upstream",
    [
        body(),
        body([1.0]),
        body([1.0], [1.0], [1.0]),
        body([1.0], [1.0, 2.0]),
        json.dumps({"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}).encode(),
        json.dumps({"data": [{"index": 0, "embedding": [1]}, {"index": -1, "embedding": [1]}]}).encode(),
        body([1.0], [1.0], error={"message": "up"}),
        body([1.0], [1.0], usage={"prompt_tokens": "text"}),
        b"",
        b"null",
        b"[]",
        b'{"data":[{"index":0,"embedding":[NaN]},{"index":1,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":[1e999]},{"index":1,"embedding":[1]}]}',
    ],
)
def test_an_answer_that_is_not_one_vector_for_each_input_is_refused(upstream: bytes) -> None:
    with pytest.raises(BadStream):
        answered(upstream, inputs=2)


@given(st.binary(max_size=100))
def test_whatever_comes_only_a_bad_stream_is_raised(data: bytes) -> None:
    with pytest.raises(BadStream):
        fed(VectorsReader(NAMING, 1, packed=True), data)


def test_nothing_but_numbers_comes_from_the_upstream() -> None:
    word: dict[str, Any] = {"id": "WORD", "created": 7, "object": "WORD", "model": "WORD", "WORD": "WORD"}
    usage = {"prompt_tokens": 4, "WORD": "WORD"}
    data = [{"object": "WORD", "index": 0, "embedding": [1.0], "WORD": ["WORD"]}]
    reader = VectorsReader(NAMING, 1, packed=False)
    (event,) = fed(reader, json.dumps({**word, "data": data, "usage": usage}).encode())
    assert b"WORD" not in event.data
    assert reader.dropped == 2
    assert reader.channels == {}
    assert (reader.prompt_tokens, reader.completion_tokens) == (4, 0)


def test_an_answer_is_bounded() -> None:
    reader = VectorsReader(NAMING, 1, packed=True)
    reader.feed(b" " * MAX_BODY)
    with pytest.raises(BadStream, match="larger"):
        reader.feed(b" ")


def test_the_numbers_of_an_answer_are_bounded_in_either_form() -> None:
    vector = packed(*[0.5] * MAX_DIMENSIONS)
    inputs = MAX_SPELLED // MAX_DIMENSIONS
    assert len(answered(body(*[vector] * inputs), inputs=inputs)["data"]) == inputs
    assert len(answered(body(*[vector] * (inputs + 1)), inputs=inputs + 1, pack=True)["data"]) == inputs + 1
    with pytest.raises(BadStream, match="larger"):
        answered(body(*[vector] * (inputs + 1)), inputs=inputs + 1)
    with pytest.raises(BadStream, match="larger"):
        answered(body(*[vector] * (4 * inputs + 1)), inputs=4 * inputs + 1, pack=True)


def test_every_input_is_a_passage() -> None:
    request = read(input=["one", "two"], user="u")
    assert request.passages == (
        Passage("input[0]", "user", "one"),
        Passage("input[1]", "user", "two"),
        Passage("user", "control", "u"),
    )
    assert strings(json.loads(DIALECT.write_request(request, "up"))) == {"up", "one", "two", "u"}


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("input", [1, 2], "input[0]"),
        ("input", [[1, 2]], "input[0]"),
        ("input", "", "input"),
        ("input", ["x", ""], "input[1]"),
        ("input", [{"type": "image_url"}], "input[0]"),
        ("input", [], "input"),
        ("input", ["x"] * (MAX_INPUTS + 1), "input"),
        ("input", None, "input"),
        ("messages", [], "messages"),
        ("encoding_format", "binary", "encoding_format"),
        ("dimensions", 0, "dimensions"),
        ("dimensions", 2.5, "dimensions"),
        ("truncate_prompt_tokens", 5, "truncate_prompt_tokens"),
        ("embed_overrides", [], "embed_overrides"),
        ("stream", True, "stream"),
        ("unheard_of", 1, "unheard_of"),
    ],
)
def test_what_is_not_text_or_bounded_is_refused_by_name(key: str, value: object, place: str) -> None:
    with pytest.raises(BadField) as refused:
        read(**{key: value})
    assert refused.value.place == place


def test_a_failure_is_told_in_the_sdks_terms() -> None:
    with sdk(lambda _: body("not base64")) as (client, _), pytest.raises(openai.APIStatusError) as failed:
        client.embeddings.create(model="m", input="x")
    assert failed.value.status_code == 502
    assert failed.value.code == "upstream_failed"
    assert DIALECT.end_blocked(NAMING, None) == DIALECT.end_failed(NAMING, None, Code.STOPPED) == b""
