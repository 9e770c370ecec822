"""curl before the real server: what the README's reader types first."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.curl import program
from tests.clients.real import Real, real_in
from tests.parts.scripted_model import SCRIPTS, script_text

HELLO = script_text(SCRIPTS["hello"])
BODY = {"model": "real", "max_tokens": 64, "messages": [{"role": "user", "content": "script:hello"}]}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    with real_in(tmp_path_factory.mktemp("real")) as real:
        yield real


def curl(real: Real, path: str, *arguments: str, body: object = None) -> str:
    """What curl prints; AssertionError if it is not content."""
    command, env = program()
    options = ["--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "--max-time", "60"]
    if body is not None:
        options += ["-H", "content-type: application/json", "-d", json.dumps(body)]
    done = subprocess.run(
        [str(command), *options, *arguments, real.guard.url + path],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bearer(real: Real) -> tuple[str, str]:
    return "-H", f"authorization: Bearer {real.credentials.key}"


def events(printed: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in printed.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def test_a_chat_is_printed_whole_and_streamed(real: Real) -> None:
    whole = json.loads(curl(real, "/v1/chat/completions", *bearer(real), body=BODY))
    assert whole["choices"][0]["message"]["content"] == HELLO
    printed = curl(real, "/v1/chat/completions", *bearer(real), body={**BODY, "stream": True})
    assert printed.endswith("data: [DONE]\n\n")
    deltas = [choice["delta"].get("content") or "" for each in events(printed) for choice in each["choices"]]
    assert "".join(deltas) == HELLO


def test_a_message_is_printed_whole_and_streamed_with_the_other_header_for_a_key(real: Real) -> None:
    key = ("-H", f"x-api-key: {real.credentials.key}", "-H", "anthropic-version: 2023-06-01")
    whole = json.loads(curl(real, "/v1/messages", *key, body=BODY))
    assert whole["content"] == [{"type": "text", "text": HELLO}]
    printed = curl(real, "/v1/messages", *key, body={**BODY, "stream": True})
    deltas = [each["delta"].get("text", "") for each in events(printed) if each["type"] == "content_block_delta"]
    assert "".join(deltas) == HELLO
    assert events(printed)[-1] == {"type": "message_stop"}


def test_models_are_listed(real: Real) -> None:
    assert [model["id"] for model in json.loads(curl(real, "/v1/models", *bearer(real)))["data"]] == ["real"]


def test_a_body_that_waits_to_be_asked_for_is_taken(real: Real) -> None:
    # From a megabyte on, curl sends `expect: 100-continue` by itself.
    body = {**BODY, "stream": False}
    printed = curl(real, "/v1/chat/completions", *bearer(real), "-H", "expect: 100-continue", body=body)
    assert json.loads(printed)["choices"][0]["message"]["content"] == HELLO


def test_a_harm_is_reported(real: Real) -> None:
    printed = curl(real, "/v1/chat/completions", *bearer(real), "--include", body=BODY)
    (request,) = [line.split()[1] for line in printed.splitlines() if line.startswith("x-request-id:")]
    told = json.loads(curl(real, "/report", *bearer(real), body={"request_id": request, "comment": "wrong"}))
    assert told["request_id"] == request
