"""Moderations: text in, verdicts of a closed list out."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Moderation

from guard.wire.dialect import Grants, Request
from guard.wire.openai_moderations import CATEGORIES, MAX_INPUTS, OpenAIModerations, VerdictsReader
from guard.wire.sse import BadStream
from guard.wire.strict_json import BadField
from safeguards.exchange import Passage
from tests.guard.wire.between import NAMING, Between, cut, fed

DIALECT = OpenAIModerations()


def verdict(**more: object) -> dict[str, Any]:
    return {
        "flagged": True,
        "categories": dict.fromkeys(CATEGORIES, False) | {"violence": True},
        "category_scores": dict.fromkeys(CATEGORIES, 0.25),
        "category_applied_input_types": {"violence": ["WORD"]},
        **more,
    }


def body(*verdicts: object, **more: object) -> bytes:
    return json.dumps({"id": "WORD", "model": "WORD", "results": verdicts, **more}).encode()


def answered(upstream: bytes, *, inputs: int = 1) -> tuple[Any, VerdictsReader]:
    reader = VerdictsReader(NAMING, inputs)
    (event,) = fed(reader, upstream)
    assert event.channel is None
    return json.loads(event.data), reader


def read(**fields: Any) -> Request:
    return DIALECT.read_request({"model": "m", "input": "hello", **fields}, Grants())


def test_the_sdk_gets_verdicts_for_a_list() -> None:
    sent: list[Any] = []

    def upstream(request: bytes) -> bytes:
        sent.append(json.loads(request))
        return body(verdict(), verdict(flagged=False))

    with (
        Between(DIALECT, upstream) as between,
        openai.OpenAI(base_url=between.url, api_key="k", max_retries=0) as client,
    ):
        answer = client.moderations.create(model="m", input=["one", "two"])
    assert sent == [{"model": "up", "input": ["one", "two"]}]
    assert (answer.id, answer.model) == ("modr-req-1", "alias")
    assert [each.flagged for each in answer.results] == [True, False]
    Moderation.model_validate(answer.results[0].model_dump(by_alias=True))
    assert answer.results[0].categories.violence is True
    assert answer.results[0].category_scores.hate_threatening == 0.25
    assert answer.results[0].category_applied_input_types.violence == ["text"]


def test_the_categories_are_those_of_the_sdk() -> None:
    fields = Moderation.model_fields["categories"].annotation.model_fields  # type: ignore[union-attr] # a model class
    assert set(CATEGORIES) == {field.alias or name for name, field in fields.items()}


def test_a_category_of_the_servers_own_is_dropped_and_counted() -> None:
    odd = verdict(
        categories={"violence": True, "WORD": True}, category_scores={"violence": 0.5, "WORD": 0.5}, WORD="WORD"
    )
    whole, reader = answered(body(odd, WORD=1))
    assert reader.dropped == 4
    assert "WORD" not in json.dumps(whole)
    assert whole["results"] == [
        {
            "flagged": True,
            "categories": {"violence": True},
            "category_scores": {"violence": 0.5},
            "category_applied_input_types": {"violence": ["text"]},
        }
    ]


def test_scores_keep_seven_digits_after_the_point() -> None:
    whole, _ = answered(body(verdict(category_scores={"violence": 0.123456789012345, "hate": None})))
    scores = whole["results"][0]["category_scores"]
    assert scores["violence"] == 0.1234568
    assert scores["hate"] == 0.0


def test_a_category_without_a_verdict_is_left_out() -> None:
    whole, _ = answered(body(verdict(categories={"illicit": None, "hate": False}, category_scores={})))
    assert whole["results"][0]["categories"] == {"hate": False}


@pytest.mark.parametrize(
    "upstream",
    [
        body(),
        body(verdict()),
        body(verdict(), verdict(), verdict()),
        body(verdict(), verdict(flagged="yes")),
        body(verdict(), verdict(categories={"violence": "text"})),
        body(verdict(), verdict(categories=["violence"])),
        body(verdict(), verdict(category_scores={"violence": 1.5})),
        body(verdict(), verdict(category_scores={"violence": "0.5"})),
        body(verdict(), {"flagged": True}),
        body(verdict(), verdict(), error={"message": "up"}),
        b"null",
        b"",
    ],
)
def test_what_is_not_one_verdict_for_each_input_is_refused(upstream: bytes) -> None:
    with pytest.raises(BadStream):
        answered(upstream, inputs=2)


@given(st.binary(max_size=100))
def test_whatever_comes_only_a_bad_stream_is_raised(data: bytes) -> None:
    with pytest.raises(BadStream):
        answered(data)


@given(st.lists(st.booleans(), min_size=1, max_size=5), st.lists(st.integers(0, 9999), max_size=4))
def test_any_cut_gives_the_same_verdicts(flags: list[bool], places: list[int]) -> None:
    reader = VerdictsReader(NAMING, len(flags))
    (event,) = fed(reader, *cut(body(*(verdict(flagged=flag) for flag in flags)), places))
    assert [each["flagged"] for each in json.loads(event.data)["results"]] == flags


def test_every_input_is_a_passage() -> None:
    assert read(input=["one", "two"]).passages == (
        Passage("input[0]", "user", "one"),
        Passage("input[1]", "user", "two"),
    )


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"input": [{"type": "image_url", "image_url": {"url": "https://x"}}]}, "input[0]"),
        ({"input": [{"type": "text", "text": "x"}]}, "input[0]"),
        ({"input": [1]}, "input[0]"),
        ({"input": ""}, "input"),
        ({"input": ["x"] * (MAX_INPUTS + 1)}, "input"),
        ({"model": None}, "model"),
        ({"stream": True}, "stream"),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_what_is_not_text_is_refused_by_name(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(BadField) as refused:
        read(**fields)
    assert refused.value.place == place
