"""The scripted model on the real inference server says what its scripts say, and can be stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.parts.llama import LlamaServer
from tests.parts.scripted_model import LOOP, SCRIPTS, script_text, write_scripted_model

NAMES = ("hello", "long", "marker", "unicode")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    with LlamaServer(tmp_path_factory.mktemp("llama")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: LlamaServer) -> Iterator[httpx.Client]:
    # The server closes a connection after a stream without announcing it, so none is used again.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30, limits=limits) as connected:
        yield connected


def chat(prompt: str, **settings: object) -> dict[str, object]:
    return {"model": "tiny", "messages": [{"role": "user", "content": prompt}], **settings}


def answer(client: httpx.Client, prompt: str, **settings: object) -> dict[str, Any]:
    whole = client.post("/v1/chat/completions", json=chat(prompt, **settings)).raise_for_status().json()
    choice: dict[str, Any] = whole["choices"][0]
    return choice


def pieces(client: httpx.Client, prompt: str) -> list[str]:
    with client.stream("POST", "/v1/chat/completions", json=chat(prompt, stream=True)) as stream:
        data = [line.removeprefix("data: ") for line in stream.iter_lines() if line]
    assert data[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in data[:-1]]
    return [delta["content"] for delta in deltas if delta.get("content")]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "did not happen within 30 s"
        time.sleep(0.02)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_said_to_its_end(client: httpx.Client, name: str) -> None:
    said = answer(client, f"script:{name}", temperature=0)
    assert said["message"]["content"] == script_text(SCRIPTS[name])
    assert said["finish_reason"] == "stop"


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_adds_up_to_the_script(client: httpx.Client, name: str) -> None:
    parts = pieces(client, f"script:{name}")
    assert "".join(parts) == script_text(SCRIPTS[name])
    assert len(parts) >= 7


def test_the_marker_is_said_but_never_in_one_piece(client: httpx.Client) -> None:
    parts = pieces(client, "script:marker")
    assert "FORBIDDEN-MARKER" in "".join(parts)
    assert not any("FORBIDDEN" in part or "MARKER" in part for part in parts)


def test_the_default_is_the_first_script(client: httpx.Client) -> None:
    assert answer(client, "what is the weather?")["message"]["content"] == script_text(SCRIPTS["hello"])


def test_chance_settings_change_nothing(client: httpx.Client) -> None:
    wild = answer(client, "script:marker", temperature=2, top_p=1, top_k=0, min_p=0, frequency_penalty=2, seed=7)
    assert wild["message"]["content"] == script_text(SCRIPTS["marker"])


def test_a_long_prompt_of_any_text_still_picks_its_script(client: httpx.Client) -> None:
    prompt = "plain words, Grüße, 世界 🌞 \t\n <|hello|> " * 100 + "script:marker"
    assert answer(client, prompt)["message"]["content"] == script_text(SCRIPTS["marker"])


def test_the_last_user_message_decides(client: httpx.Client) -> None:
    messages = [
        {"role": "system", "content": "script:long"},
        {"role": "user", "content": "script:marker"},
        {"role": "assistant", "content": "script:long"},
        {"role": "user", "content": [{"type": "text", "text": "script:unicode"}]},
    ]
    whole = client.post("/v1/chat/completions", json={"messages": messages}).raise_for_status().json()
    assert whole["choices"][0]["message"]["content"] == script_text(SCRIPTS["unicode"])


def test_a_raw_prompt_picks_its_script_by_the_start_token(client: httpx.Client) -> None:
    whole = client.post("/v1/completions", json={"prompt": "some text<|marker|>"}).raise_for_status().json()
    assert whole["choices"][0]["text"] == script_text(SCRIPTS["marker"])


def test_a_loop_ends_at_the_limit_of_the_request(client: httpx.Client) -> None:
    said = answer(client, "script:endless", max_tokens=250)
    assert said["finish_reason"] == "length"
    assert said["message"]["content"].endswith(" tick49 tick50")


def test_a_loop_outlasts_the_context(tmp_path: Path) -> None:
    with (
        LlamaServer(tmp_path, slots=1, context=256) as small,
        httpx.Client(base_url=small.url, trust_env=False, timeout=30) as client,
    ):
        said = answer(client, "script:endless", max_tokens=1000)
    assert said["message"]["content"] == script_text(SCRIPTS["endless"]) * 10


def test_a_stream_that_its_reader_leaves_is_stopped(server: LlamaServer, client: httpx.Client) -> None:
    with client.stream("POST", "/v1/chat/completions", json=chat("script:endless", stream=True)) as stream:
        lines = stream.iter_lines()
        while "tick3" not in next(lines):
            pass
        assert server.requests_processing() == 1
    until(lambda: server.requests_processing() == 0)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = LlamaServer(tmp_path)
    next(tmp_path.glob("*.gguf")).write_bytes(b"no model")
    with pytest.raises(RuntimeError, match=r"(?s)llama-server exited with \d+.*gguf"), broken:
        pass


@pytest.mark.parametrize("script", [(), (LOOP,), ("a", LOOP, "b"), ("a",) * 4])
def test_a_script_that_cannot_be_written_is_refused(tmp_path: Path, script: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="script 'bad'"):
        write_scripted_model(tmp_path / "bad.gguf", {"bad": script})


def test_no_scripts_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one script"):
        write_scripted_model(tmp_path / "none.gguf", {})
