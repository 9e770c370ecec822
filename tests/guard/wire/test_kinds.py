"""Which further keys a server kind may be sent: bounded scalars only, and a reason for each that is refused."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.model import ServerKind
from guard.wire.kinds import REFUSED, extra_keys
from guard.wire.openai_chat import REQUEST as CHAT
from guard.wire.openai_completions import REQUEST as COMPLETIONS
from guard.wire.strict_json import BadField
from guard.wire.table import Collector, Flag, Number, OneOf, Record, Refused
from tests.parts.llama import LlamaServer

KINDS = [*(kind.value for kind in ServerKind), "anthropic"]
OPERATIONS = ["chat", "completions", "messages", "responses", "embeddings", "moderations"]
LLAMACPP = {
    "top_k": 0,
    "min_p": 1,
    "typical_p": 0.5,
    "top_n_sigma": -1,
    "xtc_probability": 0,
    "xtc_threshold": 0.1,
    "dynatemp_range": 0,
    "dynatemp_exponent": 1,
    "repeat_penalty": 1.1,
    "repeat_last_n": 64,
    "dry_multiplier": 0,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": 0,
    "mirostat": 0,
    "mirostat_tau": 5,
    "mirostat_eta": 0.1,
    "adaptive_target": -1,
    "adaptive_decay": 0.9,
    "min_keep": 0,
    "ignore_eos": False,
    "n_indent": 0,
    "t_max_predict_ms": 60_000,
}


def allowed(kind: str, operation: str) -> set[str]:
    return {key for key, spec in extra_keys(kind, operation).items() if not isinstance(spec, Refused)}


def read(kind: str, operation: str, body: dict[str, Any]) -> Any:
    into = Collector()
    sent = Record(extra_keys(kind, operation)).read(body, "", into)
    assert into.passages == []
    return sent


@pytest.mark.parametrize(("kind", "operation"), [*product(KINDS, OPERATIONS)])
def test_every_key_is_a_bounded_scalar_or_refused(kind: str, operation: str) -> None:
    for spec in extra_keys(kind, operation).values():
        assert isinstance(spec, Number | Flag | OneOf | Refused)


@pytest.mark.parametrize(("kind", "operation"), [*product(KINDS, OPERATIONS)])
def test_no_refused_key_is_allowed_by_any_kind(kind: str, operation: str) -> None:
    assert not allowed(kind, operation) & REFUSED.keys()
    assert extra_keys(kind, operation).keys() >= REFUSED.keys()


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_a_refused_key_is_named_with_its_reason(key: str) -> None:
    with pytest.raises(BadField) as refused:
        read("vllm", "chat", {key: "x"})
    assert str(refused.value) == f"{key}: {REFUSED[key]}"
    assert "  " not in REFUSED[key]
    assert not REFUSED[key].endswith(".")


@pytest.mark.parametrize("key", sorted(REFUSED.keys() & (CHAT.keys() | COMPLETIONS.keys())))
def test_a_key_of_a_dialects_own_table_is_only_refused_where_that_table_also_narrows_it(key: str) -> None:
    for table in (CHAT, COMPLETIONS):
        if key in table:
            assert isinstance(table[key], Refused | OneOf)


def test_a_kind_or_route_that_nobody_reviewed_adds_nothing() -> None:
    assert allowed("", "chat") == allowed("other", "chat") == allowed("vllm", "other") == set()


def test_servers_that_ignore_a_setting_are_not_sent_it() -> None:
    assert "top_k" in allowed("vllm", "chat")
    assert "top_k" not in allowed("ollama", "chat") | allowed("tgi", "chat") | allowed("openai", "chat")
    assert "mirostat" in allowed("llamacpp", "completions")
    assert "mirostat" not in allowed("vllm", "completions")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("top_k", 1.5),
        ("top_k", True),
        ("top_k", "40"),
        ("top_k", 10**18),
        ("min_p", 1.01),
        ("min_p", [0.1]),
        ("repetition_penalty", 0),
        ("ignore_eos", 1),
        ("skip_special_tokens", "false"),
        ("stream_interval", 0),
    ],
)
def test_what_lies_outside_its_bounds_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(BadField) as refused:
        read("vllm", "chat", {key: value})
    assert refused.value.place == key


@given(st.sampled_from(KINDS), st.sampled_from(OPERATIONS), st.data())
def test_nothing_but_scalars_gets_through(kind: str, operation: str, data: st.DataObject) -> None:
    value = data.draw(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
    for key in allowed(kind, operation):
        try:
            sent = read(kind, operation, {key: value})
        except BadField:
            continue
        assert sent in ({}, {key: value})
        assert isinstance(value, bool | int | float | None)


def test_the_real_llama_server_takes_every_key_of_its_table(tmp_path: Path) -> None:
    assert LLAMACPP.keys() == allowed("llamacpp", "chat") == allowed("llamacpp", "completions")
    body = {"model": "tiny", "max_tokens": 3, **read("llamacpp", "completions", LLAMACPP)}
    with LlamaServer(tmp_path) as server:
        for path, prompt in (
            ("/v1/completions", {"prompt": "x"}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
        ):
            answer = httpx.post(server.url + path, json={**body, **prompt}, timeout=30, trust_env=False)
            assert answer.status_code == 200, json.dumps(answer.json())
