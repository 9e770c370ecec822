"""What is on record afterwards equals what the caller got, however the exchange ended; and slow callers are bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guard.audit import records
from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.raw_caller import RawCaller, Whole
from tests.parts.upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    Gate,
    Peer,
    Received,
    ScriptedUpstream,
    chunk,
    says,
    sends,
    stream_body,
    text,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A guard in front of two models whose every text is written before its release.

    ``demo`` is of level 3, where one person cannot resume; so ``second``, which the tests stop, is of level 2.
    """

    guard: GuardThread
    upstream: ScriptedUpstream
    credentials: Credentials

    def caller(self, receive_buffer: int | None = None) -> RawCaller:
        """Connect."""
        return RawCaller(self.guard.port, self.credentials.key, receive_buffer=receive_buffer)

    def outcome(self, got: Whole) -> records.Outcome:
        """The record of an exchange, after the checks that hold for all of them."""
        found = self.guard.found(got.headers["x-request-id"])
        assert found.intent is not None
        assert found.outcome is not None
        assert found.damage == ()
        outcome = found.outcome
        assert outcome.sent_bytes == len(got.body)
        assert outcome.status == got.status
        parts = self.guard.texts(outcome.id, records.Part)
        assert [len(text) for text in parts] == [part.chars for part in found.parts]
        assert all(each.released <= each.received for each in outcome.released)
        assert sum(each.received for each in outcome.released) == sum(map(len, parts))
        return outcome

    def released(self, outcome: records.Outcome) -> str:
        """What the parts on record say that the caller got, of an answer of one channel."""
        (one,) = outcome.released
        return "".join(self.guard.texts(outcome.id, records.Part))[: one.released]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("record")
    with ScriptedUpstream(says("hello")) as upstream:
        times = {"idle_seconds": 20}
        models = [
            ModelSpec(asl=3, upstream=upstream.url, times=times),
            ModelSpec("second", upstream=upstream.url, times=times, log={"durable": "before_forward", "parts": True}),
        ]
        credentials = write_configuration(directory, models=models)
        with GuardThread(directory) as guard:
            yield Bench(guard, upstream, credentials)


@pytest.mark.parametrize("stream", [True, False])
def test_a_served_answer_is_on_record_as_it_was_sent(bench: Bench, stream: bool) -> None:
    bench.upstream.script = says("Grüße ", "🌞", " 世界")
    with bench.caller() as caller:
        caller.ask(stream=stream)
        got = caller.answer()
    outcome = bench.outcome(got)
    assert (outcome.ending, outcome.code, bench.released(outcome)) == ("served", None, "Grüße 🌞 世界")
    said = got.texts if stream else got.json["choices"][0]["message"]["content"]
    assert said == bench.released(outcome)


def test_an_answer_that_was_cut_is_on_record_up_to_the_cut(bench: Bench) -> None:
    gate = Gate()
    bench.upstream.script = sends(STREAM_HEAD, chunk(text("so far ")), gate, chunk(text("FORBIDDEN-MARKER and more")))
    with bench.caller() as caller:
        caller.ask()
        caller.until(b"so far ")
        gate.open()
        got = caller.answer()
    outcome = bench.outcome(got)
    assert (outcome.ending, outcome.code) == ("blocked_output", "content_blocked")
    assert got.texts == bench.released(outcome) == "so far "
    assert [each.received for each in outcome.released] == [len("so far FORBIDDEN-MARKER and more")]


def test_an_answer_that_was_stopped_is_on_record_up_to_the_stop(bench: Bench) -> None:
    gate = Gate()
    bench.upstream.script = sends(STREAM_HEAD, chunk(text("so far ")), gate)
    with bench.caller() as caller:
        caller.ask(model="second")
        caller.until(b"so far ")
        order = bench.guard.stop("model:second")
        got = caller.answer()
    bench.guard.resume(order)
    outcome = bench.outcome(got)
    assert (outcome.ending, outcome.code, got.code) == ("stopped", "stopped", "stopped")
    assert got.texts == bench.released(outcome) == "so far "
    assert got.closed


def test_a_prompt_that_was_blocked_is_on_record_with_the_text_and_the_rule(bench: Bench) -> None:
    before = len(bench.upstream.requests)
    with bench.caller() as caller:
        caller.ask("say FORBIDDEN-MARKER")
        got = caller.answer()
    outcome = bench.outcome(got)
    assert bench.guard.texts(outcome.id, records.Intent) == ["say FORBIDDEN-MARKER"]
    assert (outcome.ending, outcome.decisions[-1].rule, outcome.events) == ("blocked_input", "marker", 0)
    assert len(bench.upstream.requests) == before


