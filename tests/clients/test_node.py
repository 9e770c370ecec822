"""The Node libraries with only URL and key changed: tools, structured output, models; and how node itself is found."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.clients.node import HERE, LINES, wheel
from tests.clients.stand import Stand
from tests.guard.wire.anthropic_streams import FULL
from tests.parts import responses_server as responses
from tests.parts.upstream import LAST_CHUNK, STREAM_HEAD, Peer, Received, Script, answer, chunk, completion, says

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
pytestmark = pytest.mark.timeout(300)  # the first of them may have to install its libraries


def use(stand: Stand, name: str) -> Any:
    """What a piece of the driver returns."""
    return LINES.ask({"use": name, "url": stand.guard.url, "key": stand.credentials.key, "model": "demo"})["used"]


def calls_then_says(text: str) -> Script:
    """Call the tool where there is no result of it yet, else say this."""

    async def script(peer: Peer, request: Received) -> None:
        if any(message["role"] == "tool" for message in request.json["messages"]):
            await says(text)(peer, request)
        else:
            await peer.send(answer(completion(message={"role": "assistant", "tool_calls": [CALL]})))

    return script


async def _full(peer: Peer, _: Received) -> None:
    await peer.send(STREAM_HEAD, chunk(FULL) + LAST_CHUNK)


RESPONSE = responses.responds(responses.Message(['{"city": "Bern"}']))
USES: tuple[tuple[str, Script, Any], ...] = (
    ("openai tools", calls_then_says("Sun."), {"calls": ["weather"], "text": "Sun."}),
    ("openai responses stream", RESPONSE, {"text": '{"city": "Bern"}', "status": "completed"}),
    ("openai models", RESPONSE, ["demo"]),
    ("anthropic tools", _full, {"input": {"city": "Berlin", "days": [1, 2]}, "reason": "tool_use"}),
    ("anthropic models", RESPONSE, ["demo"]),
    ("vercel tools", calls_then_says("Sun."), {"calls": ["Bern"], "text": "Sun.", "steps": 2}),
    ("vercel object", says('{"city": ', '"Bern"}'), {"city": "Bern"}),
)


@pytest.mark.parametrize(("name", "script", "expected"), USES, ids=[use[0] for use in USES])
def test_a_library_is_used_as_its_documents_show(stand: Stand, name: str, script: Script, expected: Any) -> None:
    stand.upstream.script = script
    assert use(stand, name) == expected


def test_the_lock_names_versions_and_hashes_but_no_place_to_fetch_them_from() -> None:
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    packages.pop("")
    assert all("resolved" not in each and each["version"] and each["integrity"] for each in packages.values())


def test_a_machine_without_node_gets_one() -> None:
    node, npm = wheel()
    for program in ([node], [node, npm]):
        done = subprocess.run([*program, "--version"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
