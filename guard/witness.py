"""What telemetry makes of exchanges and refusals: numbers, a log line, a span; none of it may fail an exchange."""

from __future__ import annotations

from guard.arrival import Arrival
from guard.audit.ledger import Stats
from guard.refusal import Refused
from guard.telemetry import observe
from guard.telemetry.logs import Event, JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Abort, AuthFailure, Phase, Written
from guard.telemetry.tracing import Tracer
from safeguards.decision import Outcome
from safeguards.verdict import Code


class Witness:
    """Implements `guard.proxy.Witness` with this process's meter, log and (if configured) tracer."""

    def __init__(self, meter: Meter, log: JsonLog, tracer: Tracer | None) -> None:
        """Take where to write."""
        self.meter = meter
        self.log = log
        self._tracer = tracer
        self._audited = (0, 0, 0)
        self._outage = False

    def began(self, arrival: Arrival) -> None:
        """Count it as running."""
        observe.exchange_began(self.meter, arrival.exchange)

    def took(self, arrival: Arrival, forwarding: float | None, first_byte: float | None) -> None:
        """Count what the guard itself added until it forwarded, and until the first byte left."""
        if forwarding is not None:
            observe.overhead(self.meter, arrival.exchange.model, Phase.REQUEST, forwarding)
        if first_byte is not None:
            observe.overhead(self.meter, arrival.exchange.model, Phase.FIRST_BYTE, first_byte)

    def ended(self, arrival: Arrival, outcome: Outcome) -> None:
        """Count, log and trace how it ended."""
        provider, tried = arrival.serving.provider, arrival.serving.tried
        observe.exchange_ended(self.meter, arrival.exchange, outcome, arrival.route, provider, tried)
        self.log.exchange(arrival.exchange, outcome)
        if self._tracer is not None:
            self._tracer.exchange_ended(arrival.exchange, outcome, provider)

    def abandoned(self, arrival: Arrival, result: str) -> None:
        """Count what became of asking the model's server to stop generating."""
        self.meter.inc(self.meter.bind("guard_upstream_aborts_total", arrival.exchange.model, Abort(result)))

    def refused(self, refused: Refused, request: str) -> None:
        """Count and log a request that did not become an exchange."""
        failure = AuthFailure(refused.reason) if refused.code in _CREDENTIALS else None
        observe.refused(self.meter, refused.code, failure)
        level = Level.WARNING if refused.code is Code.NOT_ROUTABLE else Level.INFO
        fields = {"id": request, "code": refused.code.value, "reason": refused.reason}
        if refused.model:
            fields["model"] = refused.model
        self.log.emit(level, Event.REFUSED, **fields)

    def audited(self, stats: Stats) -> None:
        """Take over the request log's figures; they grow, and counters take the differences."""
        meter = self.meter
        now = (stats.durable, stats.buffered, stats.failed)
        for result, before, after in zip(
            (Written.DURABLE, Written.BUFFERED, Written.FAILED), self._audited, now, strict=True
        ):
            meter.inc(meter.bind("guard_audit_records_total", result), after - before)
        self._audited = now
        if bool(stats.waiting) != self._outage:
            self._outage = bool(stats.waiting)
            if self._outage:
                self.log.emit(Level.ERROR, Event.LOG_FAILED, reason="records wait in memory for a disk that takes none")
            else:
                self.log.emit(Level.WARNING, Event.LOG_RECOVERED, reason="what waited in memory is written")
        append = meter.bind("guard_audit_append_seconds")
        for seconds in stats.waits:
            meter.observe(append, seconds)
        meter.set(meter.bind("guard_audit_backlog_records"), stats.backlog)
        if stats.last_durable is not None:
            meter.set(meter.bind("guard_audit_last_durable_timestamp_seconds"), stats.last_durable)


_CREDENTIALS = frozenset({Code.UNAUTHENTICATED, Code.KEY_EXPIRED})
