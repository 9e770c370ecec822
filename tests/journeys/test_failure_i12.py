"""Row I12, a failure that was published: protection hung on toggles, refusals looked like successes to monitors.

Here protection belongs to the request: a refusal is counted as one wherever it happens, and a call of a sub-agent is a
call like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pytest

from safeguards.decision import Ending
from tests.parts.configuration import MARKER, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import LAST_CHUNK, STREAM_HEAD, Gate, ScriptedUpstream, chunk, says, sends, text


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GuardThread, ScriptedUpstream, str]]:
    directory = tmp_path_factory.mktemp("served")
    with ScriptedUpstream(says("hello")) as upstream:
        models = [ModelSpec(upstream=upstream.url), ModelSpec("strict", asl=3, upstream=upstream.url)]
        credentials = write_configuration(directory, models=models)
        with GuardThread(directory) as guard:
            yield guard, upstream, credentials.key


@pytest.fixture
def served(running: tuple[GuardThread, ScriptedUpstream, str]) -> tuple[GuardThread, ScriptedUpstream, str]:
    running[1].script = says("hello")
    return running


def ask(guard: GuardThread, key: str, content: str, *, stream: bool, model: str = "demo") -> Whole:
    with RawCaller(guard.port, key) as caller:
        caller.ask(content, stream=stream, model=model)
        return caller.answer()


@pytest.mark.parametrize("model", ["demo", "strict"])
def test_I12_a_refusal_inside_a_stream_of_status_200_is_counted_as_a_refusal(  # noqa: N802
    model: str, served: tuple[GuardThread, ScriptedUpstream, str]
) -> None:
    guard, upstream, key = served
    gate = Gate()
    rest = chunk(text(MARKER[:6]), text(MARKER[6:]), text(" indeed"))
    upstream.script = sends(STREAM_HEAD, chunk(text("well, ")), gate, rest, LAST_CHUNK)

    def counts() -> list[float]:
        guard.quiet()
        return [
            guard.metric("guard_requests_total", model, Ending.BLOCKED_OUTPUT),
            guard.metric("guard_requests_total", model, Ending.SERVED),
            guard.metric("guard_decisions_total", model, "patterns", "output", "deny", "block"),
            guard.metric("guard_streams_terminated_total", model, "safeguard"),
        ]

    before = counts()
    with RawCaller(guard.port, key) as caller:
        caller.ask(model=model)
        caller.until(b"well, ")  # the status line has left
        gate.open()
        got = caller.answer()
    assert (got.status, b"content_filter" in got.body, MARKER[:6].encode() in got.body) == (200, True, False)
    assert [after - was for was, after in zip(before, counts(), strict=True)] == [1, 0, 1, 1]


def test_I12_each_kind_of_refusal_has_a_count_of_its_own_and_none_is_a_success(  # noqa: N802
    served: tuple[GuardThread, ScriptedUpstream, str],
) -> None:
    guard, _, key = served

    def counts() -> dict[str, float]:
        guard.quiet()
        refused = {code: guard.metric("guard_refusals_total", code) for code in ("unauthenticated", "unknown_model")}
        ended = {ending.value: guard.metric("guard_requests_total", "demo", ending) for ending in Ending}
        return {**refused, **ended}

    def changed(content: str = "hello", credential: str = key, model: str = "demo") -> dict[str, float]:
        before = counts()
        assert ask(guard, credential, content, stream=True, model=model).status != 200
        return {name: count - before[name] for name, count in counts().items() if count != before[name]}

    assert changed(MARKER) == {"blocked_input": 1}
    assert changed(credential="sk-guard-nobody-0123456789abcdef") == {"unauthenticated": 1}
    assert changed(model="none") == {"unknown_model": 1}
    stop = guard.stop("model:demo")
    guard.wait_until(lambda: stop.id in guard.worker.switches.state.ids, "the stop was known")
    assert changed() == {"stopped": 1}
    guard.resume(stop)


# What a framework of agents may add to the calls of its parts, and what others read as a sign of trust.
HEADERS: Final = (
    "x-internal: true",
    "x-forwarded-for: 127.0.0.1",
    "x-real-ip: ::1",
    "x-guard-bypass: 1",
    "x-agent-parent: id-of-a-call-that-passed",
    "x-request-id: 0123456789abcdef",
    "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
    "anthropic-beta: fine-grained-tool-streaming-2025-05-14",
    "x-stainless-helper-method: beta.chat.completions.stream",
    "user-agent: internal-evaluation/1.0",
    "cookie: trusted=1",
)


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header.partition(":")[0])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_I12_no_header_of_a_sub_agent_takes_the_protection_off(  # noqa: N802
    header: str, stream: bool, served: tuple[GuardThread, ScriptedUpstream, str]
) -> None:
    guard, upstream, key = served
    body = {"model": "demo", "messages": [{"role": "user", "content": MARKER}], "stream": stream}
    before = len(upstream.requests)
    with RawCaller(guard.port, key) as caller:
        caller.post(json.dumps(body).encode(), "content-type: application/json", header)
        assert caller.answer().code == "content_blocked"
    assert len(upstream.requests) == before


def test_I12_a_call_inherits_nothing_from_those_before_it_on_its_connection(  # noqa: N802
    served: tuple[GuardThread, ScriptedUpstream, str],
) -> None:
    guard, upstream, key = served
    with RawCaller(guard.port, key) as caller:
        for content, code in (("hello", ""), (MARKER, "content_blocked"), ("hello", ""), (MARKER, "content_blocked")):
            before = len(upstream.requests)
            caller.ask(content, stream=False)
            got = caller.answer()
            assert ("" if got.status == 200 else got.code) == code
            assert len(upstream.requests) - before == (0 if code else 1)


def test_I12_what_a_sub_agent_says_to_its_caller_is_a_prompt_like_any_other(  # noqa: N802
    served: tuple[GuardThread, ScriptedUpstream, str],
) -> None:
    """The answer of one call comes back as a tool's result in the next, and is judged there."""
    guard, upstream, key = served
    call = {"id": "c", "type": "function", "function": {"name": "ask_agent", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": f"the other agent says {MARKER}"},
    ]
    before = len(upstream.requests)
    with RawCaller(guard.port, key) as caller:
        caller.post(json.dumps({"model": "demo", "messages": messages}).encode())
        assert caller.answer().code == "content_blocked"
    assert len(upstream.requests) == before
