"""Every channel of an answer is watched for itself: choices that interleave, reasoning, refusals, tool calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.parts.configuration import MARKER, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import (
    DONE,
    LAST_CHUNK,
    STREAM_HEAD,
    Gate,
    ScriptedUpstream,
    answer,
    chunk,
    completion,
    delta,
    says,
    sends,
    text,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard and its upstream."""

    guard: GuardThread
    upstream: ScriptedUpstream
    key: str

    def stream(self, before: bytes, after: bytes) -> Whole:
        """Ask for a stream whose second half comes once the caller has the first."""
        gate = Gate()
        self.upstream.script = sends(STREAM_HEAD, chunk(before), gate, chunk(after, DONE), LAST_CHUNK)
        with RawCaller(self.guard.port, self.key) as caller:
            caller.ask(n=2)
            caller.until(b"before")
            gate.open()
            return caller.answer()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("channels")
    with ScriptedUpstream(says("hello")) as upstream:
        credentials = write_configuration(directory, models=[ModelSpec(asl=3, upstream=upstream.url)])
        with GuardThread(directory) as guard:
            yield Bench(guard, upstream, credentials.key)


def tool(arguments: str, *, name: str | None = None, index: int = 0) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "function": function}]}


FORMS: dict[str, Any] = {
    "content": lambda piece: {"content": piece},
    "reasoning_content": lambda piece: {"reasoning_content": piece},
    "reasoning": lambda piece: {"reasoning": piece},
    "refusal": lambda piece: {"refusal": piece},
    "tool arguments": tool,
    "arguments of a second tool": lambda piece: tool(piece, index=1),
    "tool name": lambda piece: {"tool_calls": [{"index": 0, "function": {"name": piece}}]},
}
HALVES = ("a FORBIDDEN", "-MARKER b")


@pytest.mark.parametrize("choice", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_a_marker_in_two_halves_is_cut_in_any_channel_while_other_choices_interleave(
    bench: Bench, form: str, choice: int
) -> None:
    made = FORMS[form]
    other = 1 - choice
    before = text("before", choice=other)
    first, second = (delta(made(half), choice=choice) for half in HALVES)
    between = text(" between ", choice=other)
    got = bench.stream(before, first + between + second + text(" after", choice=other))
    assert got.status == 200
    assert b"MARKER" not in got.body
    assert b"after" not in got.body
    assert got.events[-1] == b"[DONE]"
    assert b'"finish_reason":"content_filter"' in got.events[-2]


@pytest.mark.parametrize("form", FORMS)
def test_a_marker_is_withheld_in_any_channel_of_a_whole_answer(bench: Bench, form: str) -> None:
    message = {"role": "assistant", "content": None, **FORMS[form](MARKER)}
    if form == "arguments of a second tool":
        message["tool_calls"] = [tool("{}", name="first")["tool_calls"][0], *message["tool_calls"]]
    bench.upstream.script = sends(answer(completion(message=message)))
    with RawCaller(bench.guard.port, bench.key) as caller:
        caller.ask(stream=False)
        got = caller.answer()
    assert (got.status, got.code) == (403, "content_blocked")
    assert MARKER.encode() not in got.body


def test_halves_of_a_marker_in_two_choices_are_two_texts(bench: Bench) -> None:
    first, second = (delta({"content": half}, choice=n) for n, half in enumerate(HALVES))
    ends = delta({}, choice=0, finish="stop") + delta({}, choice=1, finish="stop")
    got = bench.stream(text("before "), first + second + ends)
    assert got.texts == "before a FORBIDDEN-MARKER b"
    assert got.events[-1] == b"[DONE]"


def test_text_after_the_end_of_its_choice_ends_the_stream(bench: Bench) -> None:
    got = bench.stream(text("before "), delta({}, finish="stop") + text("late"))
    assert got.code == "upstream_failed"
    assert got.texts == "before "


def test_unknown_fields_of_an_answer_do_not_pass(bench: Bench) -> None:
    got = bench.stream(text("before "), delta({"content": "x", "thoughts": MARKER}) + delta({}, finish="stop"))
    assert got.texts == "before x"
    assert MARKER.encode() not in got.body
    bench.guard.quiet()
    assert bench.guard.metric("guard_dropped_fields_total", "demo") >= 1


@pytest.mark.parametrize("cut", range(1, len(MARKER)))
def test_a_marker_cut_anywhere_between_two_events_is_found(bench: Bench, cut: int) -> None:
    got = bench.stream(text("before "), text(f"a {MARKER[:cut]}") + text(f"{MARKER[cut:]} b"))
    assert got.events[-1] == b"[DONE]"
    assert MARKER not in got.texts
    assert got.texts in {"before ", "before a ", "before a"}
