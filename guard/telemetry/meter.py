"""The counters of one process: plain dicts and lists, so that recording costs a fraction of a microsecond."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import inf
from types import MappingProxyType

import msgspec

from guard.telemetry.catalogue import METRICS
from guard.telemetry.metric import Kind, Metric, Origin

Key = tuple[str, ...]
"""A metric's name followed by the values of its labels in the catalogue's order."""

OTHER = "_other"
DROPPED = ("guard_metrics_series_dropped_total",)
SERIES_CAP = 2_000
"""Exposed series of one process beside what its configuration declares, and the room that a declaration brings."""
ROOM = 3
"""A declared series makes room for itself and two that cannot be declared: endings and verdicts not seen yet."""
CEILING = 32_000
"""The most that declarations raise the cap to: some 5 MB, and a third of a second to render (in a thread)."""
LABEL_CAP = 128
"""Characters of a label value; a longer one is collapsed."""
IMPOSSIBLE = 1e12
"""No duration and no number of tokens reaches this; without it one absurd value would spoil a sum for good."""


class State(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """All that one process counted since it began; a histogram is its sum followed by the count of each bucket."""

    counters: dict[Key, float]
    gauges: dict[Key, float]
    histograms: dict[Key, list[float]]

    @classmethod
    def empty(cls) -> State:
        """Nothing counted."""
        return cls({}, {}, {})


class Meter:
    """Counts for one process; ``bind`` makes a series at 0 and returns its key, the rest record under that key.

    ``declare`` is for what the configuration names: it raises the cap, up to ``CEILING``, so that no number of callers
    takes a model's room. Above the cap a new label set keeps its closed labels and gets ``_other`` for the rest, so a
    sum over a metric stays right; a gauge that was collapsed takes no ``set`` (one value for several subjects would be
    false). ``memory`` is where callers keep keys they bound together. Not for several threads:
    all calls come from the thread of the process's event loop.
    """

    __slots__ = (
        "_bounds",
        "_cap",
        "_collapsed",
        "_counters",
        "_gauges",
        "_histograms",
        "_known",
        "_origin",
        "_series",
        "memory",
    )

    def __init__(self, origin: Origin, *, cap: int = SERIES_CAP) -> None:
        """Begin with every series of the origin's own metrics whose labels are all known beforehand."""
        self.memory: dict[tuple[object, ...], tuple[Key, Key]] = {}
        self._origin = origin
        self._cap = cap
        self._series = 0
        self._counters: dict[Key, float] = {DROPPED: 0.0}
        self._gauges: dict[Key, float] = {}
        self._histograms: dict[Key, list[float]] = {}
        self._known: dict[Key, Key] = {DROPPED: DROPPED}
        self._collapsed: set[Key] = set()
        self._bounds = {metric.name: metric.buckets for metric in METRICS.values() if metric.buckets}
        for metric in METRICS.values():
            if metric.origin is origin and set(metric.labels) <= set(metric.closed):
                for values in product(*(metric.closed[label] for label in metric.labels)):
                    self.bind(metric.name, *values)

    def bind(self, *key: str) -> Key:
        """Make the series exist and return its key; the first argument is the metric's name.

        Raises KeyError for a metric the catalogue does not have, ValueError (naming the metric) for a wrong number of
        labels, a value outside a closed label, and a metric that only the supervisor may record.
        """
        known = self._known.get(key)
        return self._create(key) if known is None else known

    def declare(self, *key: str) -> Key:
        """As `bind`, for a series that the configuration names."""
        if key not in self._known and key[0] in METRICS:
            self._cap = max(self._cap, min(self._cap + ROOM * METRICS[key[0]].series, CEILING))
        return self.bind(*key)

    def _create(self, key: Key) -> Key:
        metric = METRICS[key[0]]
        check(metric, key, self._origin)
        key = tuple(map(str, key))
        long = any(len(value) > LABEL_CAP for value in key[1:])
        if (long or self._series + metric.series > self._cap) and len(metric.closed) < len(metric.labels):
            self._counters[DROPPED] += 1.0
            key = (key[0], *(v if label in metric.closed else OTHER for label, v in _pairs(metric, key)))
            self._collapsed.add(key)
        if key in self._known:
            return key
        self._known[key] = key
        self._series += metric.series
        if metric.kind is Kind.HISTOGRAM:
            self._histograms[key] = [0.0] * (len(metric.buckets) + 2)
        elif metric.kind is Kind.COUNTER:
            self._counters[key] = 0.0
        else:
            self._gauges[key] = 1.0 if metric.kind is Kind.INFO else 0.0
        return key

    def inc(self, key: Key, by: float = 1.0) -> None:
        """Raise a counter; KeyError if the key was not bound as one, ValueError if it would go backwards."""
        if by < 0.0:
            raise ValueError(f"{key[0]}: a counter cannot go back by {by}")
        self._counters[key] += by

    def add(self, key: Key, by: float) -> None:
        """Move a gauge up or down; KeyError if the key was not bound as one."""
        self._gauges[key] += by

    def set(self, key: Key, value: float) -> None:
        """Put a gauge to a value; KeyError if the key was not bound as one."""
        if key not in self._gauges:
            raise KeyError(key)
        if key not in self._collapsed:
            self._gauges[key] = value

    def observe(self, key: Key, value: float) -> None:
        """Count one value of a histogram; what cannot be (a clock that jumped, an endpoint that lies) counts as 0."""
        cell = self._histograms[key]
        if not 0.0 <= value < IMPOSSIBLE:
            value = 0.0
        cell[bisect_left(self._bounds[key[0]], value) + 1] += 1
        cell[0] += value

    def forget(self, *prefix: str) -> None:
        """Remove the gauges of a metric whose labels begin so (a model that is gone); counters are never removed."""
        metric = METRICS[prefix[0]]
        if metric.kind not in {Kind.GAUGE, Kind.INFO}:
            raise ValueError(f"{metric.name}: only a gauge can be forgotten")
        for key in [key for key in self._gauges if key[: len(prefix)] == prefix]:
            del self._gauges[key], self._known[key]
            self._collapsed.discard(key)
            self._series -= metric.series

    def absorb(self, state: State) -> None:
        """Add the counters and histograms of a process that is gone; its gauges went with it."""
        for key, value in state.counters.items():
            self._counters[self.bind(*key)] += value
        for key, cell in state.histograms.items():
            own = self._histograms[self.bind(*key)]
            own[:] = [a + b for a, b in zip(own, cell, strict=True)]

    @property
    def cap(self) -> int:
        """The exposed series above which label sets collapse."""
        return self._cap

    @property
    def counters(self) -> Mapping[Key, float]:
        """The counters as they are now, for whoever only looks."""
        return MappingProxyType(self._counters)

    def state(self) -> State:
        """A copy of all that was counted."""
        histograms = {key: cell.copy() for key, cell in self._histograms.items()}
        return State(self._counters.copy(), self._gauges.copy(), histograms)

    def snapshot(self) -> bytes:
        """All that was counted, for `restore` on the supervisor's side."""
        return _ENCODER.encode(State(self._counters, self._gauges, self._histograms))


