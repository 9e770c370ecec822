"""What Prometheus reads: the counts of all workers and of the supervisor itself, rendered by the supervisor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from prometheus_client import exposition as classic
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from guard.telemetry.catalogue import METRICS
from guard.telemetry.meter import CEILING, Key, Meter, State, restore
from guard.telemetry.metric import Kind, Metric, Origin

SUPERVISOR = "supervisor"
_BOUNDS = {
    metric.name: tuple(map(floatToGoString, (*metric.buckets, inf))) for metric in METRICS.values() if metric.buckets
}


class _Worker:
    """One place of a worker: what its dead incarnations counted in all, and the last word of the living one."""

    __slots__ = ("before", "incarnation", "live")

    def __init__(self) -> None:
        self.before = Meter(Origin.WORKER, cap=CEILING)
        self.incarnation = -1
        self.live: State | None = None

    def bury(self) -> None:
        if self.live is not None:
            self.before.absorb(self.live)
            self.live = None

    def merged(self) -> State:
        before = self.before.state()
        if self.live is None:
            return State(before.counters, {}, before.histograms)
        for key, value in self.live.counters.items():
            before.counters[key] = before.counters.get(key, 0.0) + value
        for key, cell in self.live.histograms.items():
            old = before.histograms.get(key)
            before.histograms[key] = cell if old is None else [a + b for a, b in zip(old, cell, strict=True)]
        return State(before.counters, self.live.gauges, before.histograms)


class Page(Collector):
    """What was counted at one moment, by source; another thread may render it."""

    def __init__(self, sources: Sequence[tuple[str, State]]) -> None:
        """Take the state of each source, which nobody changes any more."""
        self._sources = sources

    def collect(self) -> Iterator[Family]:
        """The families in the catalogue's order; a timestamp of 0 is left out, for it would mean 1970."""
        found: dict[str, Family] = {}
        for name, metric in METRICS.items():
            base = name.removesuffix("_total") if metric.kind is Kind.COUNTER else name.removesuffix("_info")
            found[name] = Family(base, metric.help, metric.kind.value)
        for source, state in self._sources:
            for series in (state.counters, state.gauges):
                for key, value in series.items():
                    if value or not key[0].endswith("_timestamp_seconds"):
                        found[key[0]].add_sample(key[0], _labels(METRICS[key[0]], key, source), value)
            for key, cell in state.histograms.items():
                _histogram(found[key[0]], METRICS[key[0]], _labels(METRICS[key[0]], key, source), cell)
        yield from found.values()

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics 1.0 if the Accept header names it, else the classic text."""
        kinds = [item.split(";") for item in accept.lower().split(",")]
        if any(kind.strip() == "application/openmetrics-text" and " q=0" not in rest for kind, *rest in kinds):
            page: bytes = openmetrics.generate_latest(self)  # type: ignore[no-untyped-call]  # the library's gap
            return page, openmetrics.CONTENT_TYPE_LATEST
        return classic.generate_latest(self), classic.CONTENT_TYPE_PLAIN_0_0_4


class Exposition:
    """Merges the workers' snapshots, each under its own label ``worker``, with the supervisor's own meter.

    A worker's counters go on where its predecessor's last snapshot left them; what a killed worker counted after
    that snapshot is lost. Not for several threads.
    """

    def __init__(self, own: Meter) -> None:
        """Take the supervisor's meter, on which this also keeps whether each worker reports."""
        self._own = own
        self._workers: dict[int, _Worker] = {}

    def apply(self, worker: int, incarnation: int, snapshot: bytes, now: float) -> None:
        """Take the latest word of a worker; ``incarnation`` grows with each process started in its place.

        ``now`` is seconds since the epoch. What comes late from a process already replaced is ignored. Raises
        ValueError for a snapshot that no meter would write; the last good one then stays.
        """
        state = restore(snapshot)
        place = self._workers.setdefault(worker, _Worker())
        if incarnation < place.incarnation:
            return
        if incarnation > place.incarnation:
            place.bury()
            place.incarnation = incarnation
        place.live = state
        self._own.set(self._own.bind("guard_worker_up", str(worker)), 1.0)
        self._own.set(self._own.bind("guard_worker_last_report_timestamp_seconds", str(worker)), now)

    def retire(self, worker: int, incarnation: int) -> None:
        """This process is gone: its gauges end, its counters stay, and its late words are ignored."""
        place = self._workers.setdefault(worker, _Worker())
        if incarnation < place.incarnation:
            return
        place.bury()
        place.incarnation = incarnation + 1
        self._own.set(self._own.bind("guard_worker_up", str(worker)), 0.0)

    def counters(self) -> Iterator[tuple[Key, float]]:
        """Every counter of every worker, of those that are gone too: a key comes once for each of them."""
        for place in self._workers.values():
            yield from place.before.counters.items()
            if place.live is not None:
                yield from place.live.counters.items()

    def page(self) -> Page:
        """All that is counted now."""
        sources = [(str(index), self._workers[index].merged()) for index in sorted(self._workers)]
        return Page([*sources, (SUPERVISOR, self._own.state())])


def _labels(metric: Metric, key: Key, source: str) -> dict[str, str]:
    labels = dict(zip(metric.labels, key[1:], strict=True))
    if metric.origin is Origin.WORKER:
        labels["worker"] = source
    return labels


def _histogram(family: Family, metric: Metric, labels: dict[str, str], cell: list[float]) -> None:
    total = 0.0
    for bound, count in zip(_BOUNDS[metric.name], cell[1:], strict=True):
        total += count
        family.add_sample(metric.name + "_bucket", {**labels, "le": bound}, total)
    family.add_sample(metric.name + "_count", labels, total)
    family.add_sample(metric.name + "_sum", labels, cell[0])
