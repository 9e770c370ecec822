"""A chat request: every key is inspected, checked or refused, and what is sent is what was inspected.

It is one file because all of its tests are made from one table of rows.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.wire.dialect import NOTHING_GRANTED, TOLD, Naming, Request
from guard.wire.openai_answer import Seen, StreamReader, WholeReader
from guard.wire.openai_chat import REQUEST, OpenAIChat
from guard.wire.strict_json import BadField, parse_object
from guard.wire.table import Refused
from safeguards.verdict import Code

CHAT: Final = OpenAIChat()
MARK: Final = "Marker 42!"
USER: Final = {"role": "user", "content": "hello"}
NAMING: Final = Naming("0123abcd", "demo", 1_700_000_000)

# What each key of the table may be, with the marker wherever it takes the caller's own text.
ROWS: Final[dict[str, list[Any]]] = {
    "model": [MARK],
    "messages": [
        [{"role": "user", "content": MARK, "name": MARK}],
        [{"role": "system", "content": [{"type": "text", "text": MARK}], "name": MARK}, USER],
        [{"role": "developer", "content": MARK, "name": MARK}],
        [
            {
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": MARK}],
                "name": MARK,
                "refusal": MARK,
                "reasoning_content": MARK,
                "tool_calls": [{"id": MARK, "type": "function", "function": {"name": MARK, "arguments": MARK}}],
            },
            {"role": "tool", "content": MARK, "tool_call_id": MARK},
        ],
    ],
    "tools": [
        [
            {
                "type": "function",
                "function": {
                    "name": MARK,
                    "description": MARK,
                    "parameters": {"type": "object", "properties": {MARK: {"enum": [MARK, 5]}}},
                    "strict": True,
                },
            }
        ],
        [],
    ],
    "tool_choice": ["none", "auto", "required", {"type": "function", "function": {"name": MARK}}],
    "response_format": [
        {"type": "text"},
        {"type": "json_object"},
        {
            "type": "json_schema",
            "json_schema": {"name": MARK, "description": MARK, "schema": {MARK: MARK}, "strict": False},
        },
    ],
    "stop": [MARK, [MARK, "b"]],
    "user": [MARK],
    "stream": [True, False],
    "stream_options": [{"include_usage": True, "include_obfuscation": False}, {}],
    "temperature": [0, 0.5, 2],
    "top_p": [0, 1.0],
    "frequency_penalty": [-2, 2],
    "presence_penalty": [-2.0, 1],
    "seed": [0, -(2**63), 2**63 - 1],
    "n": [1, 8],
    "max_tokens": [1],
    "max_completion_tokens": [1_000_000],
    "parallel_tool_calls": [True],
    "reasoning_effort": ["none", "xhigh"],
    "verbosity": ["low"],
    "modalities": [["text"]],
    "logprobs": [False],
    "store": [False],
}
WRONG: Final[dict[str, list[Any]]] = {
    "model": [1, ["x"], "x" * 257],
    "messages": [
        [],
        {},
        "text",
        [1],
        [[]],
        [{}],
        [{"role": "root", "content": "x"}],
        [{"role": ["user"], "content": "x"}],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": 1}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        [{"role": "user", "content": [{"type": ["text"], "text": "x"}]}],
        [{"role": "user", "content": [{"text": "x"}]}],
        [{"role": "user", "content": ["x"]}],
        [{"role": "user", "content": "x", "tool_calls": []}],
        [{"role": "assistant", "audio": {"id": "x"}}],
        [{"role": "assistant", "function_call": {"name": "x"}}],
        [{"role": "assistant", "annotations": []}],
        [{"role": "assistant", "tool_calls": []}],
        [{"role": "assistant", "tool_calls": [{"id": "x", "type": "custom", "custom": {}}]}],
        [{"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "x"}}]}],
        [{"role": "tool", "content": "x"}],
        [USER] * 4097,
    ],
    "tools": ["x", [{"type": "web_search"}], [{"type": "function"}], [{"type": "function", "function": {}}]],
    "tool_choice": ["any", 1, {"type": "function"}, {"type": "allowed_tools"}],
    "response_format": ["text", {}, {"type": "grammar"}, {"type": "json_schema", "json_schema": {}}],
    "stop": [1, ["a"] * 9, [None], "x" * 257],
    "user": [1, "x" * 257],
    "stream": ["true", 1],
    "stream_options": [[], {"include_usage": 1}, {"include_obfuscation": True}],
    "temperature": [-0.1, 2.1, "1", True],
    "top_p": [1.1],
    "frequency_penalty": [3],
    "presence_penalty": [-3],
    "seed": [2**63, 1.0],
    "n": [0, 9, 1.5],
    "max_tokens": [0, 1_000_001],
    "max_completion_tokens": [0],
    "parallel_tool_calls": ["yes"],
    "reasoning_effort": ["extreme"],
    "verbosity": [1],
    "modalities": [["audio"], [None], "text", ["text", "text"]],
    "logprobs": [True, 0],
    "store": [True],
}
REFUSED: Final = [key for key, spec in REQUEST.items() if isinstance(spec, Refused)]
FULL: Final[dict[str, Any]] = {key: copy.deepcopy(rows[0]) for key, rows in ROWS.items()} | {
    "messages": [message for row in ROWS["messages"] for message in row],
    "response_format": ROWS["response_format"][2],
    "tool_choice": ROWS["tool_choice"][3],
}


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def read(raw: bytes) -> Request:
    return CHAT.read_request(parse_object(raw), NOTHING_GRANTED)


def understand(fields: dict[str, Any]) -> Request:
    return read(body({"model": "demo", "messages": [USER]} | fields))


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a JSON document."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from spots(item, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def changed(path: tuple[Any, ...], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the full request with one value exchanged."""
    document = copy.deepcopy(FULL)
    if not path:
        return dict(change(document))
    parent = at(document, path[:-1])
    parent[path[-1]] = change(parent[path[-1]])
    return document


