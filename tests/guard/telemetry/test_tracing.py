"""Spans reach a real OTLP endpoint, with the conventions' names and none of the text."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from guard.telemetry import gen_ai
from guard.telemetry.tracing import Tracer, otlp, trace_id
from safeguards.decision import Ending, Failure, Target
from safeguards.verdict import Code
from tests.guard.telemetry.records import ALLOWED, EXCHANGE, OUTCOME


class Sink(HTTPServer):
    """A collector on the loopback that keeps what it is sent."""

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Receive)
        self.bodies: list[bytes] = []
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        """The full URL of its traces endpoint."""
        return f"http://127.0.0.1:{self.server_port}/v1/traces"

    def requests(self) -> list[ExportTraceServiceRequest]:
        """What it was sent, parsed."""
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    def spans(self) -> list[Span]:
        """All spans it was sent."""
        return [
            s for request in self.requests() for r in request.resource_spans for c in r.scope_spans for s in c.spans
        ]


class Receive(BaseHTTPRequestHandler):
    """Takes one export."""

    server: Sink

    def do_POST(self) -> None:
        """Keep the body and answer that all was taken."""
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.server.paths.append(self.path)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def attributes(of: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in of.attributes}


def test_an_exchange_is_one_span_at_a_real_endpoint(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # a proxy of the environment must not see telemetry
    tracer = otlp(sink.url, ratio=1.0, version="0.1", instance="host-0")
    denied = ALLOWED._replace(
        target=Target.OUTPUT, denied=True, blocked=True, code=Code.CONTENT_BLOCKED, rule="r7", category="cyber"
    )
    failed = ALLOWED._replace(enforced=False, denied=True, failure=Failure.TIMEOUT)
    tracer.exchange_ended(
        EXCHANGE,
        replace(OUTCOME, ending=Ending.BLOCKED_OUTPUT, code=Code.CONTENT_BLOCKED, decisions=(ALLOWED, denied, failed)),
        "vllm",
    )
    tracer.close()
    (span,) = sink.spans()
    assert sink.paths == ["/v1/traces"]
    assert span.name == "chat demo"
    assert span.kind == Span.SPAN_KIND_SERVER
    assert span.trace_id.hex() == trace_id(EXCHANGE.id)
    assert span.parent_span_id == b""
    assert span.start_time_unix_nano == 1_800_000_000_250_000_000
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_500_000_000
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "demo",
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 9,
        "gen_ai.response.time_to_first_chunk": 0.3,
        "http.response.status_code": 200,
        "error.type": "content_blocked",
        "guard.exchange.id": "01hzexchange",
        "guard.ending": "blocked_output",
        "guard.code": "content_blocked",
        "guard.asl": 2,
        "guard.policy": "0" * 64,
        "guard.tier": "general",
        "guard.surface": "public",
    }
    assert [(event.name, attributes(event)) for event in span.events] == [
        (
            gen_ai.FINDING,
            {
                gen_ai.COMPONENT: "patterns",
                gen_ai.TARGET: "output",
                gen_ai.VERDICT: "deny",
                gen_ai.ACTION: "block",
                gen_ai.ENFORCED: True,
                gen_ai.VERDICT_CODE: "content_blocked",
                gen_ai.RULE: "r7",
                gen_ai.CATEGORY: "cyber",
            },
        ),
        (
            gen_ai.FINDING,
            {
                gen_ai.COMPONENT: "patterns",
                gen_ai.TARGET: "input",
                gen_ai.VERDICT: "deny",
                gen_ai.ACTION: "allow",
                gen_ai.ENFORCED: False,
                gen_ai.FAILURE: "timeout",
            },
        ),
    ]
    resource = attributes(sink.requests()[0].resource_spans[0].resource)
    assert resource["service.name"] == "asl-guard"
    assert resource["service.instance.id"] == "host-0"


def test_no_text_of_an_exchange_leaves_with_its_span(sink: Sink) -> None:
    tracer = otlp(sink.url, ratio=1.0, version="0.1", instance="host-0")
    denied = ALLOWED._replace(denied=True, reason="PLANTED")
    for ending in Ending:
        tracer.exchange_ended(EXCHANGE, replace(OUTCOME, ending=ending, decisions=(denied,), reason="PLANTED"), "vllm")
    tracer.flush()
    tracer.close()
    assert len(sink.spans()) == len(Ending)
    assert not [body for body in sink.bodies if b"PLANTED" in body]


def kept(ratio: float, *, ending: Ending = Ending.SERVED, number: int = 400) -> set[str]:
    exporter = InMemorySpanExporter()
    tracer = Tracer(exporter, ratio=ratio, version="0.1", instance="x")
    for index in range(number):
        tracer.exchange_ended(replace(EXCHANGE, id=f"exchange-{index}"), replace(OUTCOME, ending=ending), "vllm")
    tracer.close()
    return {str((span.attributes or {})[gen_ai.EXCHANGE]) for span in exporter.get_finished_spans()}


def test_the_ratio_decides_by_the_exchanges_id_and_a_greater_one_keeps_all_that_a_smaller_kept() -> None:
    assert kept(0.0) == set()
    some, more = kept(0.1), kept(0.5)
    assert 10 < len(some) < 90
    assert 130 < len(more) < 270
    assert some < more
    assert some == kept(0.1)
    assert len(kept(1.0)) == 400


@pytest.mark.parametrize("ending", Ending)
def test_what_was_blocked_stopped_or_went_wrong_is_always_traced(ending: Ending) -> None:
    always = {Ending.BLOCKED_INPUT, Ending.BLOCKED_OUTPUT, Ending.STOPPED, Ending.ERROR}
    assert len(kept(0.0, ending=ending, number=5)) == (5 if ending in always else 0)


def test_only_an_error_has_the_status_of_an_error() -> None:
    exporter = InMemorySpanExporter()
    tracer = Tracer(exporter, ratio=1.0, version="0.1", instance="x")
    for ending in (Ending.SERVED, Ending.STOPPED, Ending.ERROR):
        tracer.exchange_ended(EXCHANGE, replace(OUTCOME, ending=ending), "vllm")
    tracer.close()
    status = {(s.attributes or {})[gen_ai.ENDING]: s.status.status_code.name for s in exporter.get_finished_spans()}
    assert status == {"served": "UNSET", "stopped": "UNSET", "error": "ERROR"}


def test_absurd_numbers_of_an_endpoint_lose_no_span(sink: Sink) -> None:
    tracer = otlp(sink.url, ratio=1.0, version="0.1", instance="x")
    outcome = replace(OUTCOME, prompt_tokens=10**40, completion_tokens=10**40, seconds=-5.0, code=None)
    tracer.exchange_ended(EXCHANGE, outcome, "vllm")
    tracer.close()
    (span,) = sink.spans()
    assert attributes(span)["gen_ai.usage.input_tokens"] == 2**63 - 1
    assert span.end_time_unix_nano == span.start_time_unix_nano


def test_an_endpoint_that_is_gone_delays_the_end_no_longer_than_it_may() -> None:
    with socket.socket() as bound:  # bound and not listening: every connection is refused
        bound.bind(("127.0.0.1", 0))
        tracer = otlp(f"http://127.0.0.1:{bound.getsockname()[1]}/v1/traces", ratio=1.0, version="0.1", instance="x")
        for _ in range(1_000):
            tracer.exchange_ended(EXCHANGE, OUTCOME, "vllm")
        began = time.monotonic()
        tracer.close(0.2)
        assert time.monotonic() - began < 4.0


def test_a_ratio_that_is_none_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ValueError, match=r"telemetry\.trace_ratio"):
        Tracer(InMemorySpanExporter(), ratio=1.5, version="0.1", instance="x")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ValueError, match=r"asl-guard\[otlp\]"):
        otlp("http://127.0.0.1:1/v1/traces", ratio=1.0, version="0.1", instance="x")