def test_a_caller_that_leaves_is_on_record_and_the_upstream_is_left_at_once(bench: Bench) -> None:
    gate = Gate()
    bench.upstream.script = sends(STREAM_HEAD, chunk(text("so far ")), gate)
    with bench.caller() as caller:
        caller.ask()
        caller.until(b"so far ")
    bench.upstream.wait_until(lambda: bench.upstream.busy == 0)
    bench.guard.quiet()
    last = bench.guard.entries()[-1]
    assert isinstance(last, records.Outcome)
    assert (last.ending, last.status, bench.released(last)) == ("caller_gone", 499, "so far ")


def test_a_caller_that_leaves_before_the_answer_begins_is_on_record(bench: Bench) -> None:
    gate = Gate()
    bench.upstream.script = sends(gate)
    before = len(bench.upstream.requests)
    with bench.caller() as caller:
        caller.ask()
        bench.upstream.wait_for_requests(before + 1)
    bench.upstream.wait_until(lambda: bench.upstream.busy == 0)
    bench.guard.quiet()
    last = bench.guard.entries()[-1]
    assert isinstance(last, records.Outcome)
    assert (last.ending, last.status, last.sent_bytes) == ("caller_gone", 499, 0)


class Flood:
    """Streams as fast as it is taken, and counts what was taken."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.sent = 0

    async def __call__(self, peer: Peer, _: Received) -> None:
        """Stream until the client leaves."""
        await peer.send(STREAM_HEAD)
        piece = chunk(text("x" * 4000))
        while True:
            await peer.send(piece)
            self.sent += len(piece)


def settled(bench: Bench, flood: Flood) -> int:
    """How much the upstream could send until everything in between was full."""
    sent, since = -1, time.monotonic()
    while flood.sent != sent or time.monotonic() - since < 0.3:
        if flood.sent != sent:
            sent, since = flood.sent, time.monotonic()
        bench.guard.wait_until(lambda: True)
    return sent


def kernel_buffers() -> int:
    """The most that this kernel may hold between the upstream and a caller: two that send, one that receives."""
    send, receive = (
        int((Path("/proc/sys/net/ipv4") / name).read_text().split()[2]) for name in ("tcp_wmem", "tcp_rmem")
    )
    return 2 * send + receive


def test_a_caller_that_does_not_read_stops_the_upstream_and_holds_little_memory(bench: Bench) -> None:
    flood = Flood()
    bench.upstream.script = flood
    with bench.caller(receive_buffer=65536) as caller:
        caller.ask(model="second")
        caller.until(b"data: ")
        taken = settled(bench, flood)
        assert (
            taken < kernel_buffers() + 4_000_000
        )  # what lies in the kernel, its slack, and less than a megabyte of ours
        (live,) = bench.guard.call(lambda: list(bench.guard.worker.live))
        held = getattr(live.answer, "reader").held  # noqa: B009 - the port does not offer it
        assert held < 1_000_000
        began = time.monotonic()
        order = bench.guard.stop("model:second")
        bench.upstream.wait_until(lambda: bench.upstream.busy == 0)
        bench.guard.quiet()
        assert time.monotonic() - began < 20
        rest = b""
        try:
            while piece := caller.socket.recv(1 << 20):
                rest += piece
        except ConnectionResetError:
            pass
    bench.guard.resume(order)
    last = bench.guard.entries()[-1]
    assert isinstance(last, records.Outcome)
    assert last.ending == "stopped"
    assert not rest.endswith(b"0\r\n\r\n") or b"stopped" in rest  # never a cut that looks complete


def test_a_caller_that_reads_slowly_gets_everything(bench: Bench) -> None:
    pieces = [f"{number} " * 200 for number in range(1000)]
    bench.upstream.script = sends(
        STREAM_HEAD, *(chunk(text(each)) for each in pieces), chunk(stream_body()), LAST_CHUNK
    )
    with bench.caller(receive_buffer=8192) as caller:
        caller.ask()
        got = caller.answer()
    assert got.texts == "".join(pieces)
    assert bench.released(bench.outcome(got)) == "".join(pieces)
