"""Traces: one span for each sampled exchange, made after it has ended, without any of its text."""

from __future__ import annotations

from hashlib import sha256
from secrets import randbits
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Status, StatusCode

from guard.telemetry import gen_ai
from safeguards.decision import Decision, Ending, Outcome
from safeguards.exchange import Exchange

ALWAYS = frozenset({Ending.BLOCKED_INPUT, Ending.BLOCKED_OUTPUT, Ending.STOPPED, Ending.ERROR})
"""How an exchange must have ended to be traced whatever the ratio says."""
QUEUE = 2048
LARGEST = 2**63 - 1
"""What OTLP can carry; one larger number would lose the whole batch."""
EXTRA = "tracing needs the extra 'otlp': pip install 'asl-guard[otlp]' (telemetry.otlp_endpoint is set)"


class _Ids(IdGenerator):
    """Gives the next span the trace id of its exchange."""

    def __init__(self) -> None:
        self.trace = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return randbits(64) or 1


class Tracer:
    """Sends spans to one OTLP endpoint from a thread of its own; what does not fit into its queue is dropped.

    The trace id is made from the exchange's id, so a log line or a record leads to its trace and back without being
    stored anywhere. Build it in the process that uses it (after a fork), and use it from one thread.
    """

    def __init__(self, exporter: SpanExporter, *, ratio: float, version: str, instance: str) -> None:
        """Trace this share (0 to 1) of what was served; ``instance`` tells the processes of a fleet apart."""
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"telemetry.trace_ratio: {ratio} is not between 0 and 1")
        self._exporter = exporter
        self._below = int(ratio * 2**64)
        self._ids = _Ids()
        resource = Resource.create(
            {"service.name": "asl-guard", "service.version": version, "service.instance.id": instance}
        )
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=QUEUE, max_export_batch_size=256, schedule_delay_millis=1000)
        )
        self._tracer = self._provider.get_tracer("asl-guard", version)

    def exchange_ended(self, exchange: Exchange, outcome: Outcome, provider: str) -> None:
        """Make the span of one exchange if it is sampled; ``provider`` is the kind of the model's endpoint."""
        digest = sha256(exchange.id.encode("utf-8", "surrogatepass")).digest()
        if outcome.ending not in ALWAYS and int.from_bytes(digest[16:24], "big") >= self._below:
            return
        self._ids.trace = int.from_bytes(digest[:16], "big") or 1
        operation = gen_ai.operation_name(exchange.operation)
        start = round(exchange.received * 1e6) * 1000  # a float of this size knows microseconds, not nanoseconds
        # The end is the start and the monotonic duration: a clock that jumped must not make a span end before it began.
        end = start + round(max(outcome.seconds, 0.0) * 1e6) * 1000
        span = self._tracer.start_span(
            f"{operation} {exchange.model}",
            context=Context(),
            kind=SpanKind.SERVER,
            attributes=_attributes(exchange, outcome, operation, provider),
            start_time=start,
        )
        for decision in outcome.decisions:
            if decision.denied:
                span.add_event(gen_ai.FINDING, _finding(decision), timestamp=end)
        if outcome.ending is Ending.ERROR:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=end)

    def flush(self) -> None:
        """Send what is queued; blocks until the endpoint took it or failed."""
        self._provider.force_flush()

    def close(self, seconds: float = 5.0) -> None:
        """Send what is queued and end the thread; blocks for so long at most, and what is left then is lost."""
        # The SDK's own end waits half a minute for an endpoint that is gone, which no drain has time for.
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(seconds)
        if ending.is_alive():
            self._exporter.shutdown()


def otlp(endpoint: str, *, ratio: float, version: str, instance: str) -> Tracer:
    """A tracer that sends to the full URL of an OTLP/HTTP traces endpoint; raises ValueError if the extra is missing.

    Headers (a collector's token) come from OTEL_EXPORTER_OTLP_HEADERS; proxies of the environment are not used.
    """
    try:
        import requests  # noqa: PLC0415 - comes with the optional extra
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - the optional extra
            OTLPSpanExporter,
        )
    except ImportError:
        raise ValueError(EXTRA) from None
    session = requests.Session()
    session.trust_env = False
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=5.0, session=session)
    return Tracer(exporter, ratio=ratio, version=version, instance=instance)


def trace_id(exchange_id: str) -> str:
    """The trace id of an exchange as 32 hexadecimal digits."""
    return sha256(exchange_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _attributes(
    exchange: Exchange, outcome: Outcome, operation: str, provider: str
) -> dict[str, str | int | float | bool]:
    found: dict[str, str | int | float | bool] = {
        gen_ai.OPERATION: operation,
        gen_ai.PROVIDER: provider,
        gen_ai.MODEL: exchange.model,
        gen_ai.STREAM: exchange.streamed,
        gen_ai.STATUS: outcome.status,
        gen_ai.EXCHANGE: exchange.id,
        gen_ai.ENDING: outcome.ending.value,
        gen_ai.ASL: exchange.asl,
        gen_ai.POLICY: exchange.policy,
        gen_ai.TIER: exchange.caller.tier,
        gen_ai.SURFACE: exchange.surface,
    }
    if outcome.code is not None:
        found[gen_ai.CODE] = found[gen_ai.ERROR_TYPE] = outcome.code.value
    if outcome.prompt_tokens is not None:
        found[gen_ai.INPUT_TOKENS] = min(outcome.prompt_tokens, LARGEST)
    if outcome.completion_tokens is not None:
        found[gen_ai.OUTPUT_TOKENS] = min(outcome.completion_tokens, LARGEST)
    if outcome.first_byte_seconds is not None:
        found[gen_ai.FIRST_CHUNK] = outcome.first_byte_seconds
    return found


def _finding(decision: Decision) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {
        gen_ai.COMPONENT: decision.safeguard,
        gen_ai.TARGET: decision.target.value,
        gen_ai.VERDICT: "deny",
        gen_ai.ACTION: "block" if decision.blocked else "allow",
        gen_ai.ENFORCED: decision.enforced,
    }
    if decision.code is not None:
        found[gen_ai.VERDICT_CODE] = decision.code.value
    if decision.rule:
        found[gen_ai.RULE] = decision.rule
    if decision.category:
        found[gen_ai.CATEGORY] = decision.category
    if decision.failure is not None:
        found[gen_ai.FAILURE] = decision.failure.value
    return found