def restore(snapshot: bytes) -> State:
    """Read a worker's snapshot; raises ValueError, which names the metric, for anything a meter would not write."""
    try:
        state = _DECODER.decode(snapshot)
    except msgspec.DecodeError as error:
        raise ValueError(f"snapshot: {error}") from None
    for kinds, series in (
        ({Kind.COUNTER}, _single(state.counters)),
        ({Kind.GAUGE}, _single(state.gauges)),
        ({Kind.HISTOGRAM}, state.histograms.items()),
    ):
        for key, values in series:
            metric = METRICS.get(key[0]) if key else None
            if metric is None or metric.kind not in kinds:
                raise ValueError(f"snapshot: {key[:1]} is not a {'/'.join(kinds)} of the catalogue")
            check(metric, key, Origin.WORKER)
            if metric.kind is Kind.HISTOGRAM and len(values) != len(metric.buckets) + 2:
                raise ValueError(f"snapshot: {metric.name} has {len(values)} values")
            if metric.kind is not Kind.GAUGE and not all(0.0 <= value < inf for value in values):
                raise ValueError(f"snapshot: {metric.name} has a value that no counter can have")
    return state


def check(metric: Metric, key: Key, origin: Origin) -> None:
    """Raise ValueError, naming the metric, for labels that the catalogue does not allow."""
    if metric.origin is Origin.SUPERVISOR and origin is not Origin.SUPERVISOR:
        raise ValueError(f"{metric.name}: recorded by the supervisor alone")
    if len(key) - 1 != len(metric.labels):
        raise ValueError(f"{metric.name}: takes the labels {metric.labels}, got {len(key) - 1}")
    for label, value in _pairs(metric, key):
        if label in metric.closed and value not in metric.closed[label]:
            raise ValueError(f"{metric.name}: label {label} has no such value")


def _pairs(metric: Metric, key: Key) -> Iterator[tuple[str, str]]:
    return zip(metric.labels, key[1:], strict=True)


def _single(series: dict[Key, float]) -> Iterable[tuple[Key, list[float]]]:
    return ((key, [value]) for key, value in series.items())


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(State)
