"""What dialects share of a request: read by a table, written again from what was understood."""

from __future__ import annotations

import json

import pytest

from guard.wire.dialect import Request
from guard.wire.request import understand, written
from guard.wire.strict_json import BadField
from guard.wire.table import Flag, Label, Record, Text

TABLE = Record({"model": Label(), "prompt": Text(), "stream": Flag()}, required=("model", "prompt"))


def test_the_models_name_routes_and_is_not_inspected_as_text() -> None:
    request = understand(TABLE, {"model": "m", "prompt": "hello", "stream": True})
    assert (request.model, request.streamed) == ("m", True)
    assert [(passage.place, passage.text) for passage in request.passages] == [("prompt", "hello")]
    assert request.fields == {"prompt": "hello", "stream": True}


def test_what_asks_for_no_stream_gets_none() -> None:
    assert not understand(TABLE, {"model": "m", "prompt": "hello"}).streamed


def test_what_the_table_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(BadField) as refused:
        understand(TABLE, {"model": "m", "prompt": "hello", "extra": 1})
    assert refused.value.place == "extra"


def test_only_what_was_understood_is_written_and_for_the_upstreams_model() -> None:
    request = understand(TABLE, {"model": "m", "prompt": "hello"})
    assert json.loads(written(request, "upstream's")) == {"model": "upstream's", "prompt": "hello"}


def test_half_a_surrogate_pair_is_refused_and_not_quoted() -> None:
    with pytest.raises(BadField) as refused:
        written(Request("m", False, (), {"prompt": "\ud800"}), "m")
    assert str(refused.value) == "a string holds half a surrogate pair"
