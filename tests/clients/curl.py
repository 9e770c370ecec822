"""curl, as in many a shell script: what the status line, the body and the events of a stream say."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.clients.endings import FIELD, Ask, Client, Seen
from tests.parts import debian


def program() -> tuple[Path, Mapping[str, str] | None]:
    """This machine's curl, or Debian's unpacked, and its environment; RuntimeError that says what is missing."""
    found = shutil.which("curl")
    return (Path(found), None) if found else (debian.binary("curl", "curl"), debian.environment("curl"))


def _chat_said(answer: Any) -> tuple[str, str | None]:
    """Text and ending in an answer or in one event of it."""
    choice = answer["choices"][0] if answer["choices"] else {}
    text = (choice.get("message") or choice.get("delta") or {}).get("content") or ""
    return text, choice.get("finish_reason")


def _message_said(answer: Any) -> tuple[str, str | None]:
    if answer["type"] == "message":
        return "".join(block["text"] for block in answer["content"]), answer["stop_reason"]
    delta = answer.get("delta") or {}
    return delta.get("text", ""), delta.get("stop_reason")


def _look(path: str, said: Callable[[Any], tuple[str, str | None]], *, terminator: str) -> Callable[[Ask], Seen]:
    def look(ask: Ask) -> Seen:
        curl, env = program()
        body = {"model": ask.model, "max_tokens": 64, "messages": [{"role": "user", "content": ask.prompt}]}
        body |= {"stream": ask.streamed, **({FIELD: 9} if ask.bad else {})}
        headers = ("-H", f"authorization: Bearer {ask.key}", "-H", "content-type: application/json")
        options = ("--silent", "--no-buffer", "--include", "--max-time", "60", "--noproxy", "*")
        command = [str(curl), *options, *headers, "--data-binary", json.dumps(body), ask.url + path]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            status = int(process.stdout.readline().split()[1])
            while process.stdout.readline().strip():
                pass
            streamed = ask.streamed and status == 200
            seen = _stream(process.stdout, ask, said, terminator) if streamed else None
            rest = process.stdout.read()
        assert process.returncode == 0, "the body did not end properly"
        if seen is not None:
            assert not rest.strip()
            return seen
        answer = json.loads(rest)
        if status != 200:
            return Seen(error="HTTP", status=status, code=_code(answer["error"]))
        return Seen(*said(answer))

    return look


def _stream(lines: Any, ask: Ask, said: Callable[[Any], tuple[str, str | None]], terminator: str) -> Seen:
    text, finish, ended = "", None, False
    for line in lines:
        assert not ended or not line.strip()
        if not line.startswith("data: "):
            continue
        if line.strip() == terminator:
            ended = True
            continue
        answer = json.loads(line.removeprefix("data: "))
        if "error" in answer:
            return Seen(text, error="error event", code=_code(answer["error"]))
        more, reason = said(answer)
        text, finish = text + more, reason or finish
        if more:
            ask.came()
    assert ended, "the stream ended without its terminator and without an error"
    return Seen(text, finish)


def _code(error: Mapping[str, Any]) -> str:
    return str(error["details"]["error_code"] if "details" in error else error["code"])


_STOP: Final = 'data: {"type":"message_stop"}'
CLIENTS: Final = (
    Client("curl: /v1/chat/completions", "", _look("/v1/chat/completions", _chat_said, terminator="data: [DONE]")),
    Client("curl: /v1/messages", "", _look("/v1/messages", _message_said, terminator=_STOP)),
)