def name(path: tuple[Any, ...]) -> str:
    """Write a path as places are written."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def is_free(path: tuple[Any, ...]) -> bool:
    return "parameters" in path[:-1] or "schema" in path[:-1]


STRINGS: Final = [path for path in spots(FULL) if isinstance(at(FULL, path), str)]
OBJECTS: Final = [
    path for path in spots(FULL) if isinstance(at(FULL, path), dict) and not is_free((*path, "x")) and path != ("",)
]


def test_the_rows_of_this_test_are_the_keys_of_the_table() -> None:
    assert set(ROWS) == set(WRONG) == set(REQUEST) - set(REFUSED)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, rows in ROWS.items() for value in rows])
def test_every_key_of_the_table_takes_its_values_and_sends_them_on(key: str, value: Any) -> None:
    request = understand({key: value})
    sent = json.loads(CHAT.write_request(request, "upstream-name"))
    expected = {"model": "upstream-name", "messages": [USER]} | ({} if key == "model" else {key: value})
    assert sent == expected
    assert request.model == (value if key == "model" else "demo")
    assert request.streamed == (key == "stream" and value)
    found = sum(passage.text.count(MARK) for passage in request.passages)
    assert found == (0 if key == "model" else json.dumps(value).count(MARK))


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, rows in WRONG.items() for value in rows])
def test_every_key_of_the_table_refuses_other_values_by_name(key: str, value: Any) -> None:
    with pytest.raises(BadField) as bad:
        understand({key: value})
    assert bad.value.place.startswith(key)


@pytest.mark.parametrize("key", REFUSED)
def test_a_key_that_is_known_and_not_served_is_refused_with_its_reason(key: str) -> None:
    spec = REQUEST[key]
    assert isinstance(spec, Refused)
    values: tuple[object, ...] = (MARK, 1, True, {}, [])
    for value in values:
        with pytest.raises(BadField) as bad:
            understand({key: value})
        assert str(bad.value) == f"{key}: {spec._why}"


@pytest.mark.parametrize("key", [key for key in REQUEST if key not in {"model", "messages"}])
def test_null_means_not_given_and_is_not_sent(key: str) -> None:
    assert understand({key: None}).fields == {"messages": [USER]}


@pytest.mark.parametrize("key", ["model", "messages"])
def test_model_and_messages_must_be_there(key: str) -> None:
    with pytest.raises(BadField, match=f"{key}: is missing"):
        understand({key: None})
    with pytest.raises(BadField, match="is missing"):
        read(b"{}")


@pytest.mark.parametrize("path", OBJECTS, ids=name)
def test_an_unknown_key_is_refused_at_every_depth_and_named(path: tuple[Any, ...]) -> None:
    with pytest.raises(BadField) as bad:
        read(body(changed(path, lambda each: each | {"surprise_key": MARK})))
    assert bad.value.place == name((*path, "surprise_key"))
    assert "is not allowed; allowed are" in bad.value.message
    assert MARK not in str(bad.value)


@pytest.mark.parametrize("path", OBJECTS, ids=name)
@pytest.mark.parametrize("key", ["My Secret", "Content", "ROLE", "role ", "r\u00f6le", "x" * 41, "", "__proto__"])
def test_a_key_that_is_rather_a_text_is_refused_without_repeating_it(path: tuple[Any, ...], key: str) -> None:
    with pytest.raises(BadField) as bad:
        read(body(changed(path, lambda each: each | {key: 1})))
    assert bad.value.place == name(path)
    assert not key or key not in bad.value.message.replace("allowed", "").replace("is not", "")


@pytest.mark.parametrize("path", STRINGS, ids=name)
def test_every_string_is_inspected_or_one_of_a_few_words(path: tuple[Any, ...]) -> None:
    document = changed(path, lambda _: "Something Else")
    try:
        request = read(body(document))
    except BadField as bad:
        told = bad.message
    else:
        told = ""
    if told:
        assert "must be one of" in told or "no mounted classifier" in told
        return
    assert path == ("model",) or any("Something Else" in passage.text for passage in request.passages)


@pytest.mark.parametrize("path", [path for path in spots(FULL) if path], ids=name)
@pytest.mark.parametrize("wrong", [{MARK: MARK}, [MARK], MARK * 2, 10**15, True], ids=str)
def test_no_refusal_repeats_the_callers_text(path: tuple[Any, ...], wrong: Any) -> None:
    told = ""
    try:
        read(body(changed(path, lambda _: wrong)))
    except BadField as bad:
        told = str(bad)
    assert "Marker" not in told
    assert str(10**15) not in told


def test_the_voice_of_each_passage_is_its_messages_role() -> None:
    request = read(body(FULL))
    voices = {passage.place: passage.role for passage in request.passages}
    assert voices["messages[0].content"] == "user"
    assert voices["messages[0].name"] == "control"
    assert voices["messages[1].content[0].text"] == "system"
    assert voices["messages[3].content"] == "developer"
    assert voices["messages[4].refusal"] == "assistant"
    assert voices["messages[4].tool_calls[0].function.arguments"] == "assistant"
    assert voices["messages[5].content"] == "tool"
    assert voices["tools[0].function.description"] == voices["stop"] == voices["user"] == "control"
    assert not any(place.endswith((".role", ".type")) or place == "model" for place in voices)


def test_tool_arguments_are_inspected_as_they_stand_and_unescaped() -> None:
    arguments = '{"text":"\\u0046ORBIDDEN"}'
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    request = understand({"messages": [{"role": "assistant", "tool_calls": [call]}]})
    texts = [passage.text for passage in request.passages]
    assert arguments in texts
    assert '{"text":"FORBIDDEN"}' in texts


def test_half_a_surrogate_pair_hidden_in_tool_arguments_cannot_break_a_record() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a":"\\ud800"}'}}
    request = understand({"messages": [{"role": "assistant", "tool_calls": [call]}]})
    for passage in request.passages:
        passage.text.encode()


def test_the_message_of_an_sdk_can_be_sent_back_as_it_was_dumped() -> None:
    dumped = {
        "role": "assistant",
        "content": "hi",
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    assert understand({"messages": [USER, dumped, USER]}).fields["messages"][1] == {
        "role": "assistant",
        "content": "hi",
    }


def test_huge_numbers_in_a_schema_are_sent_as_they_are() -> None:
    schema = {"maximum": 10**20 - 1, "minimum": -(10**19) + 1, "multipleOf": 1e-7}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    sent = json.loads(CHAT.write_request(understand({"tools": [tool]}), "m"))
    assert sent["tools"][0]["function"]["parameters"] == schema


JSON: Final = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["user", "assistant", "tool", "text", "function", "auto", "json_schema", "\ud800", MARK]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.text(max_size=3),
                st.sampled_from(
                    [*REQUEST, "role", "content", "text", "type", "function", "name", "arguments", "id", "tool_calls"]
                ),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


def check(raw: bytes) -> None:
    try:
        request = read(raw)
    except BadField as bad:
        str(bad).encode()
        return
    written = CHAT.write_request(request, "m")
    again = read(written)
    assert again.fields == request.fields
    assert again.passages == request.passages
    assert again.streamed == request.streamed
    for passage in request.passages:
        passage.text.encode()


@given(st.dictionaries(st.sampled_from([*REQUEST]), JSON, max_size=6), st.booleans())
def test_any_object_is_understood_or_a_bad_field(fields: dict[str, Any], whole: bool) -> None:
    check(body({"model": "demo", "messages": [USER]} | fields if whole else fields))


@settings(max_examples=200)
@given(st.sampled_from([path for path in spots(FULL) if path]), JSON)
def test_a_full_request_with_any_value_exchanged_is_understood_or_a_bad_field(
    path: tuple[Any, ...], value: Any
) -> None:
    check(body(changed(path, lambda _: value)))


@given(st.one_of(st.binary(max_size=60), st.integers(0, 2000).map(lambda end: body(FULL)[:end])))
def test_any_bytes_are_understood_or_a_bad_field(raw: bytes) -> None:
    check(raw)


@given(st.integers(0, 3000), st.integers(0, 255))
def test_a_full_request_with_any_byte_exchanged_is_understood_or_a_bad_field(place: int, byte: int) -> None:
    raw = bytearray(body(FULL))
    raw[place % len(raw)] = byte
    check(bytes(raw))


def test_a_surrogate_that_comes_past_the_parser_is_a_bad_field_too() -> None:
    with pytest.raises(BadField, match="surrogate"):
        CHAT.write_request(Request("m", False, (), {"user": "\ud800"}), "m")


def test_the_reader_fits_the_request() -> None:
    assert type(CHAT.reader(understand({"stream": True}), NAMING)) is StreamReader
    assert type(CHAT.reader(understand({}), NAMING)) is WholeReader


@pytest.mark.parametrize("code", Code)
def test_every_code_has_an_envelope(code: Code) -> None:
    error = json.loads(CHAT.error(code, "r1", "messages[0].role: must be one of user"))["error"]
    assert error["code"] == code.value
    assert error["param"] == "messages[0].role"
    assert error["message"].startswith(TOLD[code].sentence)
    assert "(request r1)" in error["message"]
    assert error["type"] in {
        "invalid_request_error",
        "server_error",
        "authentication_error",
        "permission_error",
        "rate_limit_error",
    }


def test_an_envelope_without_detail_names_no_parameter() -> None:
    assert json.loads(CHAT.error(Code.INTERNAL, "r1"))["error"]["param"] is None
    assert json.loads(CHAT.error(Code.BAD_REQUEST, "r1", "the body is not UTF-8"))["error"]["param"] is None


def test_a_block_finishes_every_choice_and_terminates() -> None:
    chunk, done, rest = CHAT.end_blocked(NAMING, Seen((0, 2))).split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    parsed = json.loads(chunk.removeprefix(b"data: "))
    assert [(each["index"], each["finish_reason"]) for each in parsed["choices"]] == [
        (0, "content_filter"),
        (2, "content_filter"),
    ]
    assert (parsed["id"], parsed["model"], parsed["created"]) == ("chatcmpl-0123abcd", "demo", 1_700_000_000)


def test_a_failure_ends_the_stream_with_an_error_and_no_terminator() -> None:
    event = CHAT.end_failed(NAMING, None, Code.STOPPED)
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert b"[DONE]" not in event
    assert json.loads(event[6:])["error"]["code"] == "stopped"
