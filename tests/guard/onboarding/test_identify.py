"""Which server it is and what it serves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from guard.onboarding.asking import Asking
from guard.onboarding.identify import MAX_MODELS, NotUnderstoodError, Server, identify
from guard.policy.model import ServerKind
from tests.parts.inference_servers import SERVERS, listing, methods, played, plays
from tests.parts.llama import LlamaServer
from tests.parts.upstream import Script, ScriptedUpstream, answer, sends


def look_at(url: str, key: str = "") -> Server:
    async def look() -> Server:
        async with Asking(url, seconds=5) as asking:
            return await identify(asking, key)

    return asyncio.run(look())


def look(script: Script, key: str = "") -> Server:
    with ScriptedUpstream(script) as upstream:
        return look_at(upstream.url, key)


def test_the_real_llama_server_is_known_with_its_build_and_its_model(tmp_path: Path) -> None:
    with LlamaServer(tmp_path) as llama:
        found = look_at(llama.url)
    assert (found.kind, found.models, found.keyed, found.admitted) == (ServerKind.LLAMACPP, ("tiny",), False, True)
    assert found.version


def test_the_real_llama_server_with_a_key_lists_its_models_and_still_wants_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_API_KEY", "right")
    with LlamaServer(tmp_path) as llama:
        found = [look_at(llama.url, key) for key in ("", "wrong", "right")]
    assert [each.keyed for each in found] == [True, True, True]
    assert [each.admitted for each in found] == [False, False, True]
    assert {each.kind for each in found} == {ServerKind.LLAMACPP}


@pytest.mark.parametrize("kind", SERVERS)
def test_each_server_is_known_by_its_pages_and_only_read(kind: ServerKind) -> None:
    with ScriptedUpstream(played(kind)) as upstream:
        found = look_at(upstream.url)
        asked = methods(upstream.requests)
    assert found.kind is kind
    assert (found.keyed, found.admitted) == (False, True)
    assert {method for method, _ in asked} == {"GET"}
    # a GET of these generates a token or empties a cache on some server
    assert not {"/health", "/health_generate", "/flush_cache"} & {path for _, path in asked}


@pytest.mark.parametrize(
    ("kind", "version"), [(ServerKind.VLLM, "0.33.0"), (ServerKind.TGI, "3.3.5"), (ServerKind.OLLAMA, "0.12.3")]
)
def test_a_version_is_told_where_there_is_one(kind: ServerKind, version: str) -> None:
    assert look(played(kind)).version == version


def test_all_models_are_listed_in_their_order() -> None:
    assert look(played(ServerKind.OLLAMA)).models == ("llama3.2:latest", "qwen:7b")


def test_a_server_that_asks_for_a_key_is_known_to_and_ours_opens_it() -> None:
    script = played(ServerKind.VLLM, key="right", guarded=("/v1",))
    closed = look(script)
    assert (closed.keyed, closed.admitted, closed.models) == (True, False, ())
    assert closed.kind is ServerKind.VLLM  # its page /version is open
    assert look(script, "wrong").admitted is False
    opened = look(script, "right")
    assert (opened.keyed, opened.admitted, opened.models) == (True, True, ("org/Chat-7B",))


def test_a_server_that_lists_models_to_anybody_but_answers_with_a_key_only_is_keyed() -> None:
    script = played(ServerKind.VLLM, key="right", guarded=("/v1/chat",))
    assert (look(script).keyed, look(script).admitted) == (True, False)
    assert look(script, "wrong").admitted is False
    assert look(script, "right").admitted is True


def test_the_key_is_sent_below_v1_alone() -> None:
    with ScriptedUpstream(played(ServerKind.OPENAI, key="right")) as upstream:
        look_at(upstream.url, "right")
        sent = [(b"right" in each.head, path) for each in upstream.requests for _, path in methods([each])]
    assert {path for with_key, path in sent if with_key} == {"/v1/models", "/v1/chat/completions"}
    assert any(not with_key for with_key, _ in sent)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (plays({"/v1/models": []}), "no list of models"),
        (plays({"/v1/models": {"data": {}}}), "no list of models"),
        (plays({"/v1/models": {"data": []}}), "lists no model"),
        (plays({"/v1/models": {"data": [1, None, {"id": 7}, {}]}}), "lists no model"),
        (plays({}), r"no list of models .* \(status 404\)"),
        (sends(answer(b"{garbage")), "no list of models"),
        (sends(answer(b'{"data":' + b"[" * 50_000)), "no list of models"),
        (sends(answer(b'{"data": []}' + b" " * 2_000_000)), "more than can be read"),
        (sends(answer(b"", status="307 Temporary Redirect", more="location: http://127.0.0.1:1/\r\n")), "redirects"),
    ],
)
def test_a_server_that_lists_no_models_is_not_understood(script: Script, words: str) -> None:
    with pytest.raises(NotUnderstoodError, match=words):
        look(script)


def test_a_very_long_list_is_cut() -> None:
    assert len(look(plays({"/v1/models": listing(*map(str, range(3000)))})).models) == MAX_MODELS


def test_signs_of_the_wrong_type_are_none() -> None:
    models = {"data": [{"id": "m", "owned_by": ["vllm"]}]}
    found = look(plays({"/v1/models": models, "/version": {"version": 7}, "/info": [], "/props": "x"}))
    assert (found.kind, found.version) == (ServerKind.VLLM, "")
